"""What the program does by jobs: it tidies up when it starts, every hour, and when a draft key's time is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import running
from bot.broadcast import PAGE_JOB
from bot.jobs import EmbeddedJobs
from bot.main import Netra
from storage.models import Job
from storage.vault import EpochKeys
from tests.platforms.test_whole import started

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """asyncio alone."""
    return "asyncio"


async def test_it_tidies_up_when_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once at the start; then the job of every hour waits for the next full hour."""
    tidied, real = asyncio.Event(), running.tidy
    loop = asyncio.get_running_loop()

    def tidy(netra: Netra) -> dict[str, int]:
        loop.call_soon_threadsafe(tidied.set)
        return real(netra)

    monkeypatch.setattr(running, "tidy", tidy)
    async with started(tmp_path) as (netra, _):
        await asyncio.wait_for(tidied.wait(), 20)
        hourly = select(Job.name, Job.due).where(Job.periodic.is_(True))
        with netra.store.engine.connect() as connection:
            found = connection.execute(hourly).all()
        assert [(row.name, row.due - netra.settings.clock().timestamp()) for row in found] == [(running.TIDY, 3600)]


async def test_it_tidies_up_when_a_draft_keys_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that ends before the next hour does not wait for it."""
    monkeypatch.setattr(EpochKeys, "left", lambda self: 600.0)
    async with started(tmp_path) as (netra, _):
        jobs = running.jobs_of(netra)
        assert isinstance(jobs, EmbeddedJobs)
        assert jobs.kinds.keys() == {running.TIDY, PAGE_JOB}
        await jobs.kinds[running.TIDY].work()
        soon = select(Job.due).where(Job.name == running.TIDY, Job.periodic.is_(False), Job.running.is_(False))
        with netra.store.engine.connect() as connection:
            found = connection.execute(soon).scalars().all()
        assert netra.settings.clock().timestamp() + 601 in found
