"""Phrasings that curators of this installation teach the matcher: proposed by one person, accepted by another."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from storage.models import Phrasing as PhrasingRow

AT_MOST = 500
"""So many phrasings may wait or be in use: more belong into the repository, where the matcher is trained on them."""


@dataclass(frozen=True, slots=True)
class Phrasing:
    """A phrasing for an entry; accepted by nobody while it waits."""

    id: bytes
    entry: str
    words: str
    written_by: str
    accepted_by: str
    day: dt.date


def propose(connection: Connection, entry: str, words: str, by: str, day: dt.date) -> bytes | None:
    """Propose a phrasing; its id, or None when it is there already or there are as many as there may be."""
    known = every(connection)
    if len(known) >= AT_MOST or any(one.words.casefold() == words.casefold() and one.entry == entry for one in known):
        return None
    name = secrets.token_bytes(16)
    connection.execute(insert(PhrasingRow).values(id=name, entry=entry, words=words, written_by=by, accepted_by="", day=day))
    return name


def every(connection: Connection) -> list[Phrasing]:
    """All phrasings: those that wait first, then by entry."""
    rows = connection.execute(
        select(PhrasingRow.id, PhrasingRow.entry, PhrasingRow.words, PhrasingRow.written_by, PhrasingRow.accepted_by, PhrasingRow.day)
    )
    return sorted((Phrasing(*row) for row in rows), key=lambda one: (bool(one.accepted_by), one.entry, one.words, one.id))


def accepted(connection: Connection) -> list[Phrasing]:
    """What the matcher is to know."""
    return [one for one in every(connection) if one.accepted_by]


def accept(connection: Connection, phrasing: bytes, by: str, day: dt.date) -> bool:
    """Accept what somebody else proposed; False when it does not wait, or is one's own."""
    waits = (PhrasingRow.id == phrasing, PhrasingRow.accepted_by == "", PhrasingRow.written_by != by)
    return connection.execute(update(PhrasingRow).where(*waits).values(accepted_by=by, day=day)).rowcount == 1


def drop(connection: Connection, phrasing: bytes) -> bool:
    """Take a phrasing out, whether it waits or is in use; False when there is none."""
    return connection.execute(delete(PhrasingRow).where(PhrasingRow.id == phrasing)).rowcount == 1
