"""Bad weather: whatever breaks, what was acknowledged is answered once, and nothing grows.

The short form; `python -m tests.chaos --hours 48` runs the first test for as long as is wished.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bench.updates import LINES
from bot import metrics
from tests import postgres
from tests.chaos.soak import soak
from tests.chaos.world import World


def test_hours_of_bad_weather(tmp_path: Path) -> None:
    """Connections cut, hung and half-delivered, the clock set to and fro, one epoch after the other: all is answered once."""
    found = asyncio.run(soak(tmp_path, hours=3, chats=12, seed=1))
    assert found.acknowledged == found.turns == 3 * 12 * len(LINES), found
    assert found.repeated > 0 and all(found.fates[fate] for fate in ("cut", "hung", "half")), "there was no bad weather"
    assert found.waiting == (0, 0)
    assert found.unheard == 0, "everybody who writes in good weather has an answer"
    assert found.files_grown <= 5 and found.grown_mib <= 32, found


class Disk:
    """Room for the database, or none: SQLite then adds no page to its file."""

    def __init__(self, engine: Engine) -> None:
        self.full = False
        event.listen(engine, "checkout", self._limit)

    def _limit(self, connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={1 if self.full else 1 << 30}")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """What cannot be kept is not acknowledged, so that the platform delivers it again when there is room."""

    async def story() -> None:
        world = World(tmp_path, "", seed=2)
        world.inward.bad = world.outward.bad = False
        async with world.life():
            disk = Disk(world.netra.store.engine)
            await world.crowd(3)
            await world.settled()
            disk.full = True
            people = asyncio.create_task(world.crowd(12))
            while not world.refused and not people.done():
                await asyncio.sleep(0.02)
            assert world.refused, "the disk was never full"
            disk.full = False
            await people
            await world.settled()
            assert await world.turns() == world.acknowledged == 15 * len(LINES)
            assert await world.waiting() == (0, 0)

    asyncio.run(story())


def apologies() -> int:
    """How many turns failed, of which the person was told."""
    return int(metrics.REGISTRY.get_sample_value("netra_turns_total", {"channel": "telegram", "flow": "", "outcome": "failed"}) or 0)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_a_database_that_goes_and_comes_back(tmp_path: Path, sign: signal.Signals) -> None:
    """In the middle of a crowd: what was acknowledged had its turn, was told of a fault, or still waits; new people are answered."""
    folder = postgres.made()
    server = postgres.start(folder)

    async def story() -> None:
        nonlocal server
        world, before = World(tmp_path, postgres.fresh_database(postgres.address(folder)), seed=3), apologies()
        world.inward.bad = world.outward.bad = False
        async with world.life():
            people = asyncio.create_task(world.crowd(12))
            while world.acknowledged < 40:
                await asyncio.sleep(0.01)
            server.send_signal(sign)
            await asyncio.to_thread(server.wait, 30)
            assert not (await world.netra.health.look()).serves
            server = await asyncio.to_thread(postgres.start, folder)
            await people
            assert world.acknowledged == 12 * len(LINES)
            await world.settled()
            assert (await world.turns(), apologies() - before, await world.waiting()) == (12 * len(LINES), 0, (0, 0))
            await world.crowd(3)
            while any(not world.heard[chat] for chat in (13, 14, 15)):
                await asyncio.sleep(0.05)
            assert (await world.netra.health.look()).serves

    try:
        asyncio.run(story())
    finally:
        postgres.end(server)
        shutil.rmtree(folder)
