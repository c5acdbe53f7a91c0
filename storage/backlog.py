"""How much waits, and since when. No row holds a time: what is the oldest is known by its number, and whoever watches knows since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from storage.models import Inbox, Outbox


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of a box: how many there are in all, and the number of the first that this process has to see to; 0 for none."""

    rows: int
    first: int


def inbox(connection: Connection, owner: str) -> Waiting:
    """The messages that wait for an answer."""
    rows = connection.execute(select(func.count()).select_from(Inbox)).scalar_one()
    first = connection.execute(select(func.min(Inbox.id)).where(Inbox.owner == owner)).scalar_one()
    return Waiting(rows, first or 0)


def outbox(connection: Connection, owner: str, channels: Sequence[str]) -> Waiting:
    """The messages that wait to be sent by these channels; those that people fetch themselves wait for them."""
    mine = Outbox.channel.in_(channels)
    rows = connection.execute(select(func.count()).select_from(Outbox).where(mine)).scalar_one()
    first = connection.execute(select(func.min(Outbox.id)).where(mine, Outbox.owner == owner)).scalar_one()
    return Waiting(rows, first or 0)
