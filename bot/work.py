"""From the door to the answer: a message is kept, prepared, and taken as a turn; one at a time per chat, in order.

Slow work (fetching and cleaning photos, deriving receipt codes) is done here, before the turn, off the loop and off the writer thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from bot.channels import Channel
from bot.channels.limits import FetchError
from bot.chat import Said
from bot.logs import log, where
from bot.messages import Address, Attachment, Inbound, Outbound
from bot.metrics import PHOTOS, RECEIVED, TURN_SECONDS, TURNS
from bot.outbox import Sender
from bot.quotas import Quotas
from bot.receipts import CodeSessions
from bot.turn import Conductor, NotReady, Result
from storage.conversations import Conversations, Received
from storage.evidence import Cleaner, Refused
from storage.originals import Waiting
from storage.store import Store
from storage.vault import Receipt, Receipts

BURST, PER_MINUTE = 30, 20
"""Messages that one chat may send at once, and a minute after that (facts: security design, section 7)."""

PHOTOS_PER_MESSAGE = 10
DISK_FLOOR = 2 * 1000**3
"""Bytes that stay free on the disk: below, photos are refused and text still comes in."""

ALBUM_QUIET_SECONDS, ALBUM_LONGEST_SECONDS = 1.5, 10.0
"""An album comes as separate messages without an end mark: wait for a pause, but not for ever (facts: platforms, 1.5)."""


class TooMany(Exception):
    """A chat sent more than its share; the message was not taken in."""


class Unready(Exception):
    """A turn was rolled back until slow work is done."""

    def __init__(self, work: str) -> None:
        super().__init__(work)
        self.work = work


BEHIND_SECONDS = 0.03
"""So often a turn looks whether the other process is done with the message before."""


class Behind(Exception):
    """An earlier message of the chat still waits with another process."""


@dataclass(slots=True)
class _Waiting:
    id: int
    inbound: Inbound
    since: float
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Lane:
    """The messages of one chat that wait for their turn."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    taken: list[_Waiting] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    came: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Worker:
    """Takes messages in and takes their turns."""

    def __init__(
        self,
        store: Store,
        conversations: Conversations,
        conductor: Conductor,
        channels: Mapping[str, Channel],
        sender: Sender,
        cleaner: Cleaner,
        receipts: Receipts,
        sessions: CodeSessions,
        known: Callable[[Connection, Receipt], bool],
        clock: Callable[[], datetime],
        *,
        lost: bool = False,
        quotas: Quotas | None = None,
        originals: Waiting | None = None,
        free: Callable[[], int] | None = None,
        stopped: Callable[[Connection, Address], object] = lambda connection, address: None,
    ) -> None:
        self.store, self.conversations, self.conductor = store, conversations, conductor
        self.channels, self.sender, self.cleaner = channels, sender, cleaner
        self.receipts, self.sessions, self.known, self.clock = receipts, sessions, known, clock
        self.quotas, self.originals, self.free = quotas or Quotas(), originals or Waiting(), free
        self.stopped = stopped
        self.lost = lost
        """The run folder was new and drafts were lost: people who come back without a conversation are told."""
        self._lanes: dict[Address, _Lane] = {}
        self._buckets: dict[Address, _Bucket] = {}
        self._refill: asyncio.Future[None] | None = None
        self._stopping = False

    # --- in -----------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up the messages that an earlier run left, and make receipts ready."""
        self._refill_receipts()
        for received in await self.store.read(self.conversations.waiting):
            self._queue(received)

    async def take_up(self) -> None:
        """Queue the messages that have become this process's and that no lane knows."""
        known = {one.id for lane in self._lanes.values() for one in (*lane.waiting, *lane.taken)}
        for received in await self.store.read(self.conversations.waiting):
            if received.id not in known:
                self._queue(received)

    async def receive(self, inbound: Inbound) -> bool:
        """Keep a message durably and let its turn come; False when it was delivered before. Raises `TooMany`."""
        if inbound.control:
            await self._news_of(inbound)
            return True
        return await self._take_in(inbound) is not None

    async def _news_of(self, inbound: Inbound) -> None:
        """The person blocked the bot, or the chat is another one now: nothing more is sent there, reminders neither."""

        def stop(connection: Connection) -> None:
            self.conversations.drop(connection, inbound.address)
            self.stopped(connection, inbound.address)

        if inbound.control == "stopped" or inbound.control.startswith("moved:"):
            await self.store.write(stop)

    async def handle(self, inbound: Inbound) -> list[Outbound]:
        """The same for channels that wait for the answer: returns once the turn is done, with all messages for the chat.

        A new message says that the answer to the one before was seen. A repeated one says the opposite: it gets its answer again.
        """
        before = await self.store.read(lambda connection: self.conversations.unsent(connection, address=inbound.address))
        waiting = await self._take_in(inbound)
        if waiting is not None:
            await waiting.done
            if before:
                await self.store.write(lambda connection: self.conversations.sent(connection, [row.id for row in before]))
        return await self.pending(inbound.address)

    async def pending(self, address: Address) -> list[Outbound]:
        """The messages that wait for a chat; they stay until `collected`."""
        rows = await self.store.read(lambda connection: self.conversations.unsent(connection, address=address))
        return [row.outbound for row in rows]

    async def collected(self, address: Address) -> None:
        """The chat has shown what was pending."""
        rows = await self.store.read(lambda connection: self.conversations.unsent(connection, address=address))
        if rows:
            await self.store.write(lambda connection: self.conversations.sent(connection, [row.id for row in rows]))

    async def _take_in(self, inbound: Inbound) -> _Waiting | None:
        if self.quotas.muted(inbound.address):
            RECEIVED.labels(inbound.address.channel, "muted").inc()
            return None
        if not self._may(inbound.address):
            RECEIVED.labels(inbound.address.channel, "too many").inc()
            raise TooMany
        safe = self.sessions.at_the_door(inbound)
        received = await self.store.write(lambda connection: self.conversations.receive(connection, safe))
        RECEIVED.labels(inbound.address.channel, "new" if received else "again").inc()
        return self._queue(received) if received else None

    def _may(self, address: Address) -> bool:
        now = time.monotonic()
        if len(self._buckets) > 50_000:
            self._buckets.clear()
        bucket = self._buckets.setdefault(address, _Bucket(BURST, now))
        bucket.left = min(BURST, bucket.left + (now - bucket.at) * PER_MINUTE / 60)
        bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def _queue(self, received: Received) -> _Waiting:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(received.id, received.inbound, loop.time(), loop.create_future())
        lane = self._lanes.setdefault(received.inbound.address, _Lane())
        lane.waiting.append(waiting)
        lane.came.set()
        if lane.task is None:
            lane.task = loop.create_task(self._drain(received.inbound.address, lane))
        return waiting

    # --- one lane per chat -----------------------------------------------------------------------------------------------------

    async def _drain(self, address: Address, lane: _Lane) -> None:
        try:
            while lane.waiting and not self._stopping:
                first = min(lane.waiting, key=lambda one: one.id)  # a message that was taken over may be earlier than all
                lane.waiting.remove(first)
                waiting = lane.taken = [first]
                if first.inbound.group:
                    await self._album(lane, waiting)
                try:
                    await self._one(waiting)
                except Behind:
                    lane.waiting.extendleft(reversed(waiting))
                    await asyncio.sleep(BEHIND_SECONDS)
                    continue
                for one in waiting:
                    if not one.done.done():
                        one.done.set_result(None)
        finally:
            lane.task, lane.taken = None, []
            if not lane.waiting:
                self._lanes.pop(address, None)

    async def _album(self, lane: _Lane, waiting: list[_Waiting]) -> None:
        """Gather the photos of one album; they may come in any order, with other messages in between left for later."""
        loop = asyncio.get_running_loop()
        group, first = waiting[0].inbound.group, waiting[0].since
        while True:
            for other in [other for other in lane.waiting if other.inbound.group == group]:
                lane.waiting.remove(other)
                waiting.append(other)
            quiet_at = min(waiting[-1].since + ALBUM_QUIET_SECONDS, first + ALBUM_LONGEST_SECONDS)
            if loop.time() >= quiet_at:
                if self.conversations.owner and await self._more_of(lane, waiting, group):
                    continue
                return
            lane.came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lane.came.wait(), quiet_at - loop.time())

    async def _more_of(self, lane: _Lane, waiting: list[_Waiting], group: str) -> bool:
        """Add the photos of an album that came in through other processes; they will find them answered."""
        known, loop = {one.id for one in (*waiting, *lane.waiting)}, asyncio.get_running_loop()
        address = waiting[0].inbound.address
        more = [
            _Waiting(received.id, received.inbound, loop.time(), loop.create_future())
            for received in await self.store.read(lambda connection: self.conversations.waiting(connection, address))
            if received.inbound.group == group and received.id not in known
        ]
        waiting.extend(more)
        return bool(more)

    async def _one(self, waiting: Sequence[_Waiting]) -> None:
        turn_id, started = secrets.token_hex(4), time.perf_counter()
        inbound = merged([one.inbound for one in waiting])
        try:
            ids = [one.id for one in waiting]
            if inbound.attachments and await self._behind(inbound.address, ids):
                raise Behind  # photos that are fetched too early would be taken for doubles of their own
            prepared = await self._prepare(inbound)
            result = await self._turn(ids, prepared)
        except Behind:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours: the person is told, the next message goes on
            log.error("turn failed", turn=turn_id, channel=inbound.address.channel, error=type(error).__name__, where=where(error))
            await self._apologise([one.id for one in waiting], inbound, turn_id)
            TURNS.labels(inbound.address.channel, "", "failed").inc()
            return
        if result is not None:
            took = time.perf_counter() - started
            TURNS.labels(inbound.address.channel, result.flow, result.outcome).inc()
            TURN_SECONDS.observe(took)
            log.info(
                "turn",
                turn=turn_id,
                channel=inbound.address.channel,
                flow=result.flow,
                waiting=result.waiting.split(".")[0],
                outcome=result.outcome,
                ms=round(took * 1000),
            )
            self.originals.keep_only(inbound.address, photos_in(result.state or {}))
            if result.outcome in ("kept", "cancelled"):
                self.store.scrub()
        self.sender.wake(inbound.address)

    async def _behind(self, address: Address, ids: Sequence[int]) -> bool:
        if not self.conversations.owner:
            return False
        return await self.store.read(lambda connection: self.conversations.behind(connection, address, ids))

    # --- before the turn ------------------------------------------------------------------------------------------------------------

    async def _prepare(self, inbound: Inbound) -> Inbound:
        """The message with its photos kept and its code derived."""
        if inbound.receipt and self.sessions.needs_work(inbound.receipt):
            await self._derive(inbound)
        if any(item.source for item in inbound.attachments):
            seen = await self.store.read(lambda connection: self._in_draft(connection, inbound.address))
            kept = [await self._photo(inbound, item, number, seen) for number, item in enumerate(inbound.attachments)]
            inbound = replace(inbound, attachments=tuple(kept))
        return inbound

    async def _derive(self, inbound: Inbound) -> None:
        def known(receipt: Receipt) -> bool:
            return self.store.read_now(lambda connection: self.known(connection, receipt))

        await asyncio.to_thread(self.sessions.derive, inbound.receipt, inbound.address, known)

    def _in_draft(self, connection: Connection, address: Address) -> set[str]:
        """Hashes of the photos that the chat's answers name; not of one whose turn a crash took away, which comes again."""
        state = self.conversations.load(connection, address).state
        facts = [self.conversations.photo_facts(connection, photo) for photo in photos_in(state)]
        return {str(one["clean_sha256"]) for one in facts if one is not None and "clean_sha256" in one}

    async def _photo(self, inbound: Inbound, item: Attachment, number: int, seen: set[str]) -> Attachment:
        if not item.source:
            return item
        if number >= PHOTOS_PER_MESSAGE:
            return Attachment(refused="many")
        if self.free is not None and self.free() < DISK_FLOOR:
            return Attachment(refused="disk")
        if not self.quotas.take_photo(inbound.address):
            return Attachment(refused="enough")
        try:
            data = await self.channels[inbound.address.channel].fetch(item)
            cleaned = await self.cleaner.clean(data)
        except FetchError as error:
            PHOTOS.labels(error.reason).inc()
            return Attachment(refused=error.reason)
        except Refused as error:
            PHOTOS.labels(error.reason).inc()
            return Attachment(refused=error.reason)
        if cleaned.facts["clean_sha256"] in seen:
            return Attachment(refused="again")
        seen.add(cleaned.facts["clean_sha256"])
        PHOTOS.labels("kept").inc()
        evidence = secrets.token_bytes(16)
        await asyncio.to_thread(self.originals.hold, inbound.address, evidence.hex(), data)
        kept = await self.store.write(
            lambda connection: self.conversations.keep_photo(connection, inbound.address, evidence, cleaned.jpeg, cleaned.facts)
        )
        return Attachment(evidence=kept, as_file=item.source.startswith("file:"))

    def _refill_receipts(self) -> None:
        if self._refill is None or self._refill.done():
            self._refill = asyncio.ensure_future(asyncio.to_thread(self.receipts.refill))

    # --- the turn -----------------------------------------------------------------------------------------------------------------------

    async def _turn(self, ids: Sequence[int], inbound: Inbound) -> Result | None:
        for _ in range(5):
            try:
                result = await self.store.write(lambda connection: self._take(connection, ids, inbound))
            except Unready as unready:
                if unready.work == "receipt":
                    self._refill_receipts()
                    assert self._refill is not None
                    await self._refill
                else:
                    await self._derive(inbound)
                continue
            self._refill_receipts()
            return result
        raise RuntimeError("slow work never ended")

    def _take(self, connection: Connection, ids: Sequence[int], inbound: Inbound) -> Result | None:
        """One turn in one transaction: inbox rows out, answers and outbox rows in.

        The chat's earliest inbox row is the lock that keeps two processes from working on one chat: nobody passes it before it is gone.
        """
        if self.conversations.behind(connection, inbound.address, ids):
            raise Behind
        if not [one for one in ids if self.conversations.answered(connection, one)]:
            return None
        conversation = self.conversations.load(connection, inbound.address)
        try:
            result = self.conductor.take(
                connection, inbound, conversation.state, self.clock(), lost=self.lost and conversation.version == 0
            )
        except NotReady as not_ready:
            raise Unready(not_ready.work) from None
        conversation.state = result.state or {}
        self.conversations.keep_only(connection, inbound.address, photos_in(conversation.state))
        self.conversations.save(connection, conversation, inbound.address)
        for outbound in result.out:
            self.conversations.send(connection, inbound.address, outbound)
        return result

    async def _apologise(self, ids: Sequence[int], inbound: Inbound, turn_id: str) -> None:
        def write(connection: Connection) -> None:
            for one in ids:
                self.conversations.answered(connection, one)
            language = "en" if inbound.language.startswith("en") else "id"
            self.conversations.send(connection, inbound.address, self.conductor.plain(language, Said("turn.failed", {"turn": turn_id})))

        with contextlib.suppress(Exception):
            await self.store.write(write)
        self.sender.wake(inbound.address)

    async def idle(self) -> None:
        """Wait until every message that came in has had its turn and everything is sent."""
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)
        await self.sender.idle()

    async def stop(self) -> None:
        """Finish the turns that run; what waits stays in the inbox."""
        self._stopping = True
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=10)
        if self._refill is not None:
            with contextlib.suppress(Exception):
                await self._refill


def merged(inbounds: Sequence[Inbound]) -> Inbound:
    """The messages of an album as one."""
    first = inbounds[0]
    if len(inbounds) == 1:
        return first
    return replace(
        first,
        text=" ".join(one.text for one in inbounds if one.text),
        attachments=tuple(item for one in inbounds for item in one.attachments),
    )


def photos_in(state: Mapping[str, object]) -> list[str]:
    """The draft photos that a conversation's answers name."""
    found: list[str] = []
    parked = state.get("parked")
    for answers in (state.get("answers"), state.get("undo"), parked.get("answers") if isinstance(parked, dict) else None):
        if isinstance(answers, dict):
            for answer in answers.values():
                found.extend(answer.get("photos", ()))
    return found
