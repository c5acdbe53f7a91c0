"""Whether this process should get traffic, and what an operator wants to see at a glance: parts by name, never a content."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot import metrics
from bot.pacer import Pacer
from storage import backlog
from storage.store import Store, alive

WATCH_SECONDS = 10.0
STUCK_SECONDS = 60.0
"""A message that waits so long for its turn is not waiting any more: this process is stuck, and another should get the traffic."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; each part in one word, "ok" where all is well."""

    serves: bool
    """Whether this process should get traffic. A platform that is out of order is no reason: messages still come in and are kept."""
    parts: Mapping[str, str]
    channels: Mapping[str, str]
    waiting: Mapping[str, Mapping[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The answer of /readyz."""
        status = "ok" if self.serves else "not ready"
        return {
            "status": status,
            **self.parts,
            "channels": dict(self.channels),
            "backlog": {box: dict(one) for box, one in self.waiting.items()},
        }

    def states(self) -> dict[str, str]:
        """Every part and channel with its word."""
        return {**self.parts, **self.channels}


@dataclass(slots=True)
class _Oldest:
    """The row that is the oldest of its box, and since when."""

    row: int = 0
    since: float = 0.0

    def age(self, row: int, now: float) -> int:
        """Seconds for which this row has been seen as the oldest."""
        if row != self.row:
            self.row, self.since = row, now
        return int(now - self.since) if row else 0


@dataclass(slots=True)
class Health:
    """Looks at the database, the keys, the channels and what waits."""

    store: Store
    owner: str
    channels: tuple[str, ...]
    pacers: Mapping[str, Pacer]
    """Of the channels that push."""
    keys: Callable[[], object]
    """Raises when the keys of this moment cannot be read."""
    folder: Path
    monotonic: Callable[[], float] = time.monotonic
    _oldest: dict[str, _Oldest] = field(default_factory=lambda: {"inbox": _Oldest(), "outbox": _Oldest()})
    _sent: dict[str, tuple[float, float]] = field(default_factory=dict)
    _failing: set[str] = field(default_factory=set)

    async def look(self) -> Report:
        """Look now, and set the gauges."""
        parts = {"database": "ok", "keys": "ok", "turns": "ok"}
        waiting = {box: {"rows": 0, "oldest_seconds": 0} for box in self._oldest}
        try:
            await self.store.read(alive)
            found = {
                "inbox": await self.store.read(lambda connection: backlog.inbox(connection, self.owner)),
                "outbox": await self.store.read(lambda connection: backlog.outbox(connection, self.owner, tuple(self.pacers))),
            }
        except Exception as error:  # noqa: BLE001 - whatever it is, the database is not ready
            parts["database"] = type(error).__name__
        else:
            for box, one in found.items():
                waiting[box] = {"rows": one.rows, "oldest_seconds": self._oldest[box].age(one.first, self.monotonic())}
        try:
            await asyncio.to_thread(self.keys)
        except Exception as error:  # noqa: BLE001 - a key that cannot be read is not there
            parts["keys"] = type(error).__name__
        if waiting["inbox"]["oldest_seconds"] >= STUCK_SECONDS:
            parts["turns"] = "stuck"
        report = Report(all(state == "ok" for state in parts.values()), parts, self._states(), waiting)
        self._show(report)
        return report

    async def watch(self) -> None:
        """Look again and again, so that the gauges and the ages are true whenever somebody asks."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    def _states(self) -> dict[str, str]:
        """Each channel in one word: "paused" while its platform asks for a pause, "failing" while nothing of what is tried goes out."""
        self._compare()
        found = dict.fromkeys(self.channels, "ok")
        for name, pacer in self.pacers.items():
            found[name] = "paused" if pacer.paused else "failing" if name in self._failing else "ok"
        return found

    def _compare(self) -> None:
        tried: dict[str, tuple[float, float]] = {}
        for sample in next(iter(metrics.SENT.collect())).samples:
            if sample.name.endswith("_total"):
                good, bad = tried.get(sample.labels["channel"], (0.0, 0.0))
                outcome = sample.labels["outcome"].removeprefix("broadcast ")
                good, bad = (good + sample.value, bad) if outcome in ("sent", "stopped") else (good, bad + sample.value)
                tried[sample.labels["channel"]] = good, bad
        for name, (good, bad) in tried.items():
            before = self._sent.get(name, (0.0, 0.0))
            if good > before[0]:
                self._failing.discard(name)
            elif bad > before[1]:
                self._failing.add(name)
        self._sent = tried

    def _show(self, report: Report) -> None:
        for box, one in report.waiting.items():
            metrics.BACKLOG.labels(box).set(one["rows"])
            metrics.OLDEST.labels(box).set(one["oldest_seconds"])
        for name, state in report.states().items():
            metrics.UP.labels(name).set(state == "ok")
        metrics.COMMITS.set(self.store.commits)
        metrics.WRITTEN.set(self.store.written)
        if self.folder.is_dir():
            metrics.DISK.set(shutil.disk_usage(self.folder).free)
