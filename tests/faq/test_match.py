"""The matcher: what follows from a question, and what never does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faq.confidence import NAMES, Judge, Signals, softmax
from faq.match import SHOWN, Candidate, Faq, Found, about_another, acts
from faq.normalise import Reading
from faq.voices import Features, Voices, pairs, parts

FAQ = Faq.load()
VERDICTS = {name: entry.verdict for name, entry in FAQ.entries.items()}


def found(question: str) -> Found:
    """Ask on a day of the campaign."""
    return FAQ.ask(question, date(2024, 11, 1))


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("Apakah ASN boleh menyukai unggahan calon bupati di Facebook?", "sosmed.like-postingan"),
        ("bole ga sy ngelike postingan cabup?", "sosmed.like-postingan"),
        ("nempel stiker paslon di motor pribadi boleh gk", "atribut.stiker-kendaraan"),
        ("saya mau daftar jadi anggota partai, PNS boleh?", "partai.anggota-pengurus"),
        ("mobil dinas dipakai buat antar rombongan kampanye paslon, boleh?", "fasilitas.mobil-dinas"),
    ],
)
def test_plain_questions_are_answered(question: str, entry: str) -> None:
    """With the entry meant, its verdict, and candidates to look at."""
    answer = found(question)
    assert (answer.outcome, answer.entries) == ("answer", (entry,))
    assert answer.candidates[0].entry == entry and answer.candidates[0].verdict == VERDICTS[entry]
    assert len(answer.candidates) >= 3


@pytest.mark.parametrize("question", ["selamat pagi", "kapan gaji 13 cair?", "cara ganti password myasn", "resep rendang dong"])
def test_what_lies_beside_the_subject_is_declined(question: str) -> None:
    """Kindly, with a redirect where there is one."""
    answer = found(question)
    assert answer.outcome == "decline" and answer.redirect is not None and not answer.entries


@pytest.mark.parametrize(
    "question",
    [
        "saya mau melaporkan camat yang ikut kampanye, ke mana ya?",
        "lapor min, kadis bagi kaos paslon, ada videonya",
        "cara ngaduin kepsek yg dukung petahana gmn",
    ],
)
def test_who_wants_to_report_is_offered_the_tip_flow(question: str) -> None:
    """Not an answer."""
    answer = found(question)
    assert answer.outcome == "report" and answer.about_another and not answer.entries


@pytest.mark.parametrize("question", ["", " ", "?!", "\x00\x07", "\U0001f600" * 50, "\u4f60\u597d", "a", "boleh ga ya min?"])
def test_nothing_to_go_by_is_never_answered(question: str) -> None:
    """However short or strange."""
    assert found(question).outcome in ("decline", "choose")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=600))
def test_whatever_people_type_the_matcher_holds_its_promises(question: str) -> None:
    """It never fails, never invents an entry, never shows more than it may."""
    answer = FAQ.ask(question)
    assert answer.outcome in ("answer", "choose", "decline", "report")
    assert bool(answer.entries) == (answer.outcome == "answer")
    assert len(answer.entries) <= 2 and len(answer.candidates) <= SHOWN
    assert all(candidate.entry in FAQ.entries and 0.0 <= candidate.confidence <= 1.0 for candidate in answer.candidates)
    if answer.outcome == "choose":
        assert len(answer.candidates) == SHOWN
    json.dumps(answer.to_json())


@pytest.mark.parametrize("text", ["kampanye " * 700, "x" * 5000, "boleh ga " * 600, "a b c d e f g " * 400])
def test_five_thousand_characters_are_read(text: str) -> None:
    """As far as they matter."""
    assert FAQ.ask(text).question == text


WORDS = st.sampled_from(sorted({word for entry in list(FAQ.entries.values())[::3] for word in entry.title.lower().split()}))


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12).map(" ".join))
def test_a_boleh_never_comes_without_its_guards(question: str) -> None:
    """Any jumble of the entries' own words: a direct "boleh" leads clearly, is explained, and leaves no risky word over."""
    answer = FAQ.ask(question)
    if len(answer.entries) == 1 and VERDICTS[answer.entries[0]] == "boleh":
        signals = FAQ.matcher.rank(FAQ.matcher.lexicon.read(question)).signals
        assert FAQ.judge.safe(signals) and answer.confidence >= FAQ.judge.answer["boleh"]
        assert signals.risk == 0 and signals.covered >= FAQ.judge.covered and signals.lead_verdict >= FAQ.judge.lead_verdict


SURE = Signals(**dict.fromkeys(NAMES, 1.0))


@pytest.mark.parametrize(
    "weakness",
    [{"risk": 1.0}, {"covered": 0.1}, {"lead_verdict": 0.0}, {"ridge_lead": -0.1}, {"bayes_lead": -0.1}],
    ids=lambda weakness: next(iter(weakness)),
)
def test_each_guard_of_a_boleh_stands_alone(weakness: dict[str, float]) -> None:
    """One weakness is enough to ask instead; other verdicts need no guard."""
    safe = replace(SURE, risk=0.0)
    judge: Judge = FAQ.judge
    assert judge.answers("boleh", 1.0, safe)
    assert not judge.answers("boleh", 1.0, replace(safe, **weakness))
    assert judge.answers("dilarang", 1.0, replace(safe, **weakness))
    assert not judge.answers("dilarang", 0.0, safe)


def test_boleh_needs_the_most() -> None:
    """The thresholds know which mistake is the worst."""
    assert FAQ.judge.answer["boleh"] >= max(FAQ.judge.answer["dilarang"], 0.85)


def test_a_date_in_the_question_shifts_the_day() -> None:
    """Otherwise the day asked on is the day asked about."""
    assert found("besok pas nyoblos boleh pakai kaos paslon?").day == date(2024, 11, 27)
    assert found("boleh pakai kaos paslon?").day == date(2024, 11, 1)
    assert FAQ.ask("boleh pakai kaos paslon?").day is None


def test_json_is_what_scripts_rely_on() -> None:
    """Names and types of `netra ask --json`."""
    table = found("bole ga sy ngelike postingan cabup?").to_json()
    assert list(table) == ["question", "outcome", "entry", "verdict", "confidence", "candidates"]
    assert table["entry"] == "sosmed.like-postingan" and table["verdict"] == "dilarang"
    assert list(table["candidates"][0]) == ["entry", "verdict", "title", "confidence"]
    empty = found("").to_json()
    assert empty["entry"] is None and empty["verdict"] is None and empty["candidates"] == []


def test_json_of_two_acts_names_the_strictest() -> None:
    """Even where the other one is the better match."""
    both = Found(
        "q", "answer", ("a", "b"), (Candidate("b", "boleh", "B", 0.9), Candidate("a", "dilarang", "A", 0.1)), 0.9, None, None, False
    )
    assert both.to_json()["entry"] == "a" and both.to_json()["verdict"] == "dilarang"


@pytest.mark.parametrize(
    ("text", "another"),
    [
        ("teman saya ikut kampanye boleh tidak", True),
        ("kepala dinas pakai mobil dinas buat kampanye", True),
        ("saya ikut kampanye bareng teman", False),
        ("suami saya jadi calon", True),
        ("boleh ikut kampanye?", False),
    ],
)
def test_another_person_is_noticed(text: str, another: bool) -> None:
    """ "Suami saya" is the husband, not the speaker."""
    assert about_another(FAQ.matcher.lexicon.words(text)) is another


def test_two_acts_are_taken_apart_at_the_joining_word() -> None:
    """Only where both halves say something."""
    words = ("like", "postingan", "calon", "dan", "tempel", "stiker", "motor")
    halves = acts(Reading(words, words, tuple(word for word in words if word != "dan")))
    assert [half.content for half in halves] == [("like", "postingan", "calon"), ("tempel", "stiker", "motor")]
    assert acts(Reading(("dan", "like"), ("dan", "like"), ("like",))) == []


def test_features_of_known_and_unknown_words() -> None:
    """Parts of words and words each have length one; what is unknown counts nothing."""
    vocabulary = [*sorted(set(parts("kaos"))), *sorted(pairs(["kaos", "calon"]))]
    features = Features(vocabulary, np.ones(len(vocabulary), dtype=np.float32))
    rows, weights = features.of(Reading(("kaos", "kaos"), ("kaos", "calon"), ("kaos", "calon")))
    cut = features.first_word
    assert weights[rows < cut] @ weights[rows < cut] == pytest.approx(1.0)
    assert weights[rows >= cut] @ weights[rows >= cut] == pytest.approx(1.0)
    rows, weights = features.of(Reading(("zzz",), ("zzz",), ("zzz",)))
    assert len(rows) == len(weights) == 0


def test_full_rows_and_lists_of_weights_say_the_same() -> None:
    """A table in two shapes is one table."""
    table = np.array([[1, -2, 0, 3], [0, 0, 5, 0], [7, 0, 0, 0]], dtype=np.int8)
    scale = np.array([1.0, 0.5, 2.0], dtype=np.float32)
    voices = Voices(
        scale,
        np.array([0, -1, -1], dtype=np.int32),
        table[:1],
        np.array([0, 0, 1, 2], dtype=np.int32),
        np.array([2, 0], dtype=np.uint16),
        np.array([5, 7], dtype=np.int8),
    )
    weights = np.array([1.0, 2.0, 0.5], dtype=np.float32)
    said = voices.scores(np.arange(3, dtype=np.int32), weights)
    assert said.ravel() == pytest.approx((weights * scale) @ table.astype(np.float32))
    assert voices.scores(np.array([], dtype=np.int32), np.array([], dtype=np.float32)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6))
def test_shares_sum_to_one(scores: list[float]) -> None:
    """Whatever the scores."""
    assert sum(softmax(scores)) == pytest.approx(1.0)


def test_the_same_question_has_the_same_answer() -> None:
    """Twice in a row, and from a second copy."""
    question = "kalau cuma nonton live cabup di tiktok sambil kasih hati gimana"
    assert FAQ.ask(question).to_json() == FAQ.ask(question).to_json() == Faq.load().ask(question).to_json()
