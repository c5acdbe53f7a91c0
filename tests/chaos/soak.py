"""Hours of a program's life in minutes: each hour has its crowd, its weather and its clock."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.updates import LINES
from bot.running import tidy
from tests.chaos.world import World, held

KEPT_ALIVE_SECONDS = 25.0
"""aiohttp keeps an idle connection for 15 seconds."""
JUMPS = ({"hours": 1}, {"hours": 5}, {"hours": -3}, {"hours": 1}, {"days": 2}, {"hours": -1})
"""How the clock goes: an hour at a time, but now and then somebody sets it, or the machine sleeps over an epoch."""


@dataclass(slots=True)
class Found:
    """What came of it."""

    acknowledged: int = 0
    turns: int = 0
    repeated: int = 0
    refused: int = 0
    unheard: int = 0
    waiting: tuple[int, int] = (0, 0)
    fates: Counter[str] = field(default_factory=Counter)
    grown_mib: float = 0.0
    files_grown: int = 0


async def files_left(before: int) -> int:
    """How many more files are open than before, once the connections that are only kept in case of another message have ended."""
    deadline = time.monotonic() + KEPT_ALIVE_SECONDS
    while (more := held()[1] - before) > 0 and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return more


async def soak(folder: Path, *, hours: int, chats: int, seed: int, url: str = "", told: Callable[[str], None] = lambda line: None) -> Found:
    """So many hours of the test clock, each with so many new people in bad weather, and one of them in good weather at its end."""
    found = Found()
    world = World(folder, url, seed)
    async with world.life():
        base: tuple[float, int] | None = None
        for hour in range(hours):
            world.inward.bad = world.outward.bad = True
            begun = await world.turns()
            await world.crowd(chats)
            await world.settled()
            found.turns += await world.turns() - begun
            found.waiting = await world.waiting()
            world.inward.bad = world.outward.bad = False
            known = world.chats
            acknowledged, world.acknowledged = world.acknowledged, 0
            await world.crowd(1, LINES[:1])
            await world.settled()
            found.unheard += world.heard[known + 1] == 0
            world.acknowledged = acknowledged
            world.clock.jump(**JUMPS[hour % len(JUMPS)])
            await asyncio.to_thread(tidy, world.netra)
            size, files = held()
            base = base or (size, files)
            found.grown_mib = size - base[0]
            told(f"hour {hour + 1}: {world.acknowledged} acknowledged, {world.repeated} repeated, {size:.0f} MiB, {files} files")
        assert base is not None
        found.files_grown = await files_left(base[1])
        found.acknowledged, found.repeated, found.refused = world.acknowledged, world.repeated, world.refused
        found.fates = world.inward.fates + world.outward.fates
    return found
