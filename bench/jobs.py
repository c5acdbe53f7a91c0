"""What the queues of jobs cost: `python -m bench.jobs [--jobs 300]` (goal G15).

Jobs that do nothing, deferred one by one and done to the last: processor time of this process and, for PostgreSQL, of its server, per job
and per recipient of a broadcast, whose pages hold 1,000 each. One process on SQLite sends broadcasts without jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from bench.updates import spent, spent_by_postgres
from bot.jobs import EmbeddedJobs, Jobs, Kind
from bot.queue import DistributedJobs
from bot.queue import bring_up as bring_up_queue
from storage.pages import SIZE
from storage.store import Store
from tests.postgres import bring_up, fresh_database, server


async def drained(store: Store, url: str, number: int) -> str:
    """Defer so many jobs, have them done, and say what it took."""
    left, done = number, asyncio.Event()

    async def nothing(page: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    kinds = [Kind("nothing", nothing)]
    jobs: Jobs = (
        EmbeddedJobs(store, kinds, lambda: datetime.now(UTC))
        if store.sqlite
        else DistributedJobs(store.engine, kinds, lambda: datetime.now(UTC))
    )
    await jobs.start()
    ours, theirs, begun = spent(os.getpid()), 0.0 if store.sqlite else spent_by_postgres(url), time.perf_counter()

    def defer(connection: Connection, page: int) -> None:
        jobs.defer(connection, "nothing", page=page)

    for page in range(number):
        await store.write(partial(defer, page=page))
    await done.wait()
    took = time.perf_counter() - begun
    await jobs.stop()
    used = spent(os.getpid()) - ours
    of_server = 0.0 if store.sqlite else spent_by_postgres(url) - theirs
    each = 1e6 * (used + of_server) / number
    name = "embedded, SQLite" if store.sqlite else "procrastinate, PostgreSQL"
    return (
        f"{name:26} {number / took:6.0f} jobs/s  CPU a job {1e6 * used / number:6.0f} us + server {1e6 * of_server / number:6.0f} us  "
        f"a recipient {each / SIZE:5.2f} us"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=300)
    given = parser.parse_args()
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with tempfile.TemporaryDirectory() as folder, server() as address:
        for url in (f"sqlite:///{Path(folder) / 'netra.db'}", fresh_database(address)):
            bring_up(url)
            store = Store(url)
            if not store.sqlite:
                bring_up_queue(store.engine)
            print(asyncio.run(drained(store, url, given.jobs)), flush=True)
            store.close()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
