"""Which rules a tip may touch: the nearest entries of the FAQ with their basis and the sanction of that day's stage."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faq.calendar import Election
from faq.entries import Entry

if TYPE_CHECKING:
    from faq.match import Faq

SHOWN = 3
LIKELY = 0.05


@dataclass(frozen=True, slots=True)
class Related:
    """An entry that may fit, and what follows at that stage."""

    entry: Entry
    confidence: float
    stage: str
    stage_en: str
    sanction: str
    sanction_pppk: str


def related(faq: Faq, election: Election, words: str, when: str, arrived: dt.date) -> list[Related]:
    """The entries nearest to a tip's words, most likely first; the day of the deed decides the stage, else the day of arrival."""
    try:
        day = dt.date.fromisoformat(when)
    except ValueError:
        day = arrived
    stage, before = election.stage(day), election.before_candidates(day)
    found = []
    for candidate in faq.ask(words, day).candidates[:SHOWN]:
        entry = faq.entries.get(candidate.entry)
        if entry is None or candidate.confidence < LIKELY:
            continue
        sanction, pppk = (
            (entry.sanction.before, entry.sanction.before_pppk) if before else (entry.sanction.after, entry.sanction.after_pppk)
        )
        found.append(Related(entry, candidate.confidence, stage.name, stage.name_en, sanction, pppk))
    return found
