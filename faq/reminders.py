"""The ready pack of reminders: what is worth saying on which day before the vote, in both languages."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faq.calendar import Election

PACK: Final = Path(__file__).parent / "reminders.toml"
DAYS: Final = ("H-30", "H-14", "H-7", "H-4", "H-3", "masa-tenang", "H-1", "H", "H+1")
"""Days relative to the vote that are offered everywhere; `masa-tenang` is the first day of the quiet period."""


class BadReminder(ValueError):
    """The pack holds something incomplete."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """One reminder of the pack."""

    id: str
    title: str
    title_en: str
    kind: str
    roles: tuple[str, ...]
    day: str
    text: str
    text_en: str
    entries: tuple[str, ...]
    """Entries of the FAQ that say the same at length."""


def day_of(label: str, election: Election) -> dt.date:
    """The day that a label means: H-3, H, H+1, or the first day of a stage. Raises `ValueError`."""
    if match := re.fullmatch(r"H(?:([+-])(\d{1,3}))?", label):
        days = int(match[2] or 0)
        return election.vote + dt.timedelta(days=-days if match[1] == "-" else days)
    try:
        return election.named(label).begins
    except StopIteration:
        raise ValueError(f"{label} is no day relative to the vote") from None


def load(path: Path = PACK) -> tuple[Reminder, ...]:
    """The pack, in order of its days. Raises `BadReminder`."""
    tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))
    found = []
    for name, table in tables.items():
        try:
            found.append(
                Reminder(
                    name,
                    table["title"],
                    table["title_en"],
                    table["kind"],
                    tuple(table.get("roles", ())),
                    table["day"],
                    table["text"].strip(),
                    table["text_en"].strip(),
                    tuple(table.get("entries", ())),
                )
            )
        except KeyError as reason:
            raise BadReminder(f"{path.name}: {name} has no {reason}") from reason
    return tuple(found)
