"""The send budget of several processes: leases from the shared row, and pauses made known to all at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from bot.logs import log
from bot.pacer import Pacer
from storage.budget import CHANNEL, Leased, clock, draw, pause

AGAIN_SECONDS = 1.0
DRIFT = 1e-4
"""By so much a second may our clock and the database's come apart."""
COMPARED = 10
"""So many times at the start; the quickest answer counts."""
JUMP_SECONDS = 1.0
"""A clock that is off by more was set."""


class SharedBudget:
    """Gives the pacers of this process rows that all processes share, by the names of their senders."""

    def __init__(self, engine: Engine, pacers: Mapping[str, Pacer]) -> None:
        self.engine, self.pacers = engine, dict(pacers)
        # A thread of its own: behind the writer's batches a lease would come too late, and would keep the row locked for the others.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="send-budget")
        self._listening: asyncio.Task[None] | None = None
        self._offset, self._measured = float("inf"), time.monotonic()
        for sender, pacer in self.pacers.items():
            pacer.share(_SenderRow(self, sender))

    async def start(self) -> None:
        """Compare the clocks, and listen for pauses that other processes were told. The database may still be away."""
        with contextlib.suppress(DBAPIError):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._compare)
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening; what was leased and not used is lost."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        self._thread.shutdown(wait=False)

    async def draw(self, sender: str, span: float, owed: float, late: float) -> tuple[float, float]:
        """Lease slots of a sender; begin and end by this process's clock."""
        leased = await asyncio.get_running_loop().run_in_executor(self._thread, self._draw, sender, span, owed, late)
        offset = self._measure(leased.now)
        return leased.begin + offset, leased.end + offset

    async def pause(self, sender: str, seconds: float) -> None:
        """Pause a sender in every process."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._pause, sender, seconds)

    def _compare(self) -> None:
        with self.engine.connect() as connection:
            for _ in range(COMPARED):
                self._measure(clock(connection))

    def _draw(self, sender: str, span: float, owed: float, late: float) -> Leased:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return draw(connection, sender, span, owed, late)

    def _pause(self, sender: str, seconds: float) -> None:
        with self.engine.begin() as connection:
            pause(connection, sender, seconds)

    def _measure(self, theirs: float) -> float:
        """What our clock shows more than the database's. The smallest difference is the truest: the answer's way only adds to it."""
        now = time.monotonic()
        found = now - theirs
        expected = self._offset + DRIFT * (now - self._measured)
        self._offset = found if found < expected or found > expected + JUMP_SECONDS else expected
        self._measured = now
        return self._offset

    async def _listen(self) -> None:
        from psycopg import AsyncConnection, OperationalError

        where = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await AsyncConnection.connect(where, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for notice in connection.notifies():
                        seconds, _, sender = notice.payload.partition(" ")
                        if sender in self.pacers:
                            self.pacers[sender].hold(float(seconds))
            except OperationalError as error:
                log.error("pauses of other processes not heard", error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)


class _SenderRow:
    """The row of one sender."""

    def __init__(self, budget: SharedBudget, sender: str) -> None:
        self._budget, self._sender = budget, sender

    async def draw(self, seconds: float, owed: float, late: float) -> tuple[float, float]:
        return await self._budget.draw(self._sender, seconds, owed, late)

    async def pause(self, seconds: float) -> None:
        await self._budget.pause(self._sender, seconds)
