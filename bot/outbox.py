"""The sender: what is committed goes out, in order per chat, within the platform's pace.

How each step errs: a reply is sent before its row is deleted, so a crash in between repeats it (a doubled reply harms nobody, a lost
receipt code would). An answer that never came (`unknown_outcome`) is not repeated, except for a message that holds a receipt code.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence

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


class Sender:
    """Sends the outbox of the channels that push; the others are asked for their messages."""

    def __init__(self, store: Store, conversations: Conversations, channels: Mapping[str, Channel]) -> None:
        self.store, self.conversations, self.channels = store, conversations, channels
        self.pacers = {name: Pacer(RATES.get(name, OTHER_RATE)) for name in channels}
        self.recent = Recent()
        self._lanes: dict[Address, asyncio.Task[None]] = {}
        self._again: set[Address] = set()
        self._stopping = False
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Take up what an earlier run left."""
        for name in self.channels:
            rows = await self.store.read(lambda connection, name=name: self.conversations.unsent(connection, channel=name))  # type: ignore[misc]
            for address in dict.fromkeys(row.address for row in rows):
                self.wake(address)

    def wake(self, address: Address) -> None:
        """There is something to send to this chat."""
        if address.channel not in self.channels or self._stopping:
            return
        if address in self._lanes:
            self._again.add(address)
            return
        task = asyncio.get_running_loop().create_task(self._drain(address))
        self._lanes[address] = task
        task.add_done_callback(lambda _: self._lanes.pop(address, None))

    async def idle(self) -> None:
        """Wait until nothing is being sent."""
        while self._lanes:
            await asyncio.wait(list(self._lanes.values()))

    async def stop(self) -> None:
        """Stop sending; what was not begun stays in the outbox, what is on the wire is waited for, so that it is not sent again."""
        self._stopping = True
        self._stopped.set()
        if self._lanes:
            await asyncio.wait(list(self._lanes.values()), timeout=FINISH_SECONDS)
        for task in list(self._lanes.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _drain(self, address: Address) -> None:
        mine, pause = self.conversations.owner, BEHIND_SECONDS
        while True:
            self._again.discard(address)
            rows = await self.store.read(lambda connection: self.conversations.unsent(connection, address=address))
            if not any(row.owner == mine for row in rows):
                if address not in self._again:
                    return
                continue
            if self._stopping:
                return
            if rows[0].owner != mine:
                await self._nap(pause)
                pause = min(2 * pause, BEHIND_AT_MOST_SECONDS)
                continue
            pause = BEHIND_SECONDS
            for row in itertools.takewhile(lambda row: row.owner == mine, rows):
                if self._stopping or not await self._send(row):
                    return

    async def _nap(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

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
        await self.store.write(lambda connection: self.conversations.done(connection, row.id, row.address, ids))

    async def _forget(self, channel: Channel, address: Address) -> None:
        ids = await self.store.read(lambda connection: self.conversations.traces(connection, address))
        with contextlib.suppress(SendError):
            await channel.forget(address, ids)
        await self.store.write(lambda connection: self.conversations.untrace(connection, address))
