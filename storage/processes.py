"""Which processes of this installation live, and who works on whose rows. Only PostgreSQL has several; `docs/scale-out.md` has the reasons.

Every process beats in a row of its own, by the database's clock. Inbox and outbox rows carry the name of the process that works on them;
those of a process that has gone silent are taken over. A process that was only slow loses nothing by it: deleting an inbox row is what
makes a turn count, so a second run of it finds nothing to do.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Float, cast, delete, func, insert, select, update

from storage.models import Inbox, Outbox, Process

BEAT_SECONDS = 2.0
DEAD_AFTER_SECONDS = 15.0
"""A process that was silent for so long is dead: longer than a photo, a full batch or a short outage of the database takes."""


def new_name() -> str:
    """A name that no other process has."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process learns when it beats: whether it was still counted among the living, and whether it leads."""

    known: bool
    leads: bool


@dataclass(frozen=True, slots=True)
class Processes:
    """The process `name` among the others. `may_lead`: it can do what only one process may do at a time."""

    name: str
    may_lead: bool

    def beat(self, connection: Connection) -> Beat:
        """Be alive. The leader is the one that has lived longest of those that may lead."""
        known = connection.execute(update(Process).where(Process.name == self.name).values(beat=_now())).rowcount == 1
        if not known:
            connection.execute(insert(Process).values(name=self.name, may_lead=self.may_lead, since=_now(), beat=_now()))
        eldest = select(Process.name).where(Process.may_lead.is_(True), _lives()).order_by(Process.since, Process.name).limit(1)
        return Beat(known, connection.execute(eldest).scalar() == self.name)

    def workers(self, connection: Connection) -> int:
        """How many processes live that can do more than take turns."""
        return connection.execute(select(func.count()).select_from(Process).where(Process.may_lead.is_(True), _lives())).scalar_one()

    def take_over(self, connection: Connection) -> tuple[int, int]:
        """Make the rows of the dead one's own; how many of inbox and outbox."""
        connection.execute(delete(Process).where(~_lives()))
        living = select(Process.name)
        taken = [
            connection.execute(update(box).where(box.owner.not_in(living)).values(owner=self.name)).rowcount for box in (Inbox, Outbox)
        ]
        return taken[0], taken[1]

    def leave(self, connection: Connection) -> None:
        """End: what is left is free for the others at once."""
        connection.execute(delete(Process).where(Process.name == self.name))


def _now() -> ColumnElement[float]:
    return cast(func.extract("epoch", func.clock_timestamp()), Float(53))


def _lives() -> ColumnElement[bool]:
    return Process.beat >= _now() - DEAD_AFTER_SECONDS
