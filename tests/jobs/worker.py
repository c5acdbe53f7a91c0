"""A process that does jobs until it is killed: `python -m tests.jobs.worker URL NOTES [defer]`. It notes each beginning and end."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from bot.jobs import EmbeddedJobs, Jobs, Kind
from storage.store import Store


def jobs_of(store: Store, kinds: list[Kind]) -> Jobs:
    """The queue that fits the database, quick enough for a test."""
    if store.sqlite:
        return EmbeddedJobs(store, kinds, lambda: datetime.now(UTC))
    from bot.queue import DistributedJobs

    return DistributedJobs(store.engine, kinds, lambda: datetime.now(UTC), beat=0.3, dead_after=1.5, rescue_every=1, poll=0.2)


async def main(url: str, notes: Path, defer: bool) -> None:
    """Work for ever: a long job ends by itself only in a process that was not told to defer."""
    store = Store(url)

    def note(word: str) -> None:
        with notes.open("a") as file:
            file.write(f"{word}\n")

    async def long(number: int) -> None:
        note(f"begun {number}")
        if defer:
            await asyncio.Event().wait()
        note(f"done {number}")

    jobs = jobs_of(store, [Kind("long", long)])
    await jobs.start()
    if defer:
        for number in (1, 2):
            await store.write(lambda connection, number=number: jobs.defer(connection, "long", number=number))  # type: ignore[misc]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), "defer" in sys.argv[3:]))
