"""A photo in: decoded in a child process, rebuilt from fresh pixels, encrypted before it touches the disk."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 20 * 1000 * 1000
"""Telegram's own limit for a bot's downloads (Bot API, getFile)."""

MAX_ANSWER = 40 * 1000 * 1000
"""A clean photo of 4,096 by 4,096 pixels is far smaller, whatever it shows."""
REASONS = ("kind", "large", "pixels", "moving", "broken")

NEAR_BITS = 6
"""Two likeness hashes of 64 bits that differ in at most this many belong to the same picture, re-encoded or scaled."""

AT_ONCE = 2
WAIT_SECONDS = 12


HASH, LIKENESS, DAY = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}"), re.compile(r"(?:\d{4}-\d\d-\d\d)?", re.ASCII)
FACTS: Mapping[str, Callable[[Any], bool]] = {
    "format": lambda said: said in ("JPEG", "PNG", "WEBP"),
    "taken": lambda said: isinstance(said, str) and bool(DAY.fullmatch(said)),
    **{name: lambda said: isinstance(said, bool) for name in ("camera", "place", "screenshot", "resent", "provenance")},
    **{name: lambda said: type(said) is int and 0 < said <= MAX_BYTES for name in ("size", "width", "height")},
    **{name: lambda said: isinstance(said, str) and bool(HASH.fullmatch(said)) for name in ("original_sha256", "clean_sha256")},
    "likeness": lambda said: isinstance(said, str) and bool(LIKENESS.fullmatch(said)),
}
"""All that may be said of an original, and how: nothing else that a child says gets any further."""


class Refused(Exception):
    """A file that is not kept. `reason` names why: kind, large, pixels, moving, broken."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean JPEG and what may be said about its original."""

    jpeg: bytes
    facts: dict[str, Any]


class Cleaner:
    """Cleans photos in children of a decoder process; each child serves one photo and dies."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="photo")
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def clean(self, data: bytes) -> Cleaned:
        """The cleaned photo; raises `Refused`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.clean_now, data)

    def clean_now(self, data: bytes) -> Cleaned:
        """The same, blocking."""
        if len(data) > MAX_BYTES:
            raise Refused("large")
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            ours.settimeout(WAIT_SECONDS)
            try:
                ours.sendall(data)
                ours.shutdown(socket.SHUT_WR)
                answer = _all(ours)
            except OSError as error:
                raise Refused("broken") from error
        return _read(answer)

    def _hand_over(self, job: socket.socket) -> None:
        with self._lock:
            for _ in range(2):
                if self._process is None or self._process.poll() is not None:
                    self._start()
                assert self._control is not None
                try:
                    socket.send_fds(self._control, [b"j"], [job.fileno()])
                    return
                except OSError:
                    self._process = None
        raise Refused("broken")

    def _start(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        decoder = Path(__file__).with_name("decoder.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(decoder), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
            )

    def close(self) -> None:
        """End the decoder process."""
        self._threads.shutdown(cancel_futures=True)
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait()


def look_alike(one: int, two: int) -> bool:
    """Whether two likeness hashes are of one picture; a flat picture (nearly all bits equal) resembles every other and counts as none."""
    return 4 < one.bit_count() < 60 and 4 < two.bit_count() < 60 and (one ^ two).bit_count() <= NEAR_BITS


def _all(connection: socket.socket) -> bytes:
    """What the child answers, as far as it is of a sane size: a child that was taken over must not fill this process."""
    found = bytearray()
    while part := connection.recv(1 << 18):
        found += part
        if len(found) > MAX_ANSWER:
            return b""
    return bytes(found)


def _read(answer: bytes) -> Cleaned:
    """The child's answer, trusted as little as the photo itself; raises `Refused`."""
    try:
        head_size, size = struct.unpack(">II", answer[:8])
        facts = json.loads(answer[8 : 8 + head_size])
    except (struct.error, ValueError):
        raise Refused("broken") from None
    jpeg = answer[8 + head_size :]
    if isinstance(facts, dict) and facts.get("refused") in REASONS:
        raise Refused(facts["refused"])
    if not isinstance(facts, dict) or len(jpeg) != size or not jpeg.startswith(b"\xff\xd8\xff"):
        raise Refused("broken")
    if facts.keys() != FACTS.keys() or not all(fits(facts[name]) for name, fits in FACTS.items()):
        raise Refused("broken")
    return Cleaned(jpeg, facts)
