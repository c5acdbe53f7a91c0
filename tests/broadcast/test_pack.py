"""The ready pack: complete, within the limits, on days that exist, about entries that exist."""

from __future__ import annotations

import datetime as dt

import pytest

from faq.calendar import Calendar
from faq.entries import load_entries
from faq.reminders import DAYS, BadReminder, Reminder, day_of, load
from storage.drafts import SESSION_AT_MOST, Audience, Draft, OnWhatsApp, When, problems

VOTING = Calendar.load().election()


@pytest.mark.parametrize("reminder", load(), ids=lambda reminder: reminder.id)
def test_every_reminder_can_be_proposed(reminder: Reminder) -> None:
    """Each reminder is a draft without a problem, on both channels, in both languages."""
    day = day_of(reminder.day, VOTING)
    texts = {"id": reminder.text, "en": reminder.text_en}
    draft = Draft(
        reminder.title,
        reminder.kind,
        When(day, day, label=reminder.day),
        Audience(roles=reminder.roles),
        telegram=texts,
        whatsapp={language: OnWhatsApp(session=text) for language, text in texts.items()},
    )
    assert problems(draft, (), day) == []
    assert max(len(text) for text in texts.values()) < SESSION_AT_MOST / 2, "a reminder is read on a lock screen"
    assert reminder.day in DAYS


def test_facts_have_their_entries() -> None:
    """Every reminder names entries of the FAQ that say the same."""
    known = set(load_entries())
    for reminder in load():
        assert reminder.entries, reminder.id
        assert set(reminder.entries) <= known, reminder.id


def test_nothing_hints_at_a_report() -> None:
    """No reminder speaks to its reader as to somebody who reported."""
    for reminder in load():
        for words in ("laporan anda", "anda melapor", "kode laporan", "your report", "you reported"):
            assert words not in f"{reminder.text} {reminder.text_en}".lower(), reminder.id


@pytest.mark.parametrize(
    ("label", "day"),
    [("H", 27), ("H-1", 26), ("H-3", 24), ("H-4", 23), ("H-7", 20), ("H+1", 28), ("masa-tenang", 24)],
)
def test_days_relative_to_the_vote(label: str, day: int) -> None:
    """A label means its day before the vote of 27 November 2024."""
    assert day_of(label, VOTING) == dt.date(2024, 11, day)


def test_unknown_day_is_refused() -> None:
    """A label that means no day is an error, and so is an incomplete pack."""
    with pytest.raises(ValueError, match="no day"):
        day_of("lusa", VOTING)


def test_incomplete_pack(tmp_path: object) -> None:
    """A reminder without a text is named."""
    from pathlib import Path

    path = Path(str(tmp_path)) / "pack.toml"
    path.write_text('[one]\ntitle = "x"\n')
    with pytest.raises(BadReminder, match="one"):
        load(path)
