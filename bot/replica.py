"""This process among the others: it beats, takes over what the dead have left, and knows whether it leads. `docs/scale-out.md` has why."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from bot.logs import log
from storage.processes import BEAT_SECONDS, DEAD_AFTER_SECONDS, Processes
from storage.store import Store


class Replica:
    """Beats while it runs. Alone (`processes` is None) it leads from the start and there is nobody to take over from."""

    def __init__(
        self,
        store: Store,
        processes: Processes | None,
        *,
        taken: Callable[[], Awaitable[None]],
        leads: Callable[[], Awaitable[None]],
        dethroned: Callable[[], None],
    ) -> None:
        self.store, self.processes = store, processes
        self.taken, self.leads, self.dethroned = taken, leads, dethroned
        self.leading = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._beaten = self._calm_from = float("-inf")

    async def enter(self) -> None:
        """Be counted among the living, before anything is received."""
        if self.processes is not None:
            await self.store.write(self.processes.beat)
            self._beaten = time.monotonic()

    async def start(self) -> None:
        """Begin to beat, to take over and to lead."""
        if self.processes is None:
            await self._lead()
        else:
            await self.tick(self.processes)
            self._task = asyncio.get_running_loop().create_task(self._beating(self.processes))

    async def stop(self) -> None:
        """Leave; the others take what is left at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.processes is not None:
            with contextlib.suppress(Exception):
                await self.store.write(self.processes.leave)

    async def tick(self, processes: Processes) -> None:
        """One beat, and what follows from it."""
        beat = await self.store.write(processes.beat)
        now = time.monotonic()
        if now - self._beaten > DEAD_AFTER_SECONDS / 2:
            # The database was away for everybody: the others get the time to beat again before they count as dead.
            self._calm_from = now + DEAD_AFTER_SECONDS
        self._beaten = now
        if now >= self._calm_from:
            inbox, outbox = await self.store.write(processes.take_over)
            if inbox or outbox:
                log.warning("took over from a process that ended", inbox=inbox, outbox=outbox)
        await self.taken()
        if beat.leads and not self.leading.is_set():
            await self._lead()
        elif self.leading.is_set() and not beat.leads:
            log.error("this process was silent for too long, another leads now; it ends so that it is started afresh")
            self.dethroned()

    async def _lead(self) -> None:
        self.leading.set()
        await self.leads()

    async def _beating(self, processes: Processes) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.tick(processes)
            except Exception as error:  # noqa: BLE001 - the database may be away for a while
                log.error("no heartbeat", error=type(error).__name__)
