"""How much one chat may send in a day, and how much all chats together may send at once: counted in memory, under a key that dies daily.

A chat stands here as a keyed hash; the key lives as long as the process, at most 24 hours, and everything counted under it goes with it.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable

from bot.messages import Address
from storage.vault import keyed

BURST, PER_MINUTE = 30, 20
"""Messages that one chat may send at once (a tip with an album is that many), and a minute after that."""
FULL_SECONDS = BURST * 60 / PER_MINUTE
"""After so long a silence a chat may send at once again, and nothing need be known of it any more."""

TIPS_A_DAY, PHOTOS_A_DAY = 3, 30
"""Of one chat (docs/threat-model.md, A5)."""

SURGE_TIPS, SURGE_SECONDS = 30, 600
"""Beyond so many tips of all chats together in so many seconds, a sender is asked a small question first; nobody is locked out."""

DAY_SECONDS = 24 * 3600
CHATS_AT_MOST = 200_000


class Quotas:
    """Counts messages, tips and photos per chat, the tips of all chats, and the chats that are muted for a day."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._recent: deque[float] = deque()
        self._swept = self._now()
        self._begin()

    def _begin(self) -> None:
        self._key, self._since = secrets.token_bytes(32), self._now()
        self._tips: Counter[bytes] = Counter()
        self._photos: Counter[bytes] = Counter()
        self._muted: set[bytes] = set()
        self._said: dict[bytes, tuple[float, float]] = {}

    def _name(self, address: Address) -> bytes:
        if self._now() - self._since > DAY_SECONDS or max(len(self._photos), len(self._said)) > CHATS_AT_MOST:
            self._begin()
        return keyed(self._key, b"quota", f"{address.channel}|{address.chat}".encode(), 16)

    def may_say(self, address: Address) -> bool:
        """Count a message; False when the chat sends more than its share now. Chats that were silent for a while are forgotten."""
        name, now = self._name(address), self._now()
        if now - self._swept > FULL_SECONDS:
            self._said = {known: (left, at) for known, (left, at) in self._said.items() if now - at < FULL_SECONDS}
            self._swept = now
        left, at = self._said.get(name, (float(BURST), now))
        left = min(float(BURST), left + (now - at) * PER_MINUTE / 60)
        allowed = left >= 1
        self._said[name] = (left - 1 if allowed else left, now)
        return allowed

    def may_send_tip(self, address: Address) -> bool:
        """Whether this chat has a tip left today."""
        return self._tips[self._name(address)] < TIPS_A_DAY

    def tip_sent(self, address: Address) -> None:
        """Count a tip."""
        self._tips[self._name(address)] += 1
        self._recent.append(self._now())

    def take_photo(self, address: Address) -> bool:
        """Count a photo; False when the chat has none left today."""
        name = self._name(address)
        if self._photos[name] >= PHOTOS_A_DAY:
            return False
        self._photos[name] += 1
        return True

    def surge(self) -> bool:
        """Whether more tips come in than people are likely to send."""
        while self._recent and self._now() - self._recent[0] > SURGE_SECONDS:
            self._recent.popleft()
        return len(self._recent) >= SURGE_TIPS

    def mute(self, address: Address) -> None:
        """Take nothing from this chat until the day's key dies; nobody learns whose chat it is."""
        self._muted.add(self._name(address))

    def muted(self, address: Address) -> bool:
        """Whether nothing is taken from this chat now."""
        return self._name(address) in self._muted
