"""From the door to the answer: a message is kept, prepared, and taken as a turn; one at a time per chat, in order.

Slow work (fetching and cleaning photos, deriving receipt codes) is done here, before the turn, off the loop and off the writer thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from bot.channels import Channel
from bot.channels.limits import FetchError, SendError
from bot.chat import Said
from bot.logs import log, where
from bot.messages import Address, Attachment, Inbound, Outbound
from bot.metrics import PHOTOS, RECEIVED, TURN_SECONDS, TURNS
from bot.outbox import Sender
from bot.quotas import Quotas
from bot.receipts import CodeSessions
from bot.turn import Conductor, NotReady, Result
from storage.conversations import Conversation, Conversations, Queued, Received
from storage.evidence import Cleaner, Refused
from storage.originals import Waiting
from storage.store import Part, Store
from storage.vault import Receipt, Receipts

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


AWAY = (OperationalError, InterfaceError)
"""The database is away or full: no fault of the turn, which is taken when it is there again."""
AWAY_SECONDS, AWAY_AT_MOST_SECONDS = 1.0, 600.0
ANSWER_WITHIN_SECONDS = 120.0
"""So long a person who waits for the answer is kept waiting; the turn is taken all the same."""


class Behind(Exception):
    """An earlier message of the chat still waits with another process."""


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is prepared for its turn, with the inbox rows that it came in."""

    inbox_ids: tuple[int, ...]
    inbound: Inbound


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a turn: its result, and its messages as they wait to be sent."""

    result: Result
    queued: list[Queued]
    next_in_line: bool
    """No other process has earlier messages of the chat to send."""


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
        count: Callable[[Connection, Mapping[tuple[date, str], int]], None] = lambda connection, numbers: None,
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
        self.stopped, self.count = stopped, count
        self.lost = lost
        """The run folder was new and drafts were lost: people who come back without a conversation are told."""
        self._lanes: dict[Address, _Lane] = {}
        self._refill: asyncio.Future[None] | None = None
        self._unsaying: set[asyncio.Task[None]] = set()
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
        Raises `TimeoutError` when the turn has to wait for too long, because the database is away.
        """
        before = await self.store.read(lambda connection: self.conversations.unsent(connection, address=inbound.address))
        waiting = await self._take_in(inbound)
        if waiting is not None:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                await asyncio.shield(waiting.done)
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
        if not self.quotas.may_say(inbound.address):
            RECEIVED.labels(inbound.address.channel, "too many").inc()
            raise TooMany
        safe = self.sessions.at_the_door(inbound)
        received = await self.store.write_joint(self.conversations.receive_all, safe)
        RECEIVED.labels(inbound.address.channel, "new" if received else "again").inc()
        if safe.receipt and inbound.message_id:
            task = asyncio.get_running_loop().create_task(self._unsay(inbound.address, inbound.message_id))
            self._unsaying.add(task)
            task.add_done_callback(self._unsaying.discard)
        return self._queue(received) if received else None

    async def _unsay(self, address: Address, message_id: str) -> None:
        """Delete the message in which a code was typed, where the platform allows it; "hapus jejak" tries what failed once more."""
        with contextlib.suppress(SendError):
            await self.channels[address.channel].forget(address, [message_id])

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
                except (Behind, *AWAY) as reason:
                    lane.waiting.extendleft(reversed(waiting))
                    await asyncio.sleep(BEHIND_SECONDS if isinstance(reason, Behind) else AWAY_SECONDS)
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
                async with asyncio.timeout_at(quiet_at):
                    await lane.came.wait()

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
            taken = await self._turn(Due(tuple(ids), prepared))
        except Behind:
            raise
        except Exception as error:
            if isinstance(error, AWAY) and asyncio.get_running_loop().time() - waiting[0].since < AWAY_AT_MOST_SECONDS:
                raise
            log.error("turn failed", turn=turn_id, channel=inbound.address.channel, error=type(error).__name__, where=where(error))
            await self._apologise([one.id for one in waiting], inbound, turn_id)
            TURNS.labels(inbound.address.channel, "", "failed").inc()
            return
        if taken is None:  # another process was faster, and sends
            return
        result = taken.result
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
        if taken.next_in_line:
            self.sender.queue(taken.queued)
        else:
            self.sender.wake(inbound.address)

    async def _behind(self, address: Address, ids: Sequence[int]) -> bool:
        if not self.conversations.owner:
            return False
        return bool(await self.store.read(lambda connection: self.conversations.behind(connection, {address: ids})))

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

        await self.sessions.derive_in_turn(inbound.receipt, inbound.address, known)

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
        if not self.receipts.full and (self._refill is None or self._refill.done()):
            self._refill = asyncio.ensure_future(asyncio.to_thread(self.receipts.refill))

    # --- the turn -----------------------------------------------------------------------------------------------------------------------

    async def _turn(self, due: Due) -> Taken | None:
        for _ in range(5):
            try:
                taken = await self.store.write_joint(self.take_all, due)
            except Unready as unready:
                if unready.work == "receipt":
                    self._refill_receipts()
                    assert self._refill is not None
                    await self._refill
                else:
                    await self._derive(due.inbound)
                continue
            self._refill_receipts()
            return taken
        raise RuntimeError("slow work never ended")

    def take_all(self, connection: Connection, turns: Sequence[Due]) -> list[Taken | BaseException | None]:
        """Turns of different chats in one transaction: inbox rows out, answers and outbox rows in. A turn that fails writes nothing.

        The chat's earliest inbox row is the lock that keeps two processes from working on one chat: nobody passes it before it is gone.
        """
        due = self.conversations.due(connection, [one for turn in turns for one in turn.inbox_ids])
        mine = [turn for turn in turns if not due.isdisjoint(turn.inbox_ids)]
        behind = self.conversations.behind(connection, {turn.inbound.address: turn.inbox_ids for turn in mine})
        ready = [turn for turn in mine if turn.inbound.address not in behind]
        found: dict[tuple[int, ...], Result | BaseException] = {turn.inbox_ids: Behind() for turn in mine}
        done: list[tuple[Due, Conversation, Result]] = []
        for turn, conversation in zip(
            ready, self.conversations.load_all(connection, [turn.inbound.address for turn in ready]), strict=True
        ):
            found[turn.inbox_ids] = result = self._take(connection, turn.inbound, conversation)
            if isinstance(result, Result):
                done.append((turn, conversation, result))
        self.conversations.save_all(connection, [(conversation, turn.inbound.address) for turn, conversation, _ in done])
        queued = self.conversations.send_all(connection, [(turn.inbound.address, one) for turn, _, result in done for one in result.out])
        self.count(connection, Counter((self.clock().date(), name) for _, _, result in done for name in result.counted))
        self.conversations.answered(connection, [one for turn, _, _ in done for one in turn.inbox_ids])
        others = self.conversations.others_send(connection, [turn.inbound.address for turn, _, _ in done])
        to_send: dict[Address, list[Queued]] = {}
        for row in queued:
            to_send.setdefault(row.address, []).append(row)
        return [
            Taken(result, to_send.get(turn.inbound.address, []), turn.inbound.address not in others)
            if isinstance(result, Result)
            else result
            for turn, result in ((turn, found.get(turn.inbox_ids)) for turn in turns)
        ]

    def _take(self, connection: Connection, inbound: Inbound, conversation: Conversation) -> Result | BaseException:
        part = Part(connection)
        before = photos_in(conversation.state)
        try:
            result = self.conductor.take(
                connection,
                inbound,
                conversation.state,
                self.clock(),
                lost=self.lost and conversation.version == 0,
                writing=part.writing,
            )
            conversation.state = result.state or {}
            kept = photos_in(conversation.state)
            if inbound.attachments or not set(before) <= set(kept):
                self.conversations.keep_only(part.writing(), inbound.address, kept)
        except DBAPIError:
            raise
        except NotReady as not_ready:
            part.undo()
            return Unready(not_ready.work)
        except Exception as error:  # noqa: BLE001 - the worker tells the person; the other turns go on
            part.undo()
            return error
        part.keep()
        return result

    async def _apologise(self, ids: Sequence[int], inbound: Inbound, turn_id: str) -> None:
        def write(connection: Connection) -> None:
            self.conversations.answered(connection, ids)
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
        if self._unsaying:
            await asyncio.wait(self._unsaying, timeout=10)
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
