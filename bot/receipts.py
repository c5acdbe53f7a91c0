"""Receipt codes at the door: found in what people type, taken out before anything is stored, and kept in memory alone.

A message with a code enters the inbox with a random handle in its place. Handle and derived keys live here for 15 minutes; after a
restart the person types the code again. So nothing on disk leads from a chat to a case.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from bot.messages import Address, Inbound
from storage.vault import RECEIPT_DIGITS, Receipt, Receipts, damm, keyed

CANDIDATE = re.compile(r"\d(?:[\s.\-_–—·,/]{0,3}\d){19}")
SESSION_SECONDS = 15 * 60
WRONG_CODES, LOCKED_SECONDS = 5, 15 * 60
"""So many unknown codes from one chat, then a pause; never a pause for everybody (facts: security design, 4.4)."""


SWEEP_SECONDS = 60.0
"""So often the sessions that are over are forgotten, with the keys in them."""
GROUP_SECONDS = 24 * 3600
"""So long the last group of a code that was shown is remembered: as long as the question for it waits."""
QUEUE = 8
"""So many codes wait for their derivation, one at a time; then people are asked to try again in a moment."""

HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Signs that nobody types: control characters, invisible gaps, marks that turn the direction of text around, halves of characters."""


def readable(words: str) -> str:
    """The words without signs that cannot be seen; what is left can be stored, shown and searched for a code."""
    return HIDDEN.sub("", words.replace("\r\n", "\n").replace("\r", "\n"))


def find_code(words: str) -> tuple[str, str]:
    """The first valid code in the words and the words without any code; else "" and the words.

    Spaces, dots and dashes between digits and digits of any script are allowed.
    """
    normal = unicodedata.normalize("NFKC", words)
    normal = "".join(
        str(unicodedata.digit(sign)) if not sign.isascii() and unicodedata.digit(sign, None) is not None else sign for sign in normal
    )
    codes: list[str] = []
    parts, at = [], 0
    for start in re.finditer(r"(?<![0-9])[0-9]", normal):
        match = CANDIDATE.match(normal, start.start())
        if match is None or match.start() < at or normal[match.end() : match.end() + 1].isdecimal():
            continue
        code = re.sub(r"\D", "", match[0])
        if damm(code) == "0" and len(code) == RECEIPT_DIGITS:
            codes.append(code)
            parts.append(normal[at : match.start()] + "[kode]")
            at = match.end()
    return (codes[0], ("".join(parts) + normal[at:]).strip()) if codes else ("", words)


@dataclass(slots=True)
class _Session:
    hashed: bytes
    expires: float
    last_group: str
    receipt: Receipt | None = None
    known: bool = False
    locked: bool = False
    busy: bool = False


class CodeSessions:
    """The codes that were typed lately, in memory."""

    def __init__(self, receipts: Receipts, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.receipts, self._now = receipts, monotonic
        self._sessions: dict[str, _Session] = {}
        self._wrong: dict[bytes, list[float]] = {}
        self._pepper = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._one = ThreadPoolExecutor(1, thread_name_prefix="code")
        self._queued = 0
        self._swept = self._now()

    def at_the_door(self, inbound: Inbound) -> Inbound:
        """The message as it may be kept: only what can be read, and with a code replaced by a handle."""
        words = readable(inbound.text)
        code, without = find_code(words)
        if self._now() - self._swept > SWEEP_SECONDS:
            with self._lock:
                self._drop_old()
        if not code:
            return inbound if words == inbound.text else replace(inbound, text=words)
        handle = secrets.token_hex(8)
        with self._lock:
            self._drop_old()
            self._sessions[handle] = _Session(self.receipts.hashed(code), self._now() + SESSION_SECONDS, code[-4:])
        return replace(inbound, text=without, receipt=handle)

    def needs_work(self, handle: str) -> bool:
        """Whether this code is still to be derived."""
        session = self._sessions.get(handle)
        return session is not None and session.receipt is None and not (session.locked or session.busy)

    async def derive_in_turn(self, handle: str, address: Address, known: Callable[[Receipt], bool]) -> None:
        """Derive a code after those that came before, in a thread of its own; where too many wait, only note that it was not tried."""
        if self._queued > QUEUE:
            if (session := self._sessions.get(handle)) is not None:
                session.busy = True
            return
        self._queued += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._one, self.derive, handle, address, known)
        finally:
            self._queued -= 1

    def derive(self, handle: str, address: Address, known: Callable[[Receipt], bool]) -> None:
        """Derive a code (blocking) and note a wrong one; a chat with too many wrong ones has to wait."""
        session = self._sessions.get(handle)
        if session is None:
            return
        chat = keyed(self._pepper, b"wrong", f"{address.channel}|{address.chat}".encode(), 16)
        now = self._now()
        recent = [at for at in self._wrong.get(chat, []) if now - at < LOCKED_SECONDS]
        if len(recent) >= WRONG_CODES:
            session.locked = True
            return
        receipt = self.receipts.derive(session.hashed)
        session.known = known(receipt)
        session.receipt = receipt
        if not session.known:
            self._wrong[chat] = [*recent, now]

    def get(self, handle: str) -> Receipt | None:
        """The derived receipt of a session that still runs; it runs on from now."""
        session = self._sessions.get(handle)
        if session is None or session.expires < self._now() or session.receipt is None:
            return None
        session.expires = self._now() + SESSION_SECONDS
        return session.receipt

    def last_group(self, handle: str) -> str:
        """The last four digits of a code that was typed lately; empty when it is forgotten."""
        session = self._sessions.get(handle)
        return session.last_group if session is not None else ""

    def locked(self, handle: str) -> bool:
        """Whether this code was not tried because its chat has to wait."""
        session = self._sessions.get(handle)
        return session is not None and session.locked

    def busy(self, handle: str) -> bool:
        """Whether this code was not tried because too many waited before it."""
        session = self._sessions.get(handle)
        return session is not None and session.busy

    def end(self, handle: str) -> None:
        """Forget a session."""
        self._sessions.pop(handle, None)

    def _drop_old(self) -> None:
        now = self._swept = self._now()
        for handle in [handle for handle, session in self._sessions.items() if session.expires < now]:
            del self._sessions[handle]
        for chat in [chat for chat, times in self._wrong.items() if all(now - at > LOCKED_SECONDS for at in times)]:
            del self._wrong[chat]


class LastGroups:
    """The last four digits of codes that were just shown, in memory, until the person has retyped them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._groups: dict[str, tuple[str, float]] = {}
        self._now = monotonic

    def keep(self, code: str) -> str:
        """A handle for the code's last group."""
        now = self._now()
        self._groups = {known: (group, at) for known, (group, at) in self._groups.items() if now - at < GROUP_SECONDS}
        handle = secrets.token_hex(8)
        self._groups[handle] = (code[-4:], now)
        return handle

    def fits(self, handle: str, digits: str) -> bool:
        """Whether these digits are the last group (a forgotten handle fits anything: there is nothing left to compare)."""
        known = self._groups.get(handle)
        return known is None or known[0] == digits
