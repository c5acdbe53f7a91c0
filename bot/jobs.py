"""Coarse work for later: tidying up, a page of a broadcast. Turns are no jobs; `docs/scale-out.md` has why.

A job is deferred in the transaction that wants it, so it exists exactly when that is committed. It is done at least once: who dies over it
is followed by another, so its work bears repetition. One that fails is tried again, ever more rarely, then given up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from bot.logs import log, where
from storage import jobs as table
from storage.jobs import Argument, Begun
from storage.store import Store

AT_ONCE = 3
"""So many jobs does one process do at a time."""
LOOK_SECONDS = 60.0
"""So often a process looks for what is due although nobody woke it, because the clock may have been set."""
FINISH_SECONDS = 10.0
AGAIN_SECONDS = 5.0
"""Between two tries to write down that a job has ended."""
LONGEST_BACK_OFF_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What is done under a name, how often it is tried, and, with `every`, at which multiples of so many seconds it is done by itself.

    `every` divides a minute, an hour or a day.
    """

    name: str
    work: Callable[..., Awaitable[None]]
    tries: int = 5
    back_off: float = 5.0
    every: int = 0

    def wait(self, tries: int) -> float | None:
        """Seconds until the next try after so many; None: it is given up."""
        if tries >= self.tries:
            return None
        return min(LONGEST_BACK_OFF_SECONDS, self.back_off * 2.0 ** (tries - 1))


class Jobs(Protocol):
    """A queue of jobs: `EmbeddedJobs` for one process, `bot.queue.DistributedJobs` for several on PostgreSQL."""

    def defer(self, connection: Connection, name: str, /, *, at: datetime | None = None, lock: str = "", **arguments: Argument) -> None:
        """Have a job done once this transaction is committed, not before `at`; jobs of one lock are done one at a time."""

    async def start(self) -> None:
        """Do what is due, and what an earlier process left undone."""

    async def stop(self) -> None:
        """Begin nothing more; what runs gets a moment to finish, else it is done again later."""


class EmbeddedJobs:
    """The queue of one process alone, over the `job` table of its own store."""

    def __init__(self, store: Store, kinds: Sequence[Kind], clock: Callable[[], datetime]) -> None:
        self.store, self.kinds, self.clock = store, {kind.name: kind for kind in kinds}, clock
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def defer(self, connection: Connection, name: str, /, *, at: datetime | None = None, lock: str = "", **arguments: Argument) -> None:
        """As `Jobs` says."""
        table.add(connection, name, arguments, due=(at or self.clock()).timestamp(), lock=lock)
        if self._loop is not None:
            # What the writer is given now ends after the commit of the transaction that it is in.
            self.store.submit(lambda connection: None).add_done_callback(lambda _: self._wake())

    async def start(self) -> None:
        """As `Jobs` says."""
        self._loop = asyncio.get_running_loop()
        if again := await self.store.write(table.take_up):
            log.warning("jobs begun again", number=again)
        due = {kind.name: self._next(kind) for kind in self.kinds.values() if kind.every}
        await self.store.write(lambda connection: table.keep_periodic(connection, due))
        self._watch = self._loop.create_task(self._watching())

    async def stop(self) -> None:
        """As `Jobs` says."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._loop = None
        if self._running:
            await asyncio.wait(self._running, timeout=FINISH_SECONDS)
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    def _now(self) -> float:
        return self.clock().timestamp()

    def _next(self, kind: Kind) -> float:
        return (self._now() // kind.every + 1) * kind.every

    async def _watching(self) -> None:
        while True:
            self._woken.clear()
            seconds = LOOK_SECONDS
            try:
                if len(self._running) < AT_ONCE and (due := await self.store.read(table.next_due)) is not None:
                    seconds = min(seconds, due - self._now())
                    if seconds <= 0:
                        await self._begin()
                        seconds = LOOK_SECONDS if len(self._running) == AT_ONCE else 1.0  # a lock may keep what is due
            except Exception as error:  # noqa: BLE001 - a full disk, for one; looked at again
                log.error("jobs not looked at", error=type(error).__name__, where=where(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0.0)):  # `wait_for` would lose a cancellation that comes with the wake-up
                    await self._woken.wait()

    async def _begin(self) -> None:
        now, free = self._now(), AT_ONCE - len(self._running)
        for job in await self.store.write(lambda connection: table.begin(connection, now, self.kinds.keys(), free)):
            task = asyncio.get_running_loop().create_task(self._do(job))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()

    async def _do(self, job: Begun) -> None:
        kind = self.kinds[job.name]
        wait: float | None = None
        if job.tries and kind.wait(job.tries) is None:
            log.error("job given up", job=job.name)
            await self._end(kind, job, None)
            return
        try:
            await kind.work(**job.arguments)
        except asyncio.CancelledError:
            await self.store.write(lambda connection: table.later(connection, job.id, self._now(), tries=job.tries))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            wait = kind.wait(job.tries + 1)
            log.error("job failed", job=job.name, tries=job.tries + 1, again=wait, error=type(error).__name__, where=where(error))
        await self._end(kind, job, wait)

    async def _end(self, kind: Kind, job: Begun, wait: float | None) -> None:
        """Write down that a job has ended, however long it takes: one that counts as running for ever would never come again."""
        while True:
            try:
                return await self.store.write(lambda connection: self._close(connection, kind, job, wait))
            except Exception as error:  # noqa: BLE001 - a full disk, for one
                log.error("end of a job not kept", job=job.name, error=type(error).__name__, where=where(error))
                await asyncio.sleep(AGAIN_SECONDS)

    def _close(self, connection: Connection, kind: Kind, job: Begun, wait: float | None) -> None:
        if wait is not None:
            table.later(connection, job.id, self._now() + wait, tries=job.tries + 1)
        elif job.periodic:
            table.later(connection, job.id, self._next(kind), tries=0)
        else:
            table.done(connection, job.id)
