"""May I do this? From a person's words to a verdict, and what follows it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bot.chat import Chat
from bot.questions import NO, YES
from bot.turn import drive
from faq.match import Faq
from handlers.self_check import self_check
from storage.models import Count, Unanswered
from tests.conftest import Clock
from tests.known_faq import LIKE, SEEN, SHIRT, KnownFaq
from tests.talk import Machine, Talk
from tests.test_chat import NOW

LIKES, LOOKS, SHIRTS = "bole ga sy like postingan cabup?", "boleh melihat unggahan calon?", "boleh terima kaos dari calon?"


@pytest.fixture(scope="session")
def faq() -> Faq:
    """A FAQ without a matcher."""
    return KnownFaq()


def counted(machine: Machine) -> dict[str, int]:
    """What was counted so far."""
    with machine.store.engine.connect() as connection:
        return {row.name: row.number for row in connection.execute(Count.__table__.select())}


def unanswered(machine: Machine) -> list[str]:
    """The questions that were kept for the curators."""
    with machine.store.engine.connect() as connection:
        return [row.words for row in connection.execute(Unanswered.__table__.select())]


# --- answers ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("question", "entry", "verdict"), [(LIKES, LIKE, "DILARANG"), (LOOKS, SEEN, "BOLEH")])
def test_an_answer_names_the_act_and_its_verdict(machine: Machine, talk: Talk, question: str, entry: str, verdict: str) -> None:
    """With the entry's own words and the stage of the day."""
    talk.says(question).is_asked("self_check.next.0.0")
    known = machine.faq.entries[entry]
    assert f"{known.title}: {verdict}" in talk.text
    assert known.short in talk.text
    assert "masa kampanye" in talk.text and "18/11/2024" in talk.text


def test_conditions_are_asked_until_the_verdict_is_definite(machine: Machine, talk: Talk) -> None:
    """Each way through them ends in one outcome; back asks the last one again."""
    entry = machine.faq.entries[SHIRT]
    talk.says(SHIRTS).is_asked("self_check.condition.0.0")
    assert entry.conditions[0].ask in talk.text
    talk.taps("Ya").is_asked("self_check.condition.0.1").says("kembali").is_asked("self_check.condition.0.0")
    talk.says("tidak").is_asked("self_check.next.0.0")
    assert entry.outcomes[entry.conditions[0].no].text in talk.text


@pytest.mark.parametrize("language", ["id", "en"])
def test_every_conditional_entry_leads_to_an_outcome(faq: Faq, language: str) -> None:
    """Whatever is answered, a yes or no to each condition ends in a verdict, and never in a bare "it depends"."""
    flow = self_check(faq)
    for entry in faq.entries.values():
        told = {outcome.text_en if language == "en" else outcome.text for outcome in entry.outcomes.values()}
        for said in itertools.product((YES, NO), repeat=len(entry.conditions)):
            answers: dict[str, dict[str, Any]] = {"question": {"choice": f"entry:{entry.id}"}}
            for answer in (*said, None):
                chat = Chat("self_check", answers, now=NOW, started_at=NOW, language=language)
                drive(flow, chat)
                assert chat.waiting is not None
                if answer is None or not chat.waiting.name.startswith("condition"):
                    break
                answers[chat.waiting.name] = {"choice": answer.value}
            assert chat.waiting is not None and chat.waiting.name == "next.0.0"
            card = next(one for one in chat.said if one.text in ("self_check.outcome", "self_check.card"))
            assert (card.text == "self_check.outcome") == bool(entry.conditions)
            if entry.conditions:
                assert card.facts["outcome"] in told
                assert card.facts["verdict"].text != "self_check.verdict.bersyarat"


@pytest.mark.parametrize("days", [-60, -20, 0, 7, 9, 15, 60])
def test_stage_and_sanction_depend_on_the_day(machine: Machine, clock: Clock, talk: Talk, days: int) -> None:
    """The stage of the day is said, an election that is over is said to be over, and the sanction is that of the day."""
    clock.forward(days=days)
    election = machine.faq.calendar.election()
    today = clock().date()
    talk.says(LIKES)
    if election.over(today):
        talk.hears("self_check.election_over")
    else:
        assert election.stage(today).name in talk.text
    sanction = machine.faq.entries[LIKE].sanction
    talk.taps("Sanksi")
    assert (sanction.before if election.before_candidates(today) else sanction.after) in talk.text


def test_a_day_in_the_question_counts(machine: Machine, talk: Talk) -> None:
    """Asked about the polling day, the stage is that day's."""
    talk.says("boleh like postingan cabup tanggal 27 november 2024?")
    assert "27/11/2024" in talk.text and "hari pemungutan suara" in talk.text


def test_besok_stays_the_same_day(clock: Clock, talk: Talk) -> None:
    """An answer that is looked at again after midnight speaks of the day that was asked about."""
    talk.says("boleh like postingan cabup besok?")
    assert "19/11/2024" in talk.text
    clock.forward(hours=20)
    talk.says("bantuan")
    assert "19/11/2024" in talk.text


def test_everything_that_follows_an_answer(machine: Machine, talk: Talk) -> None:
    """Legal basis, sanction, what instead, a text to pass on: each once, by button, word or number."""
    entry = machine.faq.entries[LIKE]
    talk.says(LIKES).taps("Dasar hukum")
    for basis in entry.basis:
        assert basis.says in talk.text
    assert "Dasar hukum" not in talk.labels
    talk.says("sanksi").hears("self_check.sanction")
    talk.says("1")
    assert entry.instead in talk.text and entry.if_happened in talk.text and entry.ask in talk.text
    talk.says("kirim ke rekan").hears("self_check.share")
    assert entry.basis[0].regulation in talk.text
    talk.taps("Tanya lagi").is_asked("self_check.question")


def test_the_next_question_may_follow_at_once(talk: Talk) -> None:
    """Without any button; words that are longer than a question are refused kindly."""
    talk.says(LIKES).says(LOOKS).is_asked("self_check.next.0.0")
    assert "BOLEH" in talk.text
    talk.says("x" * 1600).hears("errors.too_long").is_asked("self_check.next.0.0")


def test_a_very_long_first_question_is_explained(talk: Talk) -> None:
    """In the menu, too: nothing is swallowed silently."""
    talk.says("halo").says("apakah " * 400).hears("errors.too_long").is_asked("self_check.question")


# --- choosing, browsing, declining ---------------------------------------------------------------------------------------------------


def test_several_that_may_be_meant_are_offered(machine: Machine, talk: Talk) -> None:
    """Never an answer alone; the right one is picked by button, word or number."""
    talk.says("boleh pose begini?").hears("self_check.which").is_asked("self_check.which")
    assert len(talk.labels) == 5
    assert machine.faq.entries[LIKE].title in talk.labels
    talk.says("2").is_asked("self_check.next.0.0")
    assert "DILARANG" in talk.text


@pytest.mark.parametrize(("answer", "kept"), [("ya", ["boleh pose begini? HP [dihapus]"]), ("tidak", [])])
def test_words_are_kept_for_the_curators_only_with_consent(machine: Machine, talk: Talk, answer: str, kept: list[str]) -> None:
    """Without identity; who says no leaves nothing."""
    talk.says("boleh pose begini? HP 0812-3456-7890").says("tidak ada yang cocok").hears("self_check.consent").says(answer)
    talk.is_asked("menu.wish")
    assert unanswered(machine) == kept
    if kept:
        talk.hears("self_check.noted")


def test_not_helpful_offers_what_is_near(machine: Machine, talk: Talk) -> None:
    """Another entry, or after "none of these" the question of consent."""
    talk.says(LIKES).taps("Tidak membantu").is_asked("self_check.nearest.0")
    assert 2 <= len(talk.labels) <= 6
    talk.says("tidak ada yang cocok").is_asked("self_check.consent").says("ya").hears("self_check.noted")
    assert unanswered(machine) == [LIKES]
    assert counted(machine)[f"not_helpful.{LIKE}"] == 1


def test_helpful_is_counted(machine: Machine, talk: Talk) -> None:
    """And thanked for."""
    talk.says(LIKES).taps("Membantu").hears("self_check.thanks").is_asked("menu.wish")
    assert counted(machine)[f"helpful.{LIKE}"] == 1


def test_every_topic_and_every_entry_can_be_browsed(machine: Machine) -> None:
    """Each entry is reached by its topic, in pages, none forgotten."""
    seen: set[str] = set()
    for _ in range(40):
        talk = Talk(machine, chat="browsing")
        talk.says("/tanya").says("pilih topik")
        topics: list[str] = []
        while talk.waiting.startswith("self_check.topic"):
            page = [label for label in talk.labels if label not in ("Topik lain", "Kembali", "Batal")]
            topics += page
            left = next((label for label in page if label not in seen), "")
            if left:
                seen.add(left)
                talk.taps(left)
                break
            if "Topik lain" not in talk.labels:
                break
            talk.taps("Topik lain")
        if not talk.waiting.startswith("self_check.pick"):
            break
        while True:
            seen |= {label for label in talk.labels if label not in ("Berikutnya", "Kembali", "Batal")}
            if "Berikutnya" not in talk.labels:
                break
            talk.taps("Berikutnya")
    missing = [entry.id for entry in machine.faq.entries.values() if entry.title not in seen]
    assert missing == []


def test_what_lies_beside_the_subject(talk: Talk) -> None:
    """A short, kind reply, and the menu."""
    talk.says("makasih ya min").is_asked("menu.wish")
    assert "\n" in talk.text
    talk.says("resep rendang").hears("self_check.decline").is_asked("menu.wish")


def test_a_report_is_offered_the_tip(machine: Machine, talk: Talk) -> None:
    """Or an answer all the same."""
    talk.says("lurah bagi-bagi sembako").hears("self_check.report").is_asked("self_check.report")
    assert talk.labels[:2] == ["Buat laporan", "Tidak, tanya saja"]
    talk.says("tidak, tanya saja").is_asked("self_check.consent")


def test_the_answer_offers_a_report(talk: Talk) -> None:
    """Who saw it done by somebody else goes on from the answer."""
    talk.says(LIKES).taps("Laporkan").is_asked("tip.indicator")


def test_a_deep_link_opens_one_entry(talk: Talk) -> None:
    """Also while something else goes on."""
    talk.says("/lapor").says("/start tanya-sosmed__like-postingan").is_asked("self_check.next.0.0")
    assert "DILARANG" in talk.text


# --- counting -----------------------------------------------------------------------------------------------------------------------------


def test_an_answer_is_counted_once(machine: Machine, talk: Talk) -> None:
    """Help, old buttons, other languages, restarts: what was answered once is counted once."""
    talk.says(LIKES)
    old = talk.buttons[0].token
    talk.says("bantuan").taps("Dasar hukum").presses(old).presses("x").says("x" * 1600)
    machine.restart()
    talk.says("bantuan")
    assert counted(machine)[f"asked.{LIKE}"] == 1
    assert counted(machine)["self_check.answer"] == 1
    talk.says(LIKES)
    assert counted(machine)[f"asked.{LIKE}"] == 2


def test_in_english(machine: Machine) -> None:
    """Title, verdict and text of the entry are English for who speaks it."""
    talk = Talk(machine)
    talk.says("may i like postingan cabup?", language="en")
    entry = machine.faq.entries[LIKE]
    assert entry.title_en in talk.text and entry.short_en in talk.text
    assert "DILARANG" not in talk.text
