"""The calendar: which stage a day is in, and which day a question asks about."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faq.calendar import BadCalendar, Calendar, find_day

PILKADA = Calendar.load().election()
TODAY = date(2024, 11, 20)


@pytest.mark.parametrize(
    ("day", "stage"),
    [
        (date(2020, 1, 1), "sebelum-penetapan"),
        (date(2024, 9, 21), "sebelum-penetapan"),
        (date(2024, 9, 22), "penetapan"),
        (date(2024, 9, 24), "penetapan"),
        (date(2024, 9, 25), "kampanye"),
        (date(2024, 11, 23), "kampanye"),
        (date(2024, 11, 24), "masa-tenang"),
        (date(2024, 11, 26), "masa-tenang"),
        (date(2024, 11, 27), "hari-pemungutan"),
        (date(2024, 11, 28), "sesudah"),
        (date(2026, 11, 22), "sesudah"),
    ],
)
def test_stage_of_a_day(day: date, stage: str) -> None:
    """The stages of the Pilkada of 27 November 2024, PKPU 2/2024."""
    assert PILKADA.stage(day).id == stage


@given(st.dates())
def test_every_day_has_one_stage(day: date) -> None:
    """No day falls between two stages."""
    stage = PILKADA.stage(day)
    assert stage.begins <= day <= stage.ends or stage is PILKADA.stages[0]


def test_candidates_and_end() -> None:
    """A breach before 22 September 2024 is one of ethics; after the counting the election is over."""
    assert PILKADA.before_candidates(date(2024, 9, 21)) and not PILKADA.before_candidates(date(2024, 9, 22))
    assert not PILKADA.over(date(2024, 12, 16)) and PILKADA.over(date(2024, 12, 17))


@pytest.mark.parametrize(
    ("question", "day"),
    [
        ("boleh like postingan paslon?", None),
        ("besok boleh pakai kaos?", date(2024, 11, 21)),
        ("kmrn sy terlanjur like", date(2024, 11, 19)),
        ("minggu lalu saya foto bareng", date(2024, 11, 13)),
        ("besok pas nyoblos boleh pake baju merah?", date(2024, 11, 27)),
        ("waktu masa tenang boleh posting?", date(2024, 11, 24)),
        ("hari tenang gimana", date(2024, 11, 24)),
        ("kalau tgl 25 november posting?", date(2024, 11, 25)),
        ("tanggal 5/10/2024 saya hadir", date(2024, 10, 5)),
        ("2024-09-01 saya like", date(2024, 9, 1)),
        ("sebelum penetapan calon boleh?", date(2024, 9, 21)),
        ("sesudah pencoblosan boleh ucapkan selamat?", date(2024, 11, 28)),
        ("selama masa kampanye", TODAY),
        ("ada 2/3 pegawai yang ikut", None),
        ("nomor hp 081234567890", None),
        ("tanggal 45 november", None),
        ("", None),
    ],
)
def test_the_day_a_question_asks_about(question: str, day: date | None) -> None:
    """A date beats a stage, a stage beats "besok"."""
    assert find_day(question, TODAY, PILKADA) == day


@given(st.text(max_size=300), st.dates())
def test_finding_a_day_never_fails(question: str, today: date) -> None:
    """Whatever people type."""
    assert find_day(question, today, PILKADA) is None or isinstance(find_day(question, today, PILKADA), date)


ELECTIONS = """
[a]
default = true
title = "A"
title_en = "A"
vote = 2030-01-10
candidates_set = 2029-12-01
ends = 2030-01-20
[[a.stages]]
id = "sebelum-penetapan"
name = "x"
name_en = "x"
begins = 2029-01-01
[[a.stages]]
id = "sesudah"
name = "y"
name_en = "y"
begins = 2030-01-11
[a.regions."18.01"]
name = "Lampung Selatan"
vote = 2030-02-10
"""


def test_a_region_may_vote_on_another_day(tmp_path: Path) -> None:
    """Its stages move with its vote; districts follow their regency."""
    path = tmp_path / "calendar.toml"
    path.write_text(ELECTIONS, encoding="utf-8")
    election = Calendar.load(path).election("a")
    there = election.in_region("18.01.05")
    assert there.vote == date(2030, 2, 10)
    assert there.stages[1].begins == election.stages[1].begins + timedelta(days=31)
    assert there.stages[1].ends == date.max
    assert election.in_region("31.71") is election
    assert election.in_region("") is election


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("default = true", "default = false"), "exactly one election is the default"),
        (("begins = 2030-01-11", "begins = 2028-01-11"), "stages must follow one another"),
        (('title = "A"', 'name = "A"'), "'title' is missing"),
    ],
)
def test_a_bad_calendar_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """With a sentence that says what is wrong."""
    path = tmp_path / "calendar.toml"
    path.write_text(ELECTIONS.replace(*change, 1), encoding="utf-8")
    with pytest.raises(BadCalendar, match=message):
        Calendar.load(path)


def test_an_unknown_election_is_named() -> None:
    """And so are those that are known."""
    with pytest.raises(BadCalendar, match="pilkada-2024"):
        Calendar.load().election("pilkada-1999")
