"""What a queue of jobs promises, the same for the one of a single process and the one of several."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bot import queue
from bot.jobs import Kind
from storage import jobs as table
from storage.store import Store, connect
from tests.jobs.worker import jobs_of
from tests.postgres import fresh_database

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> str:
    """asyncio alone."""
    return "asyncio"


@pytest.fixture
def url(home: str) -> str:
    """A database with the schema and, where it is PostgreSQL, with an empty queue."""
    if not home.startswith("sqlite"):
        engine = connect(home)
        queue.bring_up(engine)
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {queue.SCHEMA}.procrastinate_jobs, {queue.SCHEMA}.procrastinate_workers CASCADE"))
        engine.dispose()
    return home


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store on it."""
    made = Store(url)
    yield made
    made.close()


class Done:
    """Notes what was done, and tells who waits."""

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self._news = asyncio.Event()

    def note(self, what: Any) -> None:
        """Something was done."""
        self.notes.append(what)
        self._news.set()

    async def until(self, enough: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until enough was done."""
        async with asyncio.timeout(seconds):
            while not enough():
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def working(store: Store, *kinds: Kind) -> AsyncIterator[Any]:
    """A queue at work."""
    jobs = jobs_of(store, list(kinds))
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()


def left(store: Store) -> int:
    """How many jobs the database still holds."""
    if store.sqlite:
        return len(list(store.read_now(table.waiting)))
    count = text(f"SELECT count(*) FROM {queue.SCHEMA}.procrastinate_jobs WHERE task_name != '{queue.RESCUE}'")
    return int(store.read_now(lambda connection: connection.execute(count).scalar_one()))


async def gone(store: Store) -> None:
    """Wait until nothing of the jobs is left."""
    async with asyncio.timeout(20):
        while left(store):
            await store.write(lambda connection: None)


async def test_a_job_is_done_once_with_its_arguments_and_leaves_nothing(store: Store) -> None:
    """Numbers and names arrive as they were given; afterwards the database knows nothing of it."""
    done = Done()

    async def work(number: int, name: str) -> None:
        done.note((number, name))

    async with working(store, Kind("work", work)) as jobs:
        await store.write(lambda connection: jobs.defer(connection, "work", number=7, name="telegram"))
        await done.until(lambda: bool(done.notes))
        await gone(store)
    assert done.notes == [(7, "telegram")]


async def test_a_job_belongs_to_its_transaction(store: Store) -> None:
    """What was rolled back is never done; what was committed beside it, in the same batch, is."""
    done = Done()

    async def work(number: int) -> None:
        done.note(number)

    async with working(store, Kind("work", work)) as jobs:

        def fails(connection: Connection) -> None:
            jobs.defer(connection, "work", number=1)
            raise ValueError

        futures = [store.submit(fails), store.submit(lambda connection: jobs.defer(connection, "work", number=2))]
        with pytest.raises(ValueError):
            await asyncio.wrap_future(futures[0])
        await done.until(lambda: bool(done.notes))
        await gone(store)
    assert done.notes == [2]


async def test_a_job_waits_for_its_time(store: Store) -> None:
    """`at` is kept, and jobs without it do not wait behind it."""
    done = Done()

    async def work(number: int) -> None:
        done.note((number, datetime.now(UTC)))

    async with working(store, Kind("work", work)) as jobs:
        at = datetime.now(UTC) + timedelta(seconds=1.0)
        await store.write(lambda connection: jobs.defer(connection, "work", at=at, number=1))
        await store.write(lambda connection: jobs.defer(connection, "work", number=2))
        await done.until(lambda: len(done.notes) == 2)
    assert [number for number, _ in done.notes] == [2, 1]
    assert done.notes[1][1] >= at - timedelta(milliseconds=5)


async def test_what_fails_is_tried_again_ever_later_and_then_given_up(store: Store) -> None:
    """A job that always fails is begun as often as its kind says; one that fails once is done; nothing of either stays."""
    done, loop = Done(), asyncio.get_running_loop()

    async def bad() -> None:
        done.note(loop.time())
        raise ValueError

    async def unlucky(number: int) -> None:
        done.note("unlucky")
        if done.notes.count("unlucky") == 1:
            raise ValueError

    async with working(store, Kind("bad", bad, tries=3, back_off=0.3), Kind("unlucky", unlucky, back_off=0.1)) as jobs:
        await store.write(lambda connection: jobs.defer(connection, "bad"))
        await store.write(lambda connection: jobs.defer(connection, "unlucky", number=1))
        await done.until(lambda: len(done.notes) == 5)
        await gone(store)
    tries = [one for one in done.notes if one != "unlucky"]
    assert done.notes.count("unlucky") == 2
    assert len(tries) == 3
    assert tries[1] - tries[0] >= 0.29 and tries[2] - tries[1] >= 0.59


async def test_jobs_of_one_lock_are_done_one_at_a_time(store: Store) -> None:
    """With a lock never two at once; without one, several."""
    done, running, most = Done(), Counter[str](), Counter[str]()

    def kind(name: str) -> Kind:
        async def work() -> None:
            running[name] += 1
            most[name] = max(most[name], running[name])
            await asyncio.sleep(0.1)
            running[name] -= 1
            done.note(name)

        return Kind(name, work)

    async with working(store, kind("locked"), kind("free")) as jobs:

        def several(connection: Connection) -> None:
            for _ in range(3):
                jobs.defer(connection, "locked", lock="one")
                jobs.defer(connection, "free")

        await store.write(several)
        await done.until(lambda: len(done.notes) == 6)
    assert most["locked"] == 1
    assert most["free"] > 1


async def test_a_periodic_job_comes_by_itself(store: Store) -> None:
    """At each multiple of its seconds, once, however it ended the time before."""
    done = Done()

    async def work() -> None:
        done.note(datetime.now(UTC).timestamp())
        if len(done.notes) == 1:
            raise ValueError

    async with working(store, Kind("work", work, tries=1, every=1)):
        await done.until(lambda: len(done.notes) >= 4)
    assert all(later - earlier > 0.5 for earlier, later in zip(done.notes[1:], done.notes[2:], strict=False))


async def test_an_end_in_order_leaves_nothing_half_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that runs is waited for; one that does not end is left for the next process, at once."""
    monkeypatch.setattr("bot.jobs.FINISH_SECONDS", 0.5)
    monkeypatch.setattr("bot.queue.FINISH_SECONDS", 0.5)
    done, begun = Done(), asyncio.Event()

    async def quick() -> None:
        await asyncio.sleep(0.2)
        done.note("quick")

    async def slow() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def finished() -> None:
        done.note("slow")

    async with working(store, Kind("quick", quick), Kind("slow", slow)) as jobs:
        await store.write(lambda connection: jobs.defer(connection, "quick"))
        await store.write(lambda connection: jobs.defer(connection, "slow"))
        await begun.wait()
    assert done.notes == ["quick"]
    async with working(store, Kind("slow", finished)):
        await done.until(lambda: len(done.notes) == 2)
        await gone(store)


async def test_what_a_killed_process_had_begun_is_done_by_another(store: Store, url: str, tmp_path: Path) -> None:
    """kill -9 with two jobs in hand: the next process does both, and each once."""
    notes, done = tmp_path / "notes", Done()
    notes.touch()
    process = subprocess.Popen([sys.executable, "-m", "tests.jobs.worker", url, notes, "defer"], cwd=ROOT)
    async with asyncio.timeout(30):
        while len(notes.read_text().splitlines()) < 2:
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert left(store) == 2

    async def long(number: int) -> None:
        done.note(number)

    async with working(store, Kind("long", long)):
        await done.until(lambda: len(done.notes) == 2)
        await gone(store)
    assert sorted(done.notes) == [1, 2]


async def test_a_job_over_which_every_process_dies_is_given_up(store: Store) -> None:
    """What was begun as often as its kind allows, and never ended, is not begun once more for ever."""
    if store.sqlite:
        begun = ["UPDATE job SET running = 1, tries = 4"]
    else:
        begun = [f"SET LOCAL search_path = {queue.SCHEMA}", "UPDATE procrastinate_jobs SET status = 'doing', attempts = 4"]
    done = Done()

    async def work() -> None:
        done.note(1)

    jobs = jobs_of(store, [Kind("work", work)])
    await store.write(lambda connection: jobs.defer(connection, "work"))
    await store.write(lambda connection: [connection.execute(text(statement)) for statement in begun] and None)
    async with working(store, Kind("work", work, tries=5)):
        await gone(store)
    assert done.notes == []


async def test_an_end_that_cannot_be_written_is_written_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a moment costs no job its end; the embedded queue's, whose rows are ours."""
    if not store.sqlite:
        return
    monkeypatch.setattr("bot.jobs.AGAIN_SECONDS", 0.05)
    done, real = Done(), table.done

    async def work() -> None:
        done.note("work")

    def full(connection: Connection, job: int) -> None:
        done.note("full")
        if done.notes.count("full") < 3:
            raise OSError
        real(connection, job)

    monkeypatch.setattr(table, "done", full)
    async with working(store, Kind("work", work)) as jobs:
        await store.write(lambda connection: jobs.defer(connection, "work"))
        await gone(store)
    assert done.notes == ["work", "full", "full", "full"]


async def test_the_queue_of_several_begins_again_after_an_outage(store: Store) -> None:
    """Connections that the database cut are made anew; what was deferred meanwhile is done."""
    if store.sqlite:
        return
    done = Done()

    async def work(number: int) -> None:
        done.note(number)

    async with working(store, Kind("work", work)) as jobs:
        await store.write(lambda connection: jobs.defer(connection, "work", number=1))
        await done.until(lambda: done.notes == [1])
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
        with store.engine.connect() as connection:
            connection.execute(text(cut))
        store.engine.dispose()
        await store.write(lambda connection: jobs.defer(connection, "work", number=2))
        await done.until(lambda: done.notes == [1, 2])


def test_the_queues_own_tables_lie_beside_ours(migrated_postgres: str) -> None:
    """They stand in a schema of their own, are made once, and say up to which version they are made."""
    engine = connect(migrated_postgres)
    queue.bring_up(engine)
    queue.bring_up(engine)
    assert queue.current(engine) == queue.latest()
    with engine.connect() as connection:
        ours = connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'procrastinate%'"))
        assert ours.scalar_one() == 0
    engine.dispose()


def test_an_older_queue_is_brought_up_to_date(postgres: str) -> None:
    """Only the migrations that came after the version found are run."""
    engine = connect(fresh_database(postgres))
    queue.bring_up(engine)
    before = "03.03.00_01_pre_priority_lock_fetch_job.sql"
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL search_path = {queue.SCHEMA}"))
        connection.execute(text("DROP FUNCTION procrastinate_retry_job_v2"))
        connection.execute(text("DELETE FROM pg_enum WHERE enumlabel = 'retried'"))
        connection.execute(text(f"COMMENT ON SCHEMA {queue.SCHEMA} IS '{before}'"))
    queue.bring_up(engine)
    assert queue.current(engine) == queue.latest()
    with engine.connect() as connection:
        there = text("SELECT count(*) FROM pg_proc WHERE proname = 'procrastinate_retry_job_v2'")
        assert connection.execute(there).scalar_one() == 1
    engine.dispose()


def test_the_queue_of_several_is_imported_only_where_it_is_used() -> None:
    """A single process, and a web replica, start without it."""
    check = "import sys, bot.main, bot.jobs, bot.serve; sys.exit('procrastinate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
