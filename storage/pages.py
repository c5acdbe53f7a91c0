"""Pages of a broadcast, where several processes send it together: laid out ahead of the walk, walked by whoever gets the job of one.

A page is up to 1,000 subscribers of one lane. Its deliveries are claimed and settled as ever, by the runner that opened it last; one that
died leaves what it had claimed as uncertain, and the page to the next. `docs/broadcasts.md` has the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, exists, func, insert, select, update

from storage.broadcasts import LEASE_SECONDS, RUNNING, Broadcast, Broadcasts
from storage.models import Broadcast as Row
from storage.models import BroadcastLane, BroadcastPage, Delivery

SIZE = 1000
QUEUED_SECONDS = 60
"""After so long another job is made for a page that nobody has opened."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The next part of a lane: from behind `after` up to `last`; `over`: the lane ends with it."""

    channel: str
    zone: str
    after: bytes
    last: bytes
    over: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page that somebody has opened, with its broadcast."""

    broadcast: Broadcast
    number: int
    channel: str
    zone: str
    cursor: bytes
    last: bytes
    doubtful: int


def ahead(connection: Connection, broadcasts: Broadcasts, broadcast: Broadcast, at_once: int) -> list[Stretch]:
    """What to lay out so that each channel has so many pages to walk. Only reads, so that a rare audience holds up nobody's turn."""
    found: list[Stretch] = []
    draft, now = broadcast.draft, broadcasts.clock()
    pages = connection.execute(select(BroadcastPage).where(BroadcastPage.broadcast_id == broadcast.id)).mappings().all()
    for channel in draft.channels:
        mine = [page for page in pages if page["channel"] == channel]
        # A budget of templates is counted when a page is opened: two pages at once could spend it twice.
        alone = channel == "whatsapp" and draft.templates_at_most
        free = 1 - len(mine) if alone else at_once - sum(page["cursor"] < page["last"] for page in mine)
        lanes = select(BroadcastLane).where(
            BroadcastLane.broadcast_id == broadcast.id, BroadcastLane.channel == channel, BroadcastLane.done.is_(False)
        )
        for lane in connection.execute(lanes.order_by(BroadcastLane.zone)).mappings():
            after, over = bytes(lane["cursor"]), draft.when.opens(lane["zone"], now) != 0.0
            while free > 0 and not over:
                names = broadcasts.candidates(connection, broadcast, channel, lane["zone"], after=after, limit=SIZE)
                last, over = names[-1] if names else after, len(names) < SIZE
                found.append(Stretch(channel, lane["zone"], after, last, over))
                after, free = last, free - bool(names)
    return found


def lay_out(connection: Connection, number: int, stretches: Sequence[Stretch], now: int) -> list[tuple[int, int]]:
    """Make pages of these stretches; the number and turn of every page for which a job is to be deferred in this transaction."""
    mine = and_(Row.id == number, Row.state == RUNNING)
    if connection.execute(update(Row).where(mine).values(lease=Row.lease)).rowcount != 1:  # one process at a time lays out
        return []
    here = BroadcastPage.broadcast_id == number
    highest = int(connection.execute(select(func.max(BroadcastPage.number)).where(here)).scalar() or 0)
    for one in stretches:
        lane = and_(
            BroadcastLane.broadcast_id == number,
            BroadcastLane.channel == one.channel,
            BroadcastLane.zone == one.zone,
            BroadcastLane.cursor == one.after,
            BroadcastLane.done.is_(False),
        )
        if connection.execute(update(BroadcastLane).where(lane).values(cursor=one.last, done=one.over)).rowcount != 1:
            continue  # another process was faster
        if one.last != one.after:
            highest += 1
            page = {"number": highest, "channel": one.channel, "zone": one.zone, "cursor": one.after, "last": one.last}
            connection.execute(insert(BroadcastPage).values(broadcast_id=number, turn=0, runner="", lease=0, **page))
    waiting = (
        update(BroadcastPage)
        .where(here, BroadcastPage.lease < now)
        .values(turn=BroadcastPage.turn + 1, runner="", lease=now + QUEUED_SECONDS)
    )
    made = connection.execute(waiting.returning(BroadcastPage.number, BroadcastPage.turn)).all()
    return sorted((int(row.number), int(row.turn)) for row in made)


def open_page(connection: Connection, broadcasts: Broadcasts, number: int, page: int, turn: int, runner: str) -> Page | None:
    """Hold a page from now on; None when another job has it. What an earlier runner claimed and did not settle is uncertain."""
    broadcast = broadcasts.get(connection, number)
    here = and_(BroadcastPage.broadcast_id == number, BroadcastPage.number == page, BroadcastPage.turn == turn)
    held = update(BroadcastPage).where(here).values(runner=runner, lease=broadcasts.now() + LEASE_SECONDS)
    if broadcast is None or connection.execute(held).rowcount != 1:
        return None
    row = connection.execute(select(BroadcastPage).where(here)).mappings().one()
    doubtful = broadcasts.doubt(connection, number, page)
    return Page(broadcast, page, row["channel"], row["zone"], bytes(row["cursor"]), bytes(row["last"]), doubtful)


def close_page(connection: Connection, number: int, page: int, runner: str, again: int) -> None:
    """Let a page go: it is forgotten when everybody on it has been dealt with, else another job is made for it from `again` on."""
    mine = and_(BroadcastPage.broadcast_id == number, BroadcastPage.number == page, BroadcastPage.runner == runner)
    connection.execute(update(BroadcastPage).where(mine).values(runner="", lease=again))
    open_ones = exists().where(Delivery.broadcast_id == number, Delivery.page == page, Delivery.state.in_(("claimed", "retry")))
    walked = and_(BroadcastPage.broadcast_id == number, BroadcastPage.number == page, BroadcastPage.runner == "")
    connection.execute(delete(BroadcastPage).where(walked, BroadcastPage.cursor == BroadcastPage.last, ~open_ones))
