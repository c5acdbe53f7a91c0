"""A pace that is never exceeded: GCRA with a margin, so that no one-second window holds more than the limit.

Slots come at a steady interval a little longer than the limit asks. One that is missed by more than the catch-up is dropped, never sent
late in a burst: with a margin m and a catch-up c, a window of a second holds at most (1 + c) * m * rate + 1 messages, which is no more
than the rate. Replies reserve their slots ahead; bulk messages take only what nobody has reserved.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

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
CATCH_UP_SECONDS = 0.005
"""What is left of a second, about 10 ms, absorbs the network's jitter between our clock and the platform's."""
LEAD_SECONDS = 0.1


class Pacer:
    """Gives out slots at a steady rate (a second); a platform's "wait" pauses everybody."""

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
        self._next = self._paused_until = float("-inf")

    def reserve(self) -> float:
        """Reserve the next slot; the moment at which it begins."""
        slot = max(self._next, self._now() - self.catch_up)
        self._next = slot + self.interval
        return slot

    def missed(self, slot: float) -> bool:
        """Whether a slot may not be used any more, because it is too late or a pause came in between."""
        now = self._now()
        return now > slot + self.catch_up or now < self._paused_until

    def spare(self) -> float:
        """Take a slot that is free now, behind all that are reserved: 0 when taken, else the seconds after which to ask again."""
        now = self._now()
        slot = max(self._next, now - self.catch_up)
        if slot > now:
            return slot - now
        self._next = slot + self.interval
        return 0.0

    def pause(self, seconds: float) -> None:
        """Give out no slot for so long; those that are reserved within it are void."""
        self._paused_until = max(self._paused_until, self._now() + seconds)
        self._next = max(self._next, self._paused_until)

    @property
    def paused(self) -> float:
        """How much of a pause is left, in seconds."""
        return max(0.0, self._paused_until - self._now())

    async def reply(self) -> None:
        """Let a reply pass: the platforms' rates are for bulk, so only a pause holds it, but bulk gives up a slot for it."""
        now = self._now()
        self._next = min(max(self._next, now - self.catch_up) + self.interval, max(self._next, now + REPLIES_AHEAD_SECONDS))
        while left := self.paused:
            await self._sleep(left)

    async def wait(self) -> None:
        """Wait for the next slot, before all bulk messages."""
        while True:
            slot = self.reserve()
            if (delay := slot - self._now()) > 0:
                await self._sleep(delay)
            if not self.missed(slot):
                return

    async def wait_behind(self, *, longest: float) -> bool:
        """Wait for a slot that nobody has reserved; False, without one, when a pause of more than `longest` seconds stands before it."""
        while delay := self.spare():
            if self.paused > longest:
                return False
            await self._sleep(delay)
        return True

    async def pause_nearly_over(self, *, at_most: float) -> None:
        """Wait until a pause has little left, time enough to prepare for its end; at most so many seconds."""
        if (left := self.paused - LEAD_SECONDS) > 0:
            await self._sleep(min(left, at_most))


class Recent:
    """When each chat was last written to, so that a broadcast keeps the platform's distance from a reply."""

    KEPT = 20_000

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._last: dict[Address, float] = {}

    def note(self, address: Address) -> None:
        """The chat is written to now."""
        if len(self._last) > self.KEPT:
            longest = self._now() - max(CHAT_SECONDS.values())
            self._last = {known: at for known, at in self._last.items() if at > longest}
        self._last[address] = self._now()

    def wait(self, address: Address) -> float:
        """Seconds until the chat may be written to again."""
        last = self._last.get(address)
        return 0.0 if last is None else max(0.0, last + CHAT_SECONDS.get(address.channel, 0.0) - self._now())
