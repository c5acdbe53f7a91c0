"""The pledge of neutrality: read and agreed point by point, counted, never kept with a name."""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import pytest

from faq.entries import load_entries
from faq.pledge import BadPledge, load_pledges
from storage.practice import Practice, pledge_figures
from tests.talk import Machine, Talk

PLEDGES = load_pledges()
POINTS = PLEDGES.current.points


def agreed(talk: Talk) -> Talk:
    """All points agreed, role and region skipped."""
    talk.says("pakta").taps("Mulai")
    for _ in POINTS:
        talk.taps("Setuju")
    return talk.taps("Lewati").taps("Lewati")


def test_the_pledge_is_read_point_by_point(talk: Talk) -> None:
    """Each point stands alone with its number, and each is agreed to."""
    talk.says("/pakta").hears("pledge.ready").taps("Mulai")
    for number, point in enumerate(POINTS, start=1):
        assert f"Butir {number} dari {len(POINTS)}" in talk.text and point.text in talk.text
        talk.says("setuju")
    talk.is_asked("pledge.role").says("guru").says("metro").hears("pledge.thanks").is_asked("pledge_paper.wish")


def test_whoever_does_not_agree_reads_the_rule_and_is_not_counted(machine: Machine, talk: Talk) -> None:
    """ "Belum setuju" leads to the entry that explains the point; nothing is noted."""
    talk.says("pakta").taps("Mulai").taps("Setuju").taps("Belum setuju").hears("pledge.stopped").taps("Baca aturannya")
    assert load_entries()[POINTS[1].entry].title in talk.text
    assert (
        machine.store.read_now(lambda connection: machine.counts.between(connection, dt.date.min, dt.date.max)).get("pledge.done") is None
    )


def test_a_point_whose_words_changed_is_asked_again(machine: Machine, talk: Talk) -> None:
    """A yes holds only for what was shown."""
    talk.says("pakta").taps("Mulai").taps("Setuju").taps("Setuju").says("/bahasa").taps("English").says("pakta").taps("Start")
    assert POINTS[0].text_en in talk.text


def test_a_pledge_is_counted_by_month_role_and_region(machine: Machine, talk: Talk) -> None:
    """Once, without a person; small numbers are hidden from everybody."""
    agreed(talk)
    month = machine.clock().date().replace(day=1)
    counted = machine.store.read_now(lambda connection: machine.counts.between(connection, month, month))
    version = PLEDGES.current.version
    assert counted == {"pledge.done": 1, f"pledge.version.{version}": 1, "pledge.role.unknown": 1, "pledge.region.unknown": 1}
    assert machine.store.read_now(pledge_figures).agreed is None
    practice = Practice(machine.counts)
    for region in ["18.07"] * 12 + ["18.72"] * 7 + ["19.01"] * 6:
        machine.store.write_now(partial(practice.agreed, day=month, version=version, role="guru", region=region))
    figures = machine.store.read_now(pledge_figures)
    assert figures.agreed == 26
    assert {cell.name: cell.number for cell in figures.by_province}["18"] == 19
    assert {cell.name: cell.number for cell in figures.by_regency}["18.07"] == 12


def test_the_paper_is_offered_and_its_name_forgotten(machine: Machine, talk: Talk) -> None:
    """The PDF is drawn when it is fetched; the conversation keeps no name."""
    agreed(talk).taps("Buat PDF").says("Bambang Sulistyo").hears("pledge_paper.ready")
    assert "Bambang" not in str(talk.state)
    waiting = machine.papers.downloads.take(next(message.document for message in talk.heard if message.document))
    assert waiting is not None and waiting.make().startswith(b"%PDF-")


def test_without_a_public_address_nobody_types_a_name_for_nothing(machine: Machine) -> None:
    """A channel that cannot be sent a file says so at once."""
    talk = Talk(machine, channel="whatsapp")
    agreed(talk).taps("Buat PDF").hears("papers.nowhere").is_asked("pledge_paper.wish")


def test_from_the_paper_to_the_quiz_and_home(machine: Machine) -> None:
    """Nobody is held up: the quiz, or enough."""
    agreed(Talk(machine)).taps("Ikut kuis").is_asked("quiz.ready")
    agreed(Talk(machine)).taps("Cukup").hears("pledge_paper.goodbye").is_asked("menu.wish")


def test_every_point_has_an_entry_and_a_mark_that_follows_the_words() -> None:
    """The mark on the paper is that of these very words; another version or mark is not verified."""
    entries = load_entries()
    assert all(point.entry in entries for point in POINTS)
    current = PLEDGES.current
    assert PLEDGES.verify(current.version, current.mark.upper()) is current
    assert PLEDGES.verify(current.version, "0" * 12) is None and PLEDGES.verify("1999-1", current.mark) is None


@pytest.mark.parametrize(
    "text", ["", "current = 'x'", "current = 'x'\n[versions]\n", "current = 'a'\n[versions.a]\ntitle = 1\npoints = []\n", "= ="]
)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    """Whatever is missing, the fault names the file or the version."""
    path = tmp_path / "pledge.toml"
    path.write_text(text)
    with pytest.raises(BadPledge, match=r"pledge\.toml|points"):
        load_pledges(path)
