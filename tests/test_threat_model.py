"""The threat model's promises are held by tests that exist, and are the promises that people read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.texts import Texts

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "threat-model.md").read_text("utf-8")


def test_every_decision_names_tests_that_exist() -> None:
    """D1 to D14 each have a row, and every test named there is one of ours."""
    ours = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))}
    rows = dict(re.findall(r"^\| (D\d+) \|.*\| (.*) \|$", DOCUMENT, flags=re.M))
    assert list(rows) == [f"D{number}" for number in range(1, 15)]
    for decision, held in rows.items():
        named = re.findall(r"`(test_\w+)`", held)
        assert named and set(named) <= ours, (decision, set(named) - ours)


@pytest.mark.parametrize("text", ["privacy.promise", "privacy.limits"])
def test_the_bot_says_what_the_document_says(text: str) -> None:
    """Each promise and each limit in the bot stands in the document, in Indonesian and English as many."""
    texts, letter = Texts.load(), "P" if text.endswith("promise") else "N"
    there = re.findall(rf"^(?:\| {letter}\d \||- {letter}\d )", DOCUMENT, flags=re.M)
    for language in ("id", "en"):
        assert len(re.findall(r"^\d\. ", texts.plain(language, text), flags=re.M)) == len(there)


def test_the_short_form_keeps_every_promise_and_limit() -> None:
    """The Indonesian short form holds the bot's own sentences."""
    short = " ".join((ROOT / "docs" / "threat-model.id.md").read_text("utf-8").split())
    for line in re.findall(r"^\d\. (.*)$", Texts.load().plain("id", "privacy.promise"), flags=re.M):
        assert line.rstrip(".") in short, line
