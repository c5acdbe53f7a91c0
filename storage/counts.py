"""Numbers, never persons; and questions that found no answer, kept only with consent."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.models import Count, Unanswered

WORDS_AT_MOST = 500


class Counts:
    """Counts what happens on a day."""

    def add(self, connection: Connection, day: dt.date, name: str, number: int = 1) -> None:
        """Count one more."""
        row = (Count.day == day) & (Count.name == name[:80])
        if connection.execute(update(Count).where(row).values(number=Count.number + number)).rowcount:
            return
        savepoint = connection.begin_nested()
        try:
            connection.execute(insert(Count).values(day=day, name=name[:80], number=number))
            savepoint.commit()
        except IntegrityError:
            savepoint.rollback()
            connection.execute(update(Count).where(row).values(number=Count.number + number))

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
