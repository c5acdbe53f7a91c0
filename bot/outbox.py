"""The sender: what is committed goes out, in order per chat, within the platform's pace.

How each step errs: a reply is sent before its row is deleted, so a crash in between repeats it (a doubled reply harms nobody, a lost
receipt code would). An answer that never came (`unknown_outcome`) is not repeated, except for a message that holds a receipt code.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import InterfaceError, OperationalError

from bot.channels import Channel
from bot.channels.limits import SendError
from bot.logs import log
from bot.messages import Address
from bot.metrics import SENT
from bot.pacer import OTHER_RATE, RATES, Pacer, Recent
from storage.conversations import Conversations, Queued
from storage.store import Store

GIVE_UP_AFTER = 60
FINISH_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 300.0
BEHIND_SECONDS, BEHIND_AT_MOST_SECONDS = 0.03, 1.0
"""So often a chat's messages look whether another process has sent the ones before; ever more rarely."""


@dataclass(slots=True)
class _Lane:
    """The messages of one chat that wait to be sent."""

    task: asyncio.Task[None] | None = None
    rows: deque[Queued] = field(default_factory=deque)
    look: bool = False
    """The database may hold messages that are not in `rows`."""


AWAY_SECONDS = 1.0


class Sender:
    """Sends the outbox of the channels that push; the others are asked for their messages."""

    def __init__(self, store: Store, conversations: Conversations, channels: Mapping[str, Channel]) -> None:
        self.store, self.conversations, self.channels = store, conversations, channels
        self.pacers = {name: Pacer(RATES.get(name, OTHER_RATE)) for name in channels}
        self.recent = Recent()
        self._lanes: dict[Address, _Lane] = {}
        self._stopping = False
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Take up what an earlier run left."""
        for name in self.channels:
            rows = await self.store.read(lambda connection, name=name: self.conversations.unsent(connection, channel=name))  # type: ignore[misc]
            for address in dict.fromkeys(row.address for row in rows):
                self.wake(address)

    def queue(self, rows: Sequence[Queued]) -> None:
        """These messages, all of one chat and just committed, are to be sent after those that wait already."""
        if rows and (lane := self._lane(rows[0].address)):
            lane.rows.extend(rows)

    def wake(self, address: Address) -> None:
        """There is something to send to this chat."""
        if lane := self._lane(address):
            lane.look = True

    def _lane(self, address: Address) -> _Lane | None:
        if address.channel not in self.channels or self._stopping:
            return None
        lane = self._lanes.get(address)
        if lane is None:
            lane = self._lanes[address] = _Lane()
            lane.task = asyncio.get_running_loop().create_task(self._drain(address, lane))
        return lane

    async def idle(self) -> None:
        """Wait until nothing is being sent."""
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Stop sending; what was not begun stays in the outbox, what is on the wire is waited for, so that it is not sent again."""
        self._stopping = True
        self._stopped.set()
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=FINISH_SECONDS)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _drain(self, address: Address, lane: _Lane) -> None:
        pause = BEHIND_SECONDS
        try:
            while (lane.look or lane.rows) and not self._stopping:
                try:
                    if lane.look:
                        await self._look(address, lane)
                    elif lane.rows[0].owner != self.conversations.owner:
                        await self._nap(pause)
                        pause, lane.look = min(2 * pause, BEHIND_AT_MOST_SECONDS), True
                    else:
                        pause = BEHIND_SECONDS
                        lane.look = not await self._send(lane.rows.popleft()) or lane.look
                except (OperationalError, InterfaceError):  # the database is away: what waits is looked for when it is there again
                    lane.look = True
                    await self._nap(AWAY_SECONDS)
        finally:
            self._lanes.pop(address, None)

    async def _look(self, address: Address, lane: _Lane) -> None:
        """Read what waits for the chat, in order; what is queued meanwhile comes after it."""
        lane.look = False
        lane.rows.clear()
        there = await self.store.read(lambda connection: self.conversations.unsent(connection, address=address))
        known = {row.id for row in there}
        lane.rows = deque(there + [row for row in lane.rows if row.id not in known])
        if all(row.owner != self.conversations.owner for row in lane.rows):
            lane.rows.clear()

    async def _nap(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    async def _send(self, row: Queued) -> bool:
        """Send one message and delete its row; False when the chat has to be left alone."""
        channel = self.channels[row.address.channel]
        attempts = row.attempts
        while True:
            await self.pacers[channel.name].reply()
            self.recent.note(row.address)
            try:
                if row.outbound.forget:
                    await self._forget(channel, row.address)
                ids = list(await self._by(channel, row)) if row.outbound.spans else []
            except SendError as error:
                SENT.labels(channel.name, error.trouble).inc()
                attempts += 1
                if error.trouble == "stopped":
                    await self.store.write(lambda connection: self.conversations.drop(connection, row.address))
                    return False
                again = error.again or (error.trouble == "unknown_outcome" and row.outbound.secret)
                if not again or attempts >= GIVE_UP_AFTER:
                    log.warning("not sent", channel=channel.name, trouble=error.trouble, code=error.code)
                    await self.store.write(lambda connection: self.conversations.sent(connection, [row.id]))
                    return True
                wait = error.seconds or min(LONGEST_WAIT_SECONDS, 0.5 * 2 ** min(attempts, 10))
                if error.trouble == "throttled":
                    self.pacers[channel.name].pause(wait)
                await self.store.write(lambda connection: self.conversations.tried(connection, row.id))
                await self._nap(wait)
                if self._stopping:
                    return False
            else:
                SENT.labels(channel.name, "sent").inc()
                await self._done(row, ids)
                return True

    @staticmethod
    async def _by(channel: Channel, row: Queued) -> Sequence[str]:
        try:
            return await channel.send(row.address, row.outbound)
        except SendError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours in a channel: it may or may not have gone out
            log.error("send failed", channel=channel.name, error=type(error).__name__)
            raise SendError("unknown_outcome") from None

    async def _done(self, row: Queued, ids: Sequence[str]) -> None:
        await self.store.write_joint(self.conversations.done_all, (row, ids))

    async def _forget(self, channel: Channel, address: Address) -> None:
        ids = await self.store.read(lambda connection: self.conversations.traces(connection, address))
        with contextlib.suppress(SendError):  # then the ids stay, so that the person can ask again
            await channel.forget(address, ids)
            await self.store.write(lambda connection: self.conversations.untrace(connection, address))
