"""Goal G12: what sealing and hashing cost, beside the rest of a tip with a photo of 12 megapixels and beside a bare request.

    python -m bench.sealing [TIMES]

Every call into libsodium and every SHA-256 of a photo is timed while tips are kept as the program keeps them. The receipt code's Argon2id
is slow on purpose, is done before it is needed, and stands apart.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nacl.bindings

from bench.updates import Server, load
from bench.vault import CHAT, NOW, PASSPHRASE, photo
from storage.cases import Cases, NewTip
from storage.conversations import Conversations
from storage.decoder import clean
from storage.models import Table
from storage.staff import add
from storage.store import Store
from storage.vault import EpochKeys, Receipts

REQUESTS = 2000


class Stopwatch:
    """Processor seconds inside of libsodium."""

    def __init__(self) -> None:
        self.spent = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time every call meanwhile."""
        known = {name: call for name, call in vars(nacl.bindings).items() if name.startswith("crypto_") and callable(call)}
        try:
            for name, call in known.items():
                setattr(nacl.bindings, name, self._timed(call))
            yield
        finally:
            for name, call in known.items():
                setattr(nacl.bindings, name, call)

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            begun = time.thread_time()
            try:
                return call(*given, **named)
            finally:
                self.spent += time.thread_time() - begun

        return timed


class Office:
    """A place to keep tips in."""

    def __init__(self, folder: Path, receivers: int) -> None:
        folder.mkdir()
        self.store = Store(f"sqlite:///{folder / 'netra.db'}")
        self.store.write_now(lambda connection: Table.metadata.create_all(connection))
        for number in range(receivers):
            name = f"penelaah{number}"
            self.store.write_now(partial(add, name=name, roles=["reviewer"], group="", passphrase=PASSPHRASE))
        self.conversations = Conversations(EpochKeys(folder / "run", lambda: NOW))
        self.cases = Cases(self.conversations, lambda: NOW)
        self.receipts = Receipts(secrets.token_bytes(32), ready=1)

    def tip(self, *photos: bytes) -> tuple[float, float]:
        """Keep a tip; processor seconds in all, and those of sealing and hashing."""
        self.receipts.refill()
        fresh = self.receipts.take()
        assert fresh is not None
        watch = Stopwatch()
        begun, hashing = time.process_time(), 0.0
        kept = []
        with watch.watching():
            for one in photos:
                jpeg, facts = clean(one)
                kept.append(
                    self.store.write_now(
                        partial(self.conversations.keep_photo, address=CHAT, evidence=secrets.token_bytes(16), photo=jpeg, facts=facts)
                    )
                )
                before = time.process_time()
                hashlib.sha256(one).digest()
                hashlib.sha256(jpeg).digest()
                hashing += time.process_time() - before
            tip = NewTip(NOW.date(), "id", {"what": "x" * 500, "when": "2024-11-17"}, kept, "")
            self.store.write_now(lambda connection: self.cases.open(connection, CHAT, tip, fresh.receipt))
        return time.process_time() - begun - hashing, watch.spent + hashing


async def raw(folder: Path) -> float:
    """Processor seconds of a bare request."""
    one = Server("raw", "raw", folder)
    await one.start()
    try:
        await load(one, 1, REQUESTS, [])
        before = await one.idle()
        await load(one, 1_000_000, REQUESTS, [])
        return (await one.idle() - before) / REQUESTS
    finally:
        one.stop()


def main(times: int) -> None:
    """Measure and print."""
    picture = photo(1, grain=0.02)
    with tempfile.TemporaryDirectory() as name:
        one, three = (Office(Path(name) / str(number), number) for number in (1, 3))
        for office in (one, three):
            office.tip(picture)
        with_photo = [one.tip(picture) for _ in range(times)]
        text, for_three = ([office.tip() for _ in range(times * 3)] for office in (one, three))
        begun = time.process_time()
        one.receipts.refill()
        derived = time.process_time() - begun
        for office in (one, three):
            office.store.close()
        bare = asyncio.run(raw(Path(name) / "raw"))
    whole, crypto = (statistics.median(column) for column in zip(*with_photo, strict=True))
    alone, shared = (statistics.median(cost for _, cost in found) for found in (text, for_three))
    print(
        f"tip with a photo ({len(picture) / 1e6:.1f} MB) {1000 * whole:6.1f} ms CPU, of which sealing and hashing {1000 * crypto:5.1f} ms"
    )
    print(f"tip without      {1000 * statistics.median(cost for cost, _ in text):6.1f} ms CPU, of which sealing {1e6 * alone:5.0f} us")
    print(f"each further receiver {1e6 * (shared - alone) / 2:5.0f} us")
    print(f"bare request     {1e6 * bare:6.0f} us CPU; a receipt code's Argon2id, made beforehand: {1000 * derived:.0f} ms")
    print(f"G12 photo tip: sealing and hashing are {100 * crypto / whole:.1f} % of it (goal: 5)")
    print(f"G12 text tip: sealing costs {alone / bare:.2f} bare requests (goal: 1.5)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
