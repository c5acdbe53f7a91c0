"""A pace that is never exceeded: GCRA with a margin, so that no one-second window holds more than the limit.

Slots come at a steady interval a little longer than the limit asks. A reply passes at once and takes a slot away from the bulk messages
behind it.

One process alone owns all slots and remembers when it sent: after a standstill it makes up for what it missed, a quarter faster than the
rate and never with more than a second's messages in 1/m seconds, m being the margin.

Several share a `Row`: each leases the slots of the next 100 ms and works on them as if they were its
own; what it does not use in time is lost, and a pause that any of them is told voids the leases of all. `docs/scale-out.md` has why.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from bot.logs import log
from bot.messages import Address

RATES = {"telegram": 30.0, "whatsapp": 80.0}
"""Messages a second and bot (Bot API FAQ: about 30 in bulk; Twilio: 80 a WhatsApp sender)."""
OTHER_RATE = 30.0
PAID_TELEGRAM_RATE = 1000.0
"""Bot API: with `allow_paid_broadcast`."""
CHAT_SECONDS = {"telegram": 1.0, "whatsapp": 6.0}
"""Between two messages to one chat (Bot API FAQ; Meta error 131056)."""

REPLIES_AHEAD_SECONDS = 5.0
"""So far at most do replies push bulk messages back."""

MARGIN = 0.985
"""What it leaves of a second, 15 ms, absorbs the network's jitter between our clock and the platform's."""
CATCH_UP_SECONDS = 0.005
"""Of a lease: a slot missed by more is lost, since nobody knows what the others send. With margin m and catch-up c, a window of a second
holds at most (1 + c) * m * rate + 1 messages, which is no more than the rate."""
MAKE_UP_SECONDS, MAKE_UP_PACE, BUNCH_SECONDS = 0.25, 1.25, 0.02
"""Of a process alone: how much of a standstill it makes up for, how much faster than the rate, and over what time that is measured."""
IDLE_SECONDS = 1.0
"""Who sent nothing in bulk for so long was not held up, but had nothing to send."""
LEAD_SECONDS = 0.1
TIMER_SECONDS = 0.001
"""The event loop's timers know no less; a shorter sleep would only spin."""

LEASE_SECONDS = 0.1
"""Slots are leased for so long: ten statements a second for all processes together, and no more than that is lost when one dies."""
ASK_AHEAD_SECONDS = 0.05
"""A lease is asked for so long before the one before ends; earlier would only keep slots from the others."""
TELL_SECONDS = 1.0
"""So often at most does a process without a lease say how many replies it has sent."""
AGAIN_SECONDS = 1.0
"""Between two tries when the row cannot be reached; nothing is sent in bulk meanwhile."""


class Row(Protocol):
    """The send budget of one sender, shared by several processes."""

    async def draw(self, seconds: float, owed: float, late: float) -> tuple[float, float]:
        """Take `owed` seconds of slots away for replies, then lease the next `seconds`: begin and end, by this process's clock."""

    async def pause(self, seconds: float) -> None:
        """Move the row behind a pause and tell every process."""


class Pacer:
    """Gives out slots at a steady rate (a second); a platform's "wait" pauses everybody. Without a `row` it owns every slot."""

    def __init__(
        self,
        rate: float,
        *,
        margin: float = MARGIN,
        catch_up: float = CATCH_UP_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate, self.interval, self.catch_up = rate, 1.0 / (rate * margin), catch_up
        self._now, self._sleep = monotonic, sleep
        self._next = self._paused_until = self._bulk_at = -math.inf
        self._sent: deque[float] = deque(maxlen=max(1, int(rate)))
        self._window = max(1, int(rate)) * self.interval
        self._bunch = max(1, int(rate * BUNCH_SECONDS))
        self._row: Row | None = None
        self._until = math.inf
        self._leases: deque[tuple[float, float]] = deque()
        self._owed = 0
        self._asking: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._pausing: set[asyncio.Task[None]] = set()

    def share(self, row: Row) -> None:
        """From now on lease the slots from a row that other processes draw from as well."""
        self._row, self._until = row, -math.inf

    def spare(self) -> float:
        """Take a slot that is free now: 0 when taken, else the seconds after which to ask again (infinite: nothing is leased)."""
        now = self._now()
        while (slot := max(self._next, now - self._may_make_up(now))) > self._until - self.interval / 2:
            if not self._leases:
                return math.inf
            begin, self._until = self._leases.popleft()
            self._next = max(self._next, begin)
        if (free := max(slot, self._full_until())) > now:
            return free - now
        self._next = slot + self.interval
        self._sent.append(now)
        self._bulk_at = now
        return 0.0

    def _may_make_up(self, now: float) -> float:
        """How late a slot may be."""
        if self._row is not None:
            return self.catch_up
        return MAKE_UP_SECONDS if now - self._bulk_at < IDLE_SECONDS else 0.0

    def _full_until(self) -> float:
        """Until when this process, alone, has sent as much as it may."""
        if self._row is not None or not self._sent:
            return -math.inf
        bunch = min(self._bunch, len(self._sent))
        fast = self._sent[-bunch] + bunch * self.interval / MAKE_UP_PACE
        return max(fast, self._sent[0] + self._window) if len(self._sent) == self._sent.maxlen else fast

    def hold(self, seconds: float) -> None:
        """Give out no slot for so long, in this process."""
        self._paused_until = max(self._paused_until, self._now() + seconds)
        self._next = max(self._next, self._paused_until)

    def pause(self, seconds: float) -> None:
        """Give out no slot for so long, in any process; leases within it are void."""
        self.hold(seconds)
        if self._row is not None:
            task = asyncio.get_running_loop().create_task(self._pause(self._row, seconds))
            self._pausing.add(task)
            task.add_done_callback(self._pausing.discard)

    @property
    def paused(self) -> float:
        """How much of a pause is left, in seconds."""
        return max(0.0, self._paused_until - self._now())

    async def reply(self) -> None:
        """Let a reply pass: the platforms' rates are for bulk, so only a pause holds it, but bulk gives up a slot for it."""
        now = self._now()
        slot = max(self._next, now - self._may_make_up(now))
        self._sent.append(now)
        if slot > self._until - self.interval / 2:
            self._owe()
        else:
            self._next = min(slot + self.interval, max(self._next, now + REPLIES_AHEAD_SECONDS))
        while left := self.paused:
            await self._sleep(left)

    async def wait_behind(self, *, longest: float) -> bool:
        """Wait for a slot behind the replies; False, without one, when a pause of more than `longest` seconds stands before it."""
        while True:
            if self._row is not None:
                self._ask_ahead(self._row)
            if not (delay := self.spare()):
                return True
            if self.paused > longest:
                return False
            if delay < math.inf:
                await self._sleep(max(delay, TIMER_SECONDS))
            elif self._asking is not None:
                await asyncio.wait([self._asking])

    async def pause_nearly_over(self, *, at_most: float) -> None:
        """Wait until a pause has little left, time enough to prepare for its end; at most so many seconds."""
        if (left := self.paused - LEAD_SECONDS) > 0:
            await self._sleep(min(left, at_most))

    # --- the row ---------------------------------------------------------------------------------------------------------------

    def _ask_ahead(self, row: Row) -> None:
        """Have the next lease asked for when the last one is nearly used up."""
        last = self._leases[-1][1] if self._leases else self._until
        if last - self._now() < ASK_AHEAD_SECONDS and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._ask(row))

    async def _ask(self, row: Row) -> None:
        slots = math.ceil(self.rate * LEASE_SECONDS)
        lease = await self._draw(row, slots)
        if lease is not None:
            self._leases.append(lease)

    async def _draw(self, row: Row, slots: int) -> tuple[float, float] | None:
        owed, self._owed = self._owed, 0
        try:
            return await row.draw(slots * self.interval, owed * self.interval, self.catch_up)
        except Exception as error:  # noqa: BLE001 - the database may be away; without it nobody knows what the others send
            self._owed += owed
            log.error("no slots leased", error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)
            return None

    def _owe(self) -> None:
        """A reply went out beside the leases: the row learns of it with the next lease, or by itself in a moment."""
        self._owed += 1
        if self._row is not None and (self._telling is None or self._telling.done()):
            self._telling = asyncio.get_running_loop().create_task(self._tell(self._row))

    async def _tell(self, row: Row) -> None:
        await asyncio.sleep(TELL_SECONDS)
        if self._owed:
            await self._draw(row, 0)

    async def _pause(self, row: Row, seconds: float) -> None:
        try:
            await row.pause(seconds)
        except Exception as error:  # noqa: BLE001 - the others find out by themselves
            log.error("pause not passed on", error=type(error).__name__)


SWEEP_SECONDS = 60.0
"""So often chats are forgotten that may be written to again: memory is no list of who was here."""


class Recent:
    """When each chat was last written to, so that a broadcast keeps the platform's distance from a reply."""

    KEPT = 20_000

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._last: dict[Address, float] = {}
        self._swept = self._now()

    def note(self, address: Address) -> None:
        """The chat is written to now."""
        if len(self._last) > self.KEPT or self._now() - self._swept > SWEEP_SECONDS:
            self._swept = self._now()
            longest = self._swept - max(CHAT_SECONDS.values())
            self._last = {known: at for known, at in self._last.items() if at > longest}
        self._last[address] = self._now()

    def wait(self, address: Address) -> float:
        """Seconds until the chat may be written to again."""
        last = self._last.get(address)
        return 0.0 if last is None else max(0.0, last + CHAT_SECONDS.get(address.channel, 0.0) - self._now())
