"""The delivery of broadcasts: claimed, paced, sent, settled. `docs/broadcasts.md` has the reasons and what each step costs when it fails.

One run per broadcast, one walk per channel. A walk claims at most 100 ms of slots in one commit (which also settles what came back), sends
them at the pace of the channel behind all replies, and claims the next meanwhile. Recipients come in pages; at no time does memory hold
more than a few of them. Where several processes send, a walk is of one page, and each page is a job that any of them may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from bot.channels import Channel
from bot.channels.limits import SendError
from bot.jobs import Jobs
from bot.logs import log
from bot.messages import Address, Button, Outbound, Span
from bot.metrics import SENT
from bot.pacer import Pacer, Recent
from bot.texts import Template, Texts
from storage.broadcasts import Broadcast, Broadcasts, Claim, Outcome, Recipient
from storage.drafts import Draft
from storage.pages import Page, Stretch, ahead, close_page, lay_out, open_page
from storage.staff import Refused
from storage.staff_chats import StaffChats
from storage.store import Store

CLAIM_SECONDS = 0.1
"""A page of claims is what can be sent in so long: the most that a crash leaves uncertain, beside what is on the wire."""
CANDIDATES = 1000
ON_THE_WIRE_SECONDS, ON_THE_WIRE_AT_MOST = 2.0, 250
LONG_PAUSE_SECONDS = 0.5
"""Claims are given back when the pace stands still for longer, so that a stop in the meantime still counts."""
TICK_SECONDS = 1.0
NAP_SECONDS = 5.0
RATE_SECONDS = 5.0
TRIES = {"down": 6, "throttled": 20}
"""So often a message that was certainly not delivered is tried again, then it counts as failed."""
SURGE_OF, SURGE_AT_LEAST, SURGE_SHARE = 200, 50, 0.3
"""Of the last 200 results (at least 50) so many may be bad, then the broadcast pauses itself."""
PAGE_JOB = "broadcast_page"
PAGES_PER_WORKER = 2
"""So many pages does a process walk at once, so that the end of one leaves no gap."""
STOP_TOKEN = "/berhenti"  # noqa: S105 - the token of a button
BAD = frozenset({"failed", "uncertain", "stopped"})


class Broadcaster:
    """Sends what is due. `alone`: no other process sends broadcasts of this database (true on SQLite)."""

    def __init__(
        self,
        store: Store,
        broadcasts: Broadcasts,
        staff_chats: StaffChats,
        channels: Mapping[str, Channel],
        pacers: Mapping[str, Pacer],
        recent: Recent,
        texts: Texts,
        clock: Callable[[], datetime],
        *,
        alone: bool = True,
        paid: bool = False,
    ) -> None:
        self.store, self.broadcasts, self.staff_chats = store, broadcasts, staff_chats
        self.channels, self.pacers, self.recent, self.texts, self.clock = channels, pacers, recent, texts, clock
        self.alone, self.paid = alone, paid
        self.runner = secrets.token_hex(16)
        self.woken = asyncio.Event()
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._jobs: Jobs | None = None
        self._workers: Callable[[Connection], int] = lambda connection: 1
        self._pages: set[asyncio.Task[None]] = set()
        self._measured: dict[int, tuple[float, int]] = {}
        self._watch: asyncio.Task[None] | None = None

    def share(self, jobs: Jobs, workers: Callable[[Connection], int]) -> None:
        """From now on lay broadcasts out as pages that so many processes walk; each takes the jobs named `PAGE_JOB` to `walk_page`."""
        self._jobs, self._workers = jobs, workers

    async def start(self) -> None:
        """Look for what is due, now and every second; a broadcast that an earlier process left goes on."""
        self._watch = asyncio.get_running_loop().create_task(self._watching())

    async def stop(self) -> None:
        """Stop sending. What was claimed and not begun is given back; what is on the wire is waited for."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        runs = [*self._runs.values(), *self._pages]
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    def wake(self) -> None:
        """Something changed: whoever waits looks at once."""
        self.woken.set()
        self.woken = asyncio.Event()

    async def _watching(self) -> None:
        trouble = ""
        while True:
            try:
                await self.tick()
                trouble = ""
            except Exception as error:  # noqa: BLE001 - the database may be away for a while; broadcasts go on when it is back
                if type(error).__name__ != trouble:
                    trouble = type(error).__name__
                    log.error("broadcasts not looked at", error=trouble)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):  # `wait_for` would lose a cancellation that comes with the wake-up
                    await self.woken.wait()

    async def tick(self) -> None:
        """Begin every run that is due and not running here, and send the test messages that are asked for."""
        alone = self.alone or self._jobs is not None  # then the one that leads lays out, and whoever walks holds a page
        due = await self.store.write(lambda connection: self.broadcasts.due(connection, self.runner, alone=alone))
        for broadcast in due:
            if self._jobs is not None:
                await self._look_after(broadcast)
            elif broadcast.id not in self._runs:
                task = asyncio.get_running_loop().create_task(self._run(broadcast))
                self._runs[broadcast.id] = task
                task.add_done_callback(lambda _, number=broadcast.id: self._runs.pop(number, None))  # type: ignore[misc]
        if not self._runs and not self._pages:
            self.broadcasts.subscribers.gone.clear()
        await self._send_tests()

    async def idle(self) -> None:
        """Wait until nothing is being sent."""
        while self._runs:
            await asyncio.wait(list(self._runs.values()))

    async def _run(self, broadcast: Broadcast) -> None:
        uncertain = await self.store.write(lambda connection: self.broadcasts.doubt(connection, broadcast.id))
        spent = await self.store.read(lambda connection: _spent(self.broadcasts, connection, broadcast.id))
        if uncertain:
            log.warning("deliveries of an earlier run are uncertain", broadcast=broadcast.id, number=uncertain)
        run = _Run(self, broadcast, spent, self.runner)
        walks = [asyncio.get_running_loop().create_task(run.walk(channel)) for channel in broadcast.draft.channels]
        try:
            await asyncio.gather(*walks)
        except asyncio.CancelledError:
            await asyncio.gather(*walks, return_exceptions=True)  # they are cancelled too, and put their papers in order
            raise
        except Exception as error:  # noqa: BLE001 - the next tick begins the run again
            log.error("broadcast interrupted", broadcast=broadcast.id, error=type(error).__name__)
            await asyncio.gather(*walks, return_exceptions=True)
            await asyncio.sleep(TICK_SECONDS)
            return
        if await self.store.write(lambda connection: self.broadcasts.finish(connection, broadcast, self.runner)):
            log.info("broadcast done", broadcast=broadcast.id)

    # --- several processes ------------------------------------------------------------------------------------------------------------

    async def _look_after(self, broadcast: Broadcast) -> None:
        """Have enough pages laid out, say how fast it goes, and end the broadcast when nobody is left."""
        await self._lay_out(broadcast)
        at, settled = self._measured.get(broadcast.id, (0.0, 0))
        now = time.monotonic()
        if now - at >= RATE_SECONDS:
            results = await self.store.read(lambda connection: self.broadcasts.results(connection, broadcast.id))
            rate = int((results.settled - settled) * 60 / (now - at)) if at else 0
            self._measured[broadcast.id] = (now, results.settled)
            await self.store.write(lambda connection: self.broadcasts.measured(connection, broadcast.id, rate))
        if await self.store.write(lambda connection: self.broadcasts.finish(connection, broadcast, self.runner)):
            self._measured.pop(broadcast.id, None)
            log.info("broadcast done", broadcast=broadcast.id)

    async def _lay_out(self, broadcast: Broadcast) -> None:
        """Have a job for every page that waits, and pages enough for every process."""

        def sketch(connection: Connection) -> list[Stretch]:
            return ahead(connection, self.broadcasts, broadcast, PAGES_PER_WORKER * max(1, self._workers(connection)))

        def lay(connection: Connection) -> None:
            assert self._jobs is not None
            for page, turn in lay_out(connection, broadcast.id, stretches, self.broadcasts.now()):
                self._jobs.defer(connection, PAGE_JOB, broadcast=broadcast.id, page=page, turn=turn)

        stretches = await self.store.read(sketch)
        await self.store.write(lay)

    async def walk_page(self, *, broadcast: int, page: int, turn: int) -> None:
        """The job of a page: walk what is left of it, then let it go; nothing when another job has it."""
        task = asyncio.get_running_loop().create_task(self._walk_page(broadcast, page, turn))
        self._pages.add(task)
        task.add_done_callback(self._page_ended)
        try:
            await asyncio.wait([task])
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    def _page_ended(self, task: asyncio.Task[None]) -> None:
        self._pages.discard(task)
        if not self._pages and not self._runs:
            self.broadcasts.subscribers.gone.clear()

    async def _walk_page(self, number: int, part: int, turn: int) -> None:
        runner = secrets.token_hex(16)
        page = await self.store.write(lambda connection: open_page(connection, self.broadcasts, number, part, turn, runner))
        if page is None:
            return
        if page.doubtful:
            log.warning("deliveries of an earlier run are uncertain", broadcast=number, number=page.doubtful)
        spent = await self.store.read(lambda connection: _spent(self.broadcasts, connection, number))
        walk = _Walk(_Run(self, page.broadcast, spent, runner), page.channel, page)
        try:
            await walk.go()
        finally:
            again = self.broadcasts.now() + int(walk.again) if walk.again else 0
            await self.store.write(lambda connection: close_page(connection, number, part, runner, again))
        await self._lay_out(page.broadcast)

    # --- messages ------------------------------------------------------------------------------------------------------------------

    def message(self, draft: Draft, channel: str, language: str, *, in_window: bool) -> Outbound | None:
        """The message for one channel and language, with the way to stop; None when there is none that may be sent."""
        if channel == "telegram":
            text = draft.telegram.get(language) or draft.telegram.get("id")
            if text is None:
                return None
            label = self.texts.plain(language, "subscribe.stop_button")
            return Outbound(self._with_footer(text, language), (Button(STOP_TOKEN, label),), paid=self.paid, many=True)
        said = draft.whatsapp.get(language) or draft.whatsapp.get("id")
        if said is None:
            return None
        if in_window and said.session:
            return Outbound(self._with_footer(said.session, language))
        if said.template:
            return Outbound((Span(said.filled),), template=(said.template, *said.values))
        return None

    def _with_footer(self, text: str, language: str) -> tuple[Span, ...]:
        return (*Template(text).fill({}), Span("\n\n"), *self.texts.spans(language, "subscribe.footer"))

    async def _send_tests(self) -> None:
        for number, staff_id, draft in await self.store.read(self.broadcasts.asked_tests):
            address = await self.store.read(lambda connection, staff_id=staff_id: self.staff_chats.address_of(connection, staff_id))  # type: ignore[misc]
            await self.store.write(lambda connection, number=number: self.broadcasts.test_taken(connection, number))  # type: ignore[misc]
            outbound = self.message(draft, address.channel, "id", in_window=True) if address else None
            if address is None or outbound is None or address.channel not in self.channels:
                continue
            try:
                await self.pacers[address.channel].reply()
                await self.channels[address.channel].send(address, outbound)
            except SendError as error:
                log.warning("test message not sent", broadcast=number, trouble=error.trouble, code=error.code)


def _spent(broadcasts: Broadcasts, connection: Connection, number: int) -> int:
    """How many template messages a broadcast has cost so far; those of unknown outcome count as sent."""
    counts = broadcasts.results(connection, number).counts
    return sum(many for (channel, outcome, reason), many in counts.items() if channel == "whatsapp" and _costs(outcome, reason))


def _costs(outcome: str, reason: str) -> bool:
    return outcome == "uncertain" or (outcome == "sent" and reason == "template")


# --- one run -----------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lane:
    """What was read ahead of one time zone's walk."""

    names: deque[bytes] = field(default_factory=deque)
    last: bytes | None = None
    read_to_end: bool = False
    over: bool = False


class _Run:
    """One broadcast while this process sends it."""

    def __init__(self, owner: Broadcaster, broadcast: Broadcast, spent: int, runner: str) -> None:
        self.o, self.b, self.draft = owner, broadcast, broadcast.draft
        self.spent, self.runner = spent, runner
        self.results: deque[bool] = deque(maxlen=SURGE_OF)
        self.halted = False
        self._messages: dict[tuple[str, str, bool], Outbound | None] = {}

    async def walk(self, channel: str) -> None:
        """Walk one channel's audience to its end, or until the broadcast may not go on."""
        await _Walk(self, channel).go()

    def outbound(self, recipient: Recipient) -> Outbound | None:
        key = (recipient.address.channel, recipient.language, recipient.heard_today)
        if key not in self._messages:
            self._messages[key] = self.o.message(self.draft, *key[:2], in_window=key[2])
        return self._messages[key]

    async def watch_for_surge(self, bad: bool) -> None:
        """Pause the broadcast when too many of the last results are bad."""
        self.results.append(bad)
        if len(self.results) >= SURGE_AT_LEAST and sum(self.results) >= SURGE_SHARE * len(self.results):
            await self.pause("errors")

    async def pause(self, why: str) -> None:
        if self.halted:
            return
        self.halted = True
        log.error("broadcast paused itself", broadcast=self.b.id, why=why)
        with contextlib.suppress(Refused):
            await self.o.store.write(lambda connection: self.o.broadcasts.pause(connection, self.b.id, why))


class _Walk:
    """One channel's part of a run, or one page."""

    def __init__(self, run: _Run, channel: str, page: Page | None = None) -> None:
        self.run, self.o, self.b, self.name, self.page = run, run.o, run.b, channel, page
        self.channel = self.o.channels.get(channel)
        self.pacer = self.o.pacers.get(channel)
        rate = self.pacer.rate if self.pacer is not None else 10 * CANDIDATES
        beside = 1 if page is None else PAGES_PER_WORKER
        self.at_once = max(1, int(rate * CLAIM_SECONDS) // beside)
        self.wire = int(min(max(rate * ON_THE_WIRE_SECONDS, 32), ON_THE_WIRE_AT_MOST)) // beside
        self.lanes = {zone: _Lane() for zone in self.b.draft.audience.zones} if page is None else {page.zone: _Lane(last=page.cursor)}
        self.again = 0.0
        """Seconds after which a page that was let go has more to walk."""
        self.settled: list[Outcome] = []
        self.sending: set[asyncio.Task[None]] = set()
        self.retry_at: int | None = 0
        self.sent = 0
        self.measured = (time.monotonic(), 0)
        self.upcoming: asyncio.Task[Claim] | None = None

    async def go(self) -> None:
        try:
            claim = await self._next_claim()
            while not claim.stop:
                if claim.recipients:
                    if await self._send_page(claim):
                        claim = await self._next_claim()
                        continue
                    if self.upcoming is not None:
                        self._release((await self._next_claim()).recipients)
                    if self.pacer is not None:
                        await self.pacer.pause_nearly_over(at_most=NAP_SECONDS)
                elif self.sending:
                    await asyncio.wait(self.sending, return_when=asyncio.FIRST_COMPLETED)
                elif not self.settled:
                    seconds = self._until_more()
                    if seconds is None:
                        break
                    if self.page is not None and seconds > NAP_SECONDS:
                        self.again = seconds
                        break
                    await self._nap(seconds)
                claim = await self._next_claim()
        finally:
            if self.upcoming is not None:
                with contextlib.suppress(Exception):
                    self._release((await self.upcoming).recipients)
            if self.sending:
                await asyncio.wait(self.sending)
            settled, self.settled = self.settled, []
            if settled:
                await self.o.store.write(lambda connection: self.o.broadcasts.settle(connection, self.b.id, settled))

    # --- claiming ------------------------------------------------------------------------------------------------------------------

    def _claim_ahead(self) -> None:
        """Claim the next page while this one is sent; a task of its own, so that no claim is lost when the walk is cancelled."""
        self.upcoming = asyncio.get_running_loop().create_task(self._claim())

    async def _next_claim(self) -> Claim:
        if self.upcoming is None:
            self._claim_ahead()
        assert self.upcoming is not None
        claim = await asyncio.shield(self.upcoming)
        self.upcoming = None
        return claim

    async def _claim(self) -> Claim:
        """Settle what came back and claim the next page, in one commit."""
        now = self.o.clock()
        zones = [zone for zone in self.lanes if self.b.draft.when.opens(zone, now) == 0.0]
        retry = self.retry_at is not None and self.retry_at <= now.timestamp()
        zone, names, over = ("", [], False) if retry else await self._next(zones)
        settled, self.settled = self.settled, []
        rate = self._rate()
        try:
            claim = await self.o.store.write(
                lambda connection: self.o.broadcasts.claim(
                    connection,
                    self.b,
                    self.name,
                    self.run.runner,
                    zones=zones,
                    lane=zone,
                    names=names,
                    retries=self.at_once if retry else 0,
                    lane_over=over,
                    settled=settled,
                    rate=rate,
                    page=self.page.number if self.page else 0,
                )
            )
        except BaseException:
            self.settled = settled + self.settled
            raise
        self.retry_at = claim.retry_at
        return claim

    async def _next(self, zones: list[str]) -> tuple[str, list[bytes], bool]:
        """The next page of one open zone, and whether the zone ends with it."""
        for zone in zones:
            lane = self.lanes[zone]
            if lane.over:
                continue
            if len(lane.names) < self.at_once and not lane.read_to_end:
                found = await self.o.store.read(
                    lambda connection, zone=zone, lane=lane: self.o.broadcasts.candidates(  # type: ignore[misc]
                        connection, self.b, self.name, zone, after=lane.last, limit=CANDIDATES, last=self.page.last if self.page else b""
                    )
                )
                lane.names.extend(found)
                lane.last = found[-1] if found else lane.last
                lane.read_to_end = len(found) < CANDIDATES
            names = [lane.names.popleft() for _ in range(min(self.at_once, len(lane.names)))]
            lane.over = lane.read_to_end and not lane.names
            return zone, names, lane.over
        return "", [], False

    def _until_more(self) -> float | None:
        """Seconds until there may be something to claim; 0: now; None: never."""
        now = self.o.clock()
        moments = [self.b.draft.when.opens(zone, now) for zone, lane in self.lanes.items() if not lane.over]
        waits = [0.0 if moment == 0.0 else moment - now.timestamp() for moment in moments if moment is not None]
        if self.retry_at is not None:
            waits.append(max(0.0, self.retry_at - now.timestamp()))
        return min(waits) if waits else None

    def _rate(self) -> int:
        """Messages a minute since the last measure, when it is time for another; else 0, as for a page."""
        at, sent = self.measured
        now = time.monotonic()
        if self.page is not None or now - at < RATE_SECONDS:
            return 0
        self.measured = (now, self.sent)
        return max(1, int((self.sent - sent) * 60 / (now - at)))

    def _release(self, recipients: tuple[Recipient, ...]) -> None:
        """Give back what was claimed and not begun."""
        self.settled.extend(Outcome(one.name, self.name, "released") for one in recipients)
        if recipients:
            self.retry_at = 0

    async def _nap(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, NAP_SECONDS)):
                    await self.o.woken.wait()

    # --- sending -------------------------------------------------------------------------------------------------------------------

    async def _send_page(self, claim: Claim) -> bool:
        """Send a page at the channel's pace; False when the rest was given back because the pace stands still or the run was halted."""
        for number, recipient in enumerate(claim.recipients):
            if number == len(claim.recipients) // 2:
                self._claim_ahead()
            try:
                slot = not self.run.halted and await self._slot()
            except asyncio.CancelledError:
                self._release(claim.recipients[number:])
                raise
            if not slot:
                self._release(claim.recipients[number:])
                return False
            self.sent += 1
            task = asyncio.get_running_loop().create_task(self._deliver(recipient))
            self.sending.add(task)
            task.add_done_callback(self.sending.discard)
        return True

    async def _slot(self) -> bool:
        """Wait for a free slot; False when it is far away."""
        if self.pacer is None or self.channel is None:
            return True
        while len(self.sending) >= self.wire:
            await asyncio.wait(self.sending, return_when=asyncio.FIRST_COMPLETED)
        return await self.pacer.wait_behind(longest=LONG_PAUSE_SECONDS)

    async def _deliver(self, recipient: Recipient) -> None:
        outcome = await self._outcome(recipient)
        SENT.labels(self.name, f"broadcast {outcome.outcome}").inc()
        self.settled.append(outcome)
        if outcome.outcome in ("sent", *BAD) or outcome.reason == "down":
            await self.run.watch_for_surge(outcome.outcome in BAD or outcome.reason == "down")

    async def _outcome(self, recipient: Recipient) -> Outcome:
        """Send to one recipient and say what became of it."""

        def became(outcome: str, reason: str = "", seconds: float = 0.0) -> Outcome:
            return Outcome(recipient.name, self.name, outcome, reason, seconds)

        if recipient.name in self.o.broadcasts.subscribers.gone:
            return became("skipped", "stopped")
        if self.channel is None:
            return became("skipped", "channel_off")
        if wait := self.o.recent.wait(recipient.address):
            return became("retry", "pair", wait)
        outbound = self.run.outbound(recipient)
        if outbound is None:
            return became("skipped", "window")
        if outbound.template and (unfit := self._unfit(recipient.address)):
            return became("skipped", unfit)
        how = "" if self.name != "whatsapp" else "template" if outbound.template else "session"
        self.run.spent += how == "template"
        try:
            await self.channel.send(recipient.address, outbound)
        except SendError as error:
            self.run.spent -= how == "template" and error.trouble != "unknown_outcome"
            return await self._trouble(recipient, error, became)
        except Exception as error:  # noqa: BLE001 - a fault of the channel; whether it was sent is not known
            log.error("broadcast: fault in the channel", channel=self.name, error=type(error).__name__)
            return became("uncertain", "fault")
        return became("sent", how)

    def _unfit(self, address: Address) -> str:
        """Why a template that costs money is not sent there."""
        number = address.chat.removeprefix("whatsapp:").lstrip("+")
        if self.run.draft.countries and not number.startswith(self.run.draft.countries):
            return "country"
        if self.run.draft.templates_at_most and self.run.spent >= self.run.draft.templates_at_most:
            return "budget"
        return ""

    async def _trouble(self, recipient: Recipient, error: SendError, became: Callable[..., Outcome]) -> Outcome:
        """What an error means: never repeated when it may have been delivered, repeated later when it certainly was not."""
        if error.trouble == "stopped":
            return became("stopped", error.code[:24] or "blocked")
        if error.trouble == "unknown_outcome":
            return became("uncertain", "unanswered")
        if error.trouble == "window_closed":
            return became("skipped", "window")
        if error.trouble == "auth":
            await self.run.pause("auth")
            return became("released")
        if error.trouble in ("throttled", "down"):
            if error.trouble == "throttled" and self.pacer is not None:
                self.pacer.pause(error.seconds or 1.0)
            if recipient.tries + 1 >= TRIES[error.trouble]:
                return became("failed", error.trouble)
            return became("retry", error.trouble, error.seconds or float(min(300, 5 * 2**recipient.tries)))
        return became("failed", error.trouble)
