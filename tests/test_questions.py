"""Readers: words, choices, days and photos as people write them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Chat, Rejected
from bot.messages import Answer, Option
from bot.questions import NO, SKIP, YES, case_code, choice, collect, either, past_day, photos, plain, read_date, text, yes_no
from bot.turn import drive
from tests.test_chat import NOW

MONDAY = date(2024, 11, 18)
UNSURE = Option("unsure", keywords=("lupa",))
DAYS = st.dates(date(2001, 1, 1), date(2099, 12, 31))
MONTH_NAMES = "januari februari maret april mei juni juli agustus september oktober november desember".split()


def refused(reader: Any, answer: Answer) -> str:
    """The name of the sentence with which an answer is refused."""
    with pytest.raises(Rejected) as reason:
        reader.read(answer)
    return reason.value.text


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("kemarin", MONDAY - timedelta(1)),
        ("Kemarin sore.", MONDAY - timedelta(1)),
        ("tadi malam pukul 20.00", MONDAY - timedelta(1)),
        ("kemarin jam 10.11", MONDAY - timedelta(1)),
        ("hari ini jam 3", MONDAY),
        ("tadi pagi", MONDAY),
        ("13.30 wib tadi siang", MONDAY),
        ("3 hari yang lalu", MONDAY - timedelta(3)),
        ("3hari lalu", MONDAY - timedelta(3)),
        ("dua minggu lalu", MONDAY - timedelta(14)),
        ("two days ago", MONDAY - timedelta(2)),
        ("minggu lalu", MONDAY - timedelta(7)),
        ("kejadiannya minggu lalu", MONDAY - timedelta(7)),
        ("hari minggu lalu", date(2024, 11, 17)),
        ("Minggu", date(2024, 11, 17)),
        ("Jumat", date(2024, 11, 15)),
        ("jum'at kemarin", date(2024, 11, 15)),
        ("senin", MONDAY),
        ("senin lalu", MONDAY - timedelta(7)),
        ("17/11", date(2024, 11, 17)),
        ("17-11-24", date(2024, 11, 17)),
        ("17.11.2024", date(2024, 11, 17)),
        ("2024-11-03", date(2024, 11, 3)),
        ("17 Nov", date(2024, 11, 17)),
        ("5nov", date(2024, 11, 5)),
        ("17 november 2023", date(2023, 11, 17)),
        ("ada 3 orang pada 5 okt", date(2024, 10, 5)),
        ("20/2", date(2024, 2, 20)),
        ("29/2", date(2024, 2, 29)),
        ("31/12", date(2024, 12, 31)),
        ("30/6", date(2024, 6, 30)),
        ("tgl 5", date(2024, 11, 5)),
        ("19", date(2024, 10, 19)),
        ("31", date(2024, 10, 31)),
        ("١٧/١١", date(2024, 11, 17)),
        ("lusa", MONDAY + timedelta(2)),
        ("entah", None),
        ("32/13", None),
        ("", None),
        ("9" * 5000, None),
        ("12345678", None),
    ],
)
def test_days_are_read_as_people_say_them(words: str, meant: date | None) -> None:
    """Said on Monday 18 November 2024."""
    assert read_date(words, MONDAY) == meant


@given(DAYS, DAYS)
def test_a_full_date_is_read_whatever_the_day(day: date, today: date) -> None:
    """Figures and words with a year mean exactly that day."""
    for written in (f"{day:%d/%m/%Y}", f"{day:%Y-%m-%d}", f"{day.day} {MONTH_NAMES[day.month - 1]} {day.year}"):
        assert read_date(written, today) == day


@given(DAYS, st.integers(0, 300))
def test_a_date_without_a_year_is_the_last_such_day(today: date, back: int) -> None:
    """Somebody who tells what happened means the past."""
    day = today - timedelta(days=back)
    assert read_date(f"{day:%d/%m}", today) == day


@given(st.text(max_size=200), DAYS)
def test_no_words_break_the_reading_of_days(words: str, today: date) -> None:
    """Whatever is typed is a day or none."""
    found = read_date(words, today)
    assert found is None or isinstance(found, date)


def test_a_day_is_counted_from_the_day_of_the_answer() -> None:
    """ "Kemarin", said before midnight, is the same day when the flow runs again after midnight."""
    reader = past_day(MONDAY + timedelta(1), unsure=UNSURE)
    assert reader.read(Answer(text="kemarin", day=MONDAY.isoformat())) == MONDAY - timedelta(1)
    assert reader.read(Answer(choice="today", day=MONDAY.isoformat())) == MONDAY
    assert reader.read(Answer(choice="yesterday")) == MONDAY


def test_a_day_may_be_unsure_but_not_ahead() -> None:
    """What has not happened yet cannot be reported; what is forgotten can."""
    reader = past_day(MONDAY, unsure=UNSURE)
    assert reader.read(Answer(text="Lupa")) is None
    assert reader.read(Answer(choice="unsure")) is None
    assert refused(reader, Answer(text="besok")) == "errors.day_ahead"
    assert refused(reader, Answer(text="waktu itu")) == "errors.day_unknown"


@pytest.mark.parametrize(
    ("words", "reason"),
    [("", "errors.words_please"), (" \n ", "errors.words_please"), ("abc", "errors.too_short"), ("x" * 31, "errors.too_long")],
)
def test_words_have_two_lengths(words: str, reason: str) -> None:
    """Too little and too much are said as what they are."""
    assert refused(text(at_least=5, at_most=30), Answer(text=words)) == reason


def test_words_are_kept_as_they_are() -> None:
    """Only the blanks around them go."""
    assert text().read(Answer(text="  Camat X \n di aula 🙂 ")) == "Camat X \n di aula 🙂"
    assert text(optional=True).read(Answer(text=" Lewati. ")) == ""
    assert text(optional=True).read(Answer(choice=SKIP.value)) == ""


@pytest.mark.parametrize(("words", "value"), [("YA", "yes"), (" iya. ", "yes"), ("gak", "no"), ("Tidak!", "no"), ("tdk", "no")])
def test_yes_and_no_are_said_in_many_ways(words: str, value: str) -> None:
    """As people type them."""
    assert yes_no().read(Answer(text=words)) == value


@given(st.text(max_size=50))
def test_a_choice_takes_what_it_offers_and_nothing_else(words: str) -> None:
    """Other words are refused with what is possible, never guessed."""
    reader = choice(Option("left", keywords=("kiri",)), "right")
    if plain(words) in ("left", "kiri", "right"):
        assert reader.read(Answer(text=words)) in ("left", "right")
    else:
        assert refused(reader, Answer(text=words)) == "errors.choose_one"


def test_either_takes_an_option_or_what_the_reader_takes() -> None:
    """The options come first, the reader's own after them."""
    reader = either((YES, NO), text())
    assert [option.value for option in reader.options] == ["yes", "no"]
    assert reader.read(Answer(text="ya")) == "yes"
    assert reader.read(Answer(text="entahlah")) == "entahlah"


def test_photos_are_read_from_a_message() -> None:
    """Several at once, "done" in words, and a reason for anything else."""
    assert photos().read(Answer(photos=("a", "b"))) == ("a", "b")
    assert photos().read(Answer(text="Tidak punya foto.")) is None
    assert photos().read(Answer(choice="done")) is None
    assert refused(photos(), Answer(text="nanti saya kirim")) == "errors.photo_please"
    assert refused(photos(), Answer(text="lihat ini", refused=("video",))) == "errors.file_video"


@given(st.lists(st.integers(1, 12), max_size=6))
def test_photos_are_collected_up_to_a_limit(sizes: list[int]) -> None:
    """However they arrive, at most so many are taken, in order, and the person is told when some were too many."""

    async def flow(chat: Chat) -> list[str]:
        return await collect(chat, "photos", at_most=10)

    answers: dict[str, dict[str, Any]] = {}
    sent: list[str] = []
    for size in sizes:
        chat = Chat("toy", answers, now=NOW, started_at=NOW)
        drive(flow, chat)
        if chat.waiting is None:
            break
        group = [f"p{len(sent) + number}" for number in range(size)]
        sent += group
        answers[chat.waiting.name] = {"photos": group}
    chat = Chat("toy", answers, now=NOW, started_at=NOW)
    result = drive(flow, chat)
    if chat.waiting is not None:
        assert len(sent) < 10
        answers[chat.waiting.name] = {"choice": "done"}
        chat = Chat("toy", answers, now=NOW, started_at=NOW)
        result = drive(flow, chat)
    assert result == sent[:10]
    assert [one.text for one in chat.said] == (["errors.file_many"] if len(sent) > 10 else [])


@pytest.mark.parametrize(
    ("words", "reason"), [("1234", "errors.code_incomplete"), ("1" * 20, "errors.code_wrong_digit"), ("kode", "errors.code_incomplete")]
)
def test_a_code_that_is_none_is_explained(words: str, reason: str) -> None:
    """How many digits there were, or that one is wrong; nothing is derived for it."""
    assert refused(case_code(), Answer(text=words)) == reason
    assert case_code().read(Answer(receipt="handle")) == "handle"
