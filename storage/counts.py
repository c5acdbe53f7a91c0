"""Numbers, never persons; and questions that found no answer, kept only with consent."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.models import Count, Unanswered

WORDS_AT_MOST = 500


def _more(dialect: Any) -> Insert:
    new = dialect.insert(Count.__table__)
    counted: Insert = new.on_conflict_do_update(index_elements=["day", "name"], set_={"number": Count.number + new.excluded.number})
    return counted


_MORE = {"sqlite": _more(sqlite), "postgresql": _more(postgresql)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that found no good answer, and the entries that were nearest."""

    id: bytes
    words: str
    nearest: tuple[str, ...]
    day: dt.date


class Counts:
    """Counts what happens on a day."""

    def add(self, connection: Connection, day: dt.date, name: str, number: int = 1) -> None:
        """Count one more."""
        self.add_all(connection, {(day, name): number})

    def add_all(self, connection: Connection, numbers: Mapping[tuple[dt.date, str], int]) -> None:
        """Count many things, in an order that all processes keep, so that none waits for another in a circle."""
        if numbers:
            rows = [{"day": day, "name": name[:80], "number": number} for (day, name), number in sorted(numbers.items())]
            connection.execute(_MORE[connection.dialect.name], rows)

    def between(self, connection: Connection, first: dt.date, last: dt.date) -> dict[str, int]:
        """The sums of all counts of these days."""
        sums: dict[str, int] = {}
        for row in connection.execute(select(Count.name, Count.number).where(Count.day.between(first, last))):
            sums[row.name] = sums.get(row.name, 0) + row.number
        return sums

    def keep_unanswered(self, connection: Connection, day: dt.date, words: str, nearest: Sequence[str]) -> None:
        """Keep the words of a question for the curators; the caller has masked personal data."""
        connection.execute(
            insert(Unanswered).values(id=secrets.token_bytes(16), words=words[:WORDS_AT_MOST], nearest=" ".join(nearest)[:200], day=day)
        )

    def unanswered(self, connection: Connection, limit: int) -> list[Asked]:
        """The questions for the curators, newest first."""
        query = select(Unanswered.id, Unanswered.words, Unanswered.nearest, Unanswered.day)
        rows = connection.execute(query.order_by(Unanswered.day.desc(), Unanswered.id).limit(limit))
        return [Asked(row.id, row.words, tuple(row.nearest.split()), row.day) for row in rows]

    def read(self, connection: Connection, question: bytes) -> bool:
        """A curator has read a question: it goes."""
        return connection.execute(delete(Unanswered).where(Unanswered.id == question)).rowcount == 1
