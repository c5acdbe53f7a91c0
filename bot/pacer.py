"""A pace that is never exceeded: GCRA with a margin, so that no one-second window holds more than the limit.

Slots that are missed by more than the catch-up are dropped, never sent late in a burst.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

MARGIN = 0.98
CATCH_UP_SECONDS = 0.02


class Pacer:
    """Gives out slots at a steady rate (a second); a platform's "wait" pauses everybody."""

    def __init__(self, rate: float, *, margin: float = MARGIN, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.interval = 1.0 / (rate * margin)
        self._now = monotonic
        self._next = 0.0

    def take(self) -> float:
        """Reserve the next slot; the seconds until it begins."""
        now = self._now()
        slot = max(self._next, now - CATCH_UP_SECONDS)
        self._next = slot + self.interval
        return max(0.0, slot - now)

    def pause(self, seconds: float) -> None:
        """Give out no slot for so long."""
        self._next = max(self._next, self._now() + seconds)

    async def wait(self) -> None:
        """Wait for the next slot."""
        if delay := self.take():
            await asyncio.sleep(delay)
