"""The pace of single chats on a platform whose "wait" does not say whether one chat is meant or all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

CHAT_SECONDS = 1.05
"""Between two messages to one chat (Bot API FAQ: one a second, short bursts pass), with a little for the way."""
BUSY_SECONDS = 3.0
"""A chat that was written to in so many last seconds is the one that a "wait" is about; else it is about everybody."""
SLOW_SECONDS = 60.0
"""So long a chat that was written to too fast is written to at the platform's pace."""
KEPT = 10_000


class ChatPace:
    """Replies go out at once; a chat that the platform refuses for speed waits alone, and is then written to once a second for a minute."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._now, self._sleep = monotonic, sleep
        self._last: dict[str, float] = {}
        self._slow: dict[str, tuple[float, float]] = {}
        """Of a slow chat: before which time nothing is sent, and until when it is slow."""

    async def turn(self, chat: str) -> None:
        """Wait until the chat may be written to."""
        while (known := self._slow.get(chat)) is not None:
            not_before, until = known
            now = self._now()
            if now >= until:
                del self._slow[chat]
                return
            left = max(not_before, self._last.get(chat, 0.0) + CHAT_SECONDS) - now
            if left <= 0:
                return
            await self._sleep(left)

    def sent(self, chat: str) -> None:
        """The chat was written to now."""
        now = self._now()
        if len(self._last) >= KEPT:
            self._last = {one: at for one, at in self._last.items() if now - at < BUSY_SECONDS}
            self._slow = {one: (start, end) for one, (start, end) in self._slow.items() if end > now}
        self._last[chat] = now

    def refused(self, chat: str, seconds: float) -> bool:
        """The platform says "wait": whether that is this chat's own matter, which `turn` then sees to."""
        now = self._now()
        if chat not in self._slow and now - self._last.get(chat, float("-inf")) > BUSY_SECONDS:
            return False
        self._slow[chat] = (now + seconds, now + seconds + SLOW_SECONDS)
        return True
