"""The store: group commit, jobs that fail alone, one program per data folder, pragmas, deletion that deletes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from storage.store import RETRIES, AlreadyRunning, Joint, Part, Retry, Store, alive, pages

T = TypeVar("T")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store with one small table."""
    opened = Store(url)
    opened.write_now(lambda connection: connection.execute(text("CREATE TABLE word (id INTEGER PRIMARY KEY, said TEXT UNIQUE)")))
    yield opened
    opened.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """The same on SQLite alone."""
    opened = Store(f"sqlite:///{tmp_path / 'netra.db'}")
    opened.write_now(lambda connection: connection.execute(text("CREATE TABLE word (id INTEGER PRIMARY KEY, said TEXT UNIQUE)")))
    yield opened
    opened.close()


def say(number: int, word: str = "") -> Callable[[Connection], int]:
    """A job that writes one row."""

    def job(connection: Connection) -> int:
        connection.execute(text("INSERT INTO word VALUES (:id, :said)"), {"id": number, "said": word or f"word {number}"})
        return number

    return job


def numbers(store: Store) -> list[int]:
    """The rows that are there."""
    return store.read_now(lambda connection: list(connection.execute(text("SELECT id FROM word ORDER BY id")).scalars()))


class Gate:
    """Holds the writer in a job, so that others gather behind it."""

    def __init__(self, store: Store) -> None:
        self.entered, self._open = threading.Event(), threading.Event()
        self.job = store.submit(self._wait)
        assert self.entered.wait(10)

    def _wait(self, _: Connection) -> None:
        self.entered.set()
        assert self._open.wait(10)

    def open(self) -> None:
        """Let the writer go on."""
        self._open.set()


# --- group commit ---------------------------------------------------------------------------------------------------------------------


def test_jobs_that_wait_share_a_commit(store: Store) -> None:
    """A hundred jobs that wait become one durable commit, in the order in which they were submitted."""
    before, order = store.commits, list[int]()
    gate = Gate(store)

    def noted(number: int) -> Callable[[Connection], int]:
        def job(connection: Connection) -> int:
            order.append(number)
            return say(number)(connection)

        return job

    waiting = [store.submit(noted(number)) for number in range(100)]
    gate.open()
    assert [job.result(10) for job in waiting] == list(range(100)) == order
    assert store.commits - before == 2
    assert numbers(store) == list(range(100))


def test_a_bad_job_takes_nothing_with_it(store: Store) -> None:
    """What raises is undone alone; its caller gets the error, the others their results."""
    gate = Gate(store)

    def half(connection: Connection) -> None:
        say(50)(connection)
        raise ValueError("on purpose")

    jobs: list[Future[Any]] = [store.submit(say(1)), store.submit(half), store.submit(say(1)), store.submit(say(2))]
    gate.open()
    assert jobs[0].result(10) == 1 and jobs[3].result(10) == 2
    with pytest.raises(ValueError, match="on purpose"):
        jobs[1].result(10)
    with pytest.raises(IntegrityError):
        jobs[2].result(10)
    assert numbers(store) == [1, 2]


def gathered(store: Store, job: Joint[int, T], items: Sequence[int], other: Callable[[Connection], Any] | None = None) -> list[Any]:
    """What comes of a joint job's items that wait together, behind another job if one is given."""

    async def wait() -> list[Any]:
        gate = Gate(store)
        tasks = [asyncio.ensure_future(store.write_joint(job, item)) for item in items]
        if other is not None:
            tasks.insert(1, asyncio.ensure_future(store.write(other)))
        await asyncio.sleep(0)
        gate.open()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(wait())


class Together:
    """A joint job that writes its items in one statement and notes how it was called."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, connection: Connection, items: list[int]) -> list[int | BaseException]:
        self.calls.append(list(items))
        connection.execute(text("INSERT INTO word VALUES (:id, NULL)"), [{"id": item} for item in items])
        return [ValueError("on purpose") if item < 0 else 2 * item for item in items]


def test_joint_jobs_share_their_statements(store: Store) -> None:
    """All that wait are one call, wherever they stand among other jobs; each gets its own result."""
    together = Together()
    first, other, second, bad = gathered(store, together, [1, 2, -3], say(50))
    assert (first, other, second) == (2, 50, 4) and isinstance(bad, ValueError)
    assert together.calls == [[1, 2, -3]]


def test_joint_jobs_that_fail_together_are_tried_one_by_one(store: Store) -> None:
    """One item that the database refuses costs the others nothing."""
    store.write_now(say(2))
    together = Together()
    one, two, three = gathered(store, together, [1, 2, 3])
    assert (one, three) == (2, 6) and isinstance(two, IntegrityError)
    assert together.calls == [[1, 2, 3], [1], [2], [3]]
    assert numbers(store) == [1, 2, 3]


def test_a_joint_job_alone_in_its_batch_fails_whole(store: Store) -> None:
    """Without others no savepoint is made: the transaction itself is undone."""

    def half(connection: Connection, items: list[int]) -> list[int]:
        say(items[0])(connection)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        asyncio.run(store.write_joint(half, 1))
    assert numbers(store) == []


def test_an_item_may_ask_for_another_try(store: Store) -> None:
    """`Retry` in an item's place runs that item again, and no other."""
    calls: list[list[int]] = []

    def busy(connection: Connection, items: list[int]) -> list[int | BaseException]:
        calls.append(list(items))
        return [Retry() if item == 2 and len(calls) == 1 else item for item in items]

    assert gathered(store, busy, [1, 2, 3]) == [1, 2, 3]
    assert calls == [[1, 2, 3], [2]]


def test_a_part_is_undone_without_the_others(store: Store) -> None:
    """What one item wrote goes, what the others wrote stays; a part that wrote nothing costs nothing."""

    def job(connection: Connection, items: list[int]) -> list[None]:
        for item in items:
            part = Part(connection)
            if item != 4:
                say(item)(part.writing())
            if item == 2:
                part.undo()
            else:
                part.keep()
        return [None] * len(items)

    assert gathered(store, job, [1, 2, 3, 4]) == [None] * 4
    assert numbers(store) == [1, 3]


def test_callers_on_a_loop_are_woken_after_the_commit(store: Store) -> None:
    """`write` and `write_joint` give results and errors to their loop; one whose caller went away harms nobody."""
    together = Together()

    async def many() -> list[Any]:
        gone = asyncio.ensure_future(store.write(say(7)))
        found = await asyncio.gather(
            *(store.write_joint(together, item) for item in (1, 2)), store.write(say(1)), store.write(say(5)), return_exceptions=True
        )
        gone.cancel()
        return found

    found = asyncio.run(many())
    assert found[:2] == [2, 4] and isinstance(found[2], IntegrityError) and found[3] == 5
    assert numbers(store) == [1, 2, 5, 7]


def test_nothing_is_reported_before_it_is_durable(store: Store) -> None:
    """While a batch is not committed none of its jobs is done, and no reader sees its rows."""
    seen: list[tuple[bool, list[int]]] = []
    first: list[Future[int]] = []
    gate = Gate(store)
    first.append(store.submit(say(1)))
    last = store.submit(lambda connection: seen.append((first[0].done(), numbers(store))))
    gate.open()
    last.result(10)
    assert seen == [(False, [])]
    assert first[0].done() and numbers(store) == [1]


def test_a_failed_commit_is_tried_job_by_job(lite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the shared commit fails, each job is tried alone: the bad one fails, the good ones stand."""
    monkeypatch.setattr("storage.store.time.sleep", lambda seconds: None)
    gate = Gate(lite)

    def full(connection: Connection) -> None:
        raise OperationalError("INSERT", None, Exception("database or disk is full"))

    jobs: list[Future[Any]] = [lite.submit(say(1)), lite.submit(full), lite.submit(say(2))]
    gate.open()
    assert (jobs[0].result(10), jobs[2].result(10)) == (1, 2)
    with pytest.raises(OperationalError):
        jobs[1].result(10)
    assert numbers(lite) == [1, 2] and lite.write_now(say(3)) == 3


def test_a_full_disk_is_an_error_and_then_over(lite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room fails the job; when there is room again the next job stands."""
    monkeypatch.setattr("storage.store.time.sleep", lambda seconds: None)

    def limit(connection: Connection, pages_at_most: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages_at_most}")

    def fill(connection: Connection) -> None:
        limit(connection, 5)
        connection.execute(text("INSERT INTO word VALUES (1, :said)"), {"said": "x" * 100_000})

    with pytest.raises(OperationalError, match="full"):
        lite.write_now(fill)
    lite.write_now(lambda connection: limit(connection, 1_000_000))
    assert lite.write_now(say(2)) == 2


def test_a_job_that_asks_again_is_run_again(store: Store) -> None:
    """`Retry` undoes the try and runs the job in a later batch, not for ever."""
    tries: list[int] = []

    def third_time(connection: Connection) -> str:
        say(7)(connection)
        tries.append(1)
        if len(tries) < 3:
            raise Retry
        return "done"

    assert store.write_now(third_time) == "done" and len(tries) == 3 and numbers(store) == [7]

    def never(_: Connection) -> None:
        tries.append(1)
        raise Retry

    tries.clear()
    with pytest.raises(Retry):
        store.write_now(never)
    assert len(tries) == RETRIES + 1


def test_a_job_that_was_taken_back_is_not_run(store: Store) -> None:
    """A caller that no longer waits cancels its job, and the writer lives on."""
    gate = Gate(store)
    job = store.submit(say(1))
    assert job.cancel()
    gate.open()
    assert store.write_now(say(2)) == 2 and numbers(store) == [2]


def test_a_caller_that_goes_away_does_not_stop_the_writer(store: Store) -> None:
    """A task that is cancelled while its job runs loses its result, nobody else's."""

    async def leave() -> None:
        gate = Gate(store)
        waiting = asyncio.ensure_future(asyncio.wrap_future(gate.job))
        await asyncio.sleep(0)
        waiting.cancel()
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await store.write(say(3)) == 3

    asyncio.run(leave())
    assert store.write_now(say(4)) == 4


def test_the_writer_survives_any_error(store: Store) -> None:
    """Not even an exit in a job ends the writer."""

    def leave(_: Connection) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        store.write_now(leave)
    assert store.write_now(say(1)) == 1


def test_closing_finishes_what_was_queued(url: str) -> None:
    """Jobs that wait at the close are done, also those that ask again; later ones are refused at once."""
    store = Store(url)
    store.write_now(lambda connection: connection.execute(text("CREATE TABLE word (id INTEGER PRIMARY KEY, said TEXT)")))
    gate, tries = Gate(store), list[int]()

    def twice(connection: Connection) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise Retry
        return say(9)(connection)

    jobs = [store.submit(twice), *(store.submit(say(number)) for number in range(5))]
    closing = threading.Thread(target=store.close)
    closing.start()
    gate.open()
    closing.join(10)
    assert [job.result(10) for job in jobs] == [9, 0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="closed"):
        store.submit(say(10))


def test_async_callers_read_and_write(store: Store) -> None:
    """The loop is free while the database works."""

    async def both() -> list[Any]:
        written = await asyncio.gather(*(store.write(say(number)) for number in range(20)))
        assert list(written) == list(range(20))
        return [
            await store.read(alive),
            await store.read(lambda connection: connection.execute(text("SELECT count(*) FROM word")).scalar()),
        ]

    assert asyncio.run(both()) == [True, 20]


def test_pages() -> None:
    """Rows come in lists of the size that was asked for, the rest in a last one."""
    assert list(pages(range(5), 2)) == [[0, 1], [2, 3], [4]] and list(pages([], 2)) == []


# --- one program per data folder ----------------------------------------------------------------------------------------------------------


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """One sentence, no damage; once the first is closed the folder is free."""
    url = f"sqlite:///{tmp_path / 'netra.db'}"
    first = Store(url, lock_folder=tmp_path)
    with pytest.raises(AlreadyRunning, match="already running on this data folder"):
        Store(url, lock_folder=tmp_path)
    first.close()
    Store(url, lock_folder=tmp_path).close()


def test_two_processes_write_to_one_database(lite: Store) -> None:
    """A command beside the running program waits for the lock instead of failing."""
    script = (
        "import sys; from storage.store import Store; from sqlalchemy import text; store = Store(sys.argv[1])\n"
        "for n in range(1000, 1100): store.write_now(lambda c: c.execute(text('INSERT INTO word VALUES (:n, :n)'), {'n': n}))\n"
        "store.close()"
    )
    other = subprocess.Popen([sys.executable, "-c", script, lite.url], cwd=Path(__file__).parents[1])
    for number in range(100):
        lite.write_now(read_then_say(number))
    assert other.wait(60) == 0
    assert numbers(lite) == [*range(100), *range(1000, 1100)]


def read_then_say(number: int) -> Callable[[Connection], int]:
    """A job that reads before it writes, so that it holds a snapshot."""

    def job(connection: Connection) -> int:
        numbers_in(connection)
        return say(number)(connection)

    return job


def numbers_in(connection: Connection) -> list[int]:
    """A read before a write, in the same transaction."""
    return list(connection.execute(text("SELECT id FROM word")).scalars())


# --- pragmas, and what is deleted is gone -----------------------------------------------------------------------------------------


def test_every_connection_has_the_pragmas(lite: Store) -> None:
    """Whichever connection of the pool is used: what is deleted is overwritten, every commit is synced."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "trusted_schema": 0, "mmap_size": 0}
    wanted |= {"temp_store": 2, "busy_timeout": 10_000}
    lite.scrub()
    lite.write_now(alive)
    connections = [lite.engine.connect() for _ in range(4)]
    for connection in connections:
        assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted} == wanted
    for connection in connections:
        connection.close()
    assert lite.write_now(lambda connection: connection.exec_driver_sql("PRAGMA secure_delete").scalar()) == 1


def test_the_database_is_for_its_owner_alone(lite: Store) -> None:
    """The file and its write-ahead log are 0600."""
    lite.write_now(say(1))
    folder = Path(lite.url.removeprefix("sqlite:///")).parent
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.glob("netra.db*")} == {
        "netra.db": "0o600",
        "netra.db-wal": "0o600",
        "netra.db-shm": "0o600",
    }


def test_errors_do_not_show_values(store: Store) -> None:
    """A constraint that fails names the statement, never what somebody wrote."""
    store.write_now(say(1, "RAHASIA-62812"))
    with pytest.raises(IntegrityError) as caught:
        store.write_now(lambda connection: say(2, "RAHASIA-62812")(connection))
    assert "hide_parameters" in str(caught.value)
    if store.sqlite:
        assert "RAHASIA" not in str(caught.value)


def count_of(store: Store, word: bytes) -> int:
    """How often a word stands in the files of the database."""
    folder = Path(store.url.removeprefix("sqlite:///")).parent
    return sum(path.read_bytes().count(word) for path in folder.glob("netra.db*"))


def test_scrubbing_leaves_nothing_of_deleted_rows(lite: Store) -> None:
    """After a deletion and a scrub no byte of the row is in the file or in its write-ahead log."""
    lite.write_now(say(1, "PENANDA-HAPUS " * 300))
    assert count_of(lite, b"PENANDA-HAPUS") > 0
    lite.write_now(lambda connection: connection.execute(text("DELETE FROM word")))
    lite.scrub()
    lite.write_now(alive)
    lite.write_now(alive)
    assert count_of(lite, b"PENANDA-HAPUS") == 0


def test_a_reader_in_the_way_puts_the_scrub_off(lite: Store) -> None:
    """A long read does not hold up the writer for long, and the scrub is done as soon as it has ended."""
    lite.write_now(say(1, "PENANDA-HAPUS " * 300))
    reader = lite.engine.connect()
    numbers_in(reader)
    lite.write_now(lambda connection: connection.execute(text("DELETE FROM word")))
    lite.scrub()
    lite.write_now(alive)
    assert count_of(lite, b"PENANDA-HAPUS") > 0
    reader.close()
    lite.write_now(alive)
    lite.write_now(alive)
    assert count_of(lite, b"PENANDA-HAPUS") == 0


def test_vacuum_gives_the_room_back(store: Store) -> None:
    """After a vacuum the database is small again and whole."""
    for number in range(50):
        store.write_now(say(number, f"{number}" * 4000))
    store.write_now(lambda connection: connection.execute(text("DELETE FROM word WHERE id > 0")))
    store.vacuum()
    store.write_now(alive)
    store.write_now(alive)
    assert numbers(store) == [0]
    if store.sqlite:
        assert Path(store.url.removeprefix("sqlite:///")).stat().st_size < 50_000
