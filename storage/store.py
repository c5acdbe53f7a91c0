"""The store: one writer thread, many units of work in one commit.

All jobs that wait share one durable commit (group commit), each in a savepoint of its own. Joint jobs of one kind go further: they share
their statements, so that a hundred messages cost the database hardly more than one. A job that raises takes nothing else with it.
Nothing is reported as done before its commit. The same code serves SQLite and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, LargeBinary, NestedTransaction, Transaction, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

T = TypeVar("T")
Item = TypeVar("Item")

Joint = Callable[[Connection, list[Item]], Sequence[T | BaseException]]
"""Does the same for many items and says for each what came of it; an exception in an item's place means that nothing was written for it."""

BATCH = 256
"""At most this many jobs share a commit: about 50 ms of work, so that one chat never waits long for others."""

BUSY, GATHER_SECONDS = 8, 0.003
"""After a batch of so many jobs the next one waits so long for company: a commit and a statement cost the same for one as for many."""

READERS = 2
BUSY_WAIT_MS = 10_000
"""How long a connection waits for another process's lock."""
SCRUB_WAIT_MS = 200
"""How long the writer waits for readers before it puts off emptying the write-ahead log."""


class Retry(Exception):
    """A job asks to be run again in the next batch, because another process changed its row first."""


RETRIES = 20


class AlreadyRunning(Exception):
    """Another process already works on this data folder."""


class Part:
    """One item's own part of a joint job: what it writes can be undone without the others'. Its savepoint is made when it first writes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._savepoint: NestedTransaction | None = None

    def writing(self) -> Connection:
        """The connection, ready to be written through."""
        if self._savepoint is None:
            self._savepoint = self._connection.begin_nested()
        return self._connection

    def keep(self) -> None:
        """What was written stays."""
        if self._savepoint is not None:
            self._savepoint.commit()

    def undo(self) -> None:
        """Nothing of it was written."""
        if self._savepoint is not None:
            self._savepoint.rollback()


@dataclass(slots=True)
class _Job:
    run: Callable[..., Any]
    done: Future[Any] | asyncio.Future[Any]
    item: Any = None
    joint: bool = False
    tries: int = 0

    def begun(self) -> bool:
        """Whether the caller still wants the job; from here on a thread that waits for it can no longer take it back."""
        if isinstance(self.done, asyncio.Future):
            return not self.done.cancelled()
        return self.done.running() or self.done.set_running_or_notify_cancel()


@dataclass(slots=True)
class _Ended:
    """What came of the jobs of a batch."""

    results: list[tuple[_Job, Any]] = field(default_factory=list)
    failures: list[tuple[_Job, BaseException]] = field(default_factory=list)
    again: list[_Job] = field(default_factory=list)

    def note(self, job: _Job, result: Any) -> None:
        """A job's result, or the exception in its place."""
        if isinstance(result, Retry) and job.tries < RETRIES:
            job.tries += 1
            self.again.append(job)
        elif isinstance(result, BaseException):
            self.failures.append((job, result))
        else:
            self.results.append((job, result))

    def tell(self) -> None:
        """Tell everyone who waits; each event loop is woken once."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for job, result in (*self.failures, *self.results):
            if isinstance(job.done, asyncio.Future):
                loops.setdefault(job.done.get_loop(), []).append((job.done, result))
            else:
                _settle([(job.done, result)])
        for loop, settled in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[Future[Any] | asyncio.Future[Any], Any]]) -> None:
    for done, result in settled:
        if done.cancelled():
            continue
        if isinstance(result, BaseException):
            done.set_exception(result)
        else:
            done.set_result(result)


class Store:
    """The database: `write` and `read` run a function with a connection, off the event loop."""

    def __init__(self, url: str, *, lock_folder: Path | None = None) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self._lock = _claim(lock_folder) if lock_folder is not None else None
        self.engine = connect(url)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._scrub = self._vacuum = self._closed = False
        self.commits = 0
        self.written = 0
        self._writer.start()

    # --- for callers -------------------------------------------------------------------------------------------------

    def submit(self, job: Callable[[Connection], T]) -> Future[T]:
        """Queue a job for the writer thread; its future ends after the commit that made it durable.

        A job whose future was cancelled before its batch began is not run.
        """
        done: Future[T] = Future()
        self._put(_Job(job, done))
        return done

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Run a job in a transaction and return its result once it is durable."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Job(job, done))
        return await done

    async def write_joint(self, job: Joint[Item, T], item: Item) -> T:
        """Have an item done by a joint job, together with all others that wait for it; its result, once it is durable."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Job(job, done, item, joint=True))
        return await done

    def _put(self, job: _Job) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")
        self._jobs.put(job)

    def write_now(self, job: Callable[[Connection], T]) -> T:
        """The same for callers without an event loop."""
        return self.submit(job).result()

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Run a job that only reads, beside the writer."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, job)

    def read_now(self, job: Callable[[Connection], T]) -> T:
        """The same for callers without an event loop."""
        with self.engine.connect() as connection:
            return job(connection)

    def scrub(self) -> None:
        """Have the writer remove, after its next batch, what deleted rows left in SQLite's write-ahead log."""
        self._scrub = self.sqlite
        self.submit(lambda connection: None)

    def vacuum(self) -> None:
        """Have the writer rewrite the database, after its next batch, without what deleted rows left in it."""
        self._vacuum = True
        self.submit(lambda connection: None)

    def close(self) -> None:
        """Finish the queued jobs and close everything."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._readers.shutdown()
        if self.sqlite:
            self._checkpoint()
        self.engine.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- the writer thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        batch: list[_Job] = []
        while True:
            job = self._jobs.get()
            if len(batch) >= BUSY and job is not None:
                time.sleep(GATHER_SECONDS)
            batch = []
            while job is not None:
                if job.begun():
                    batch.append(job)
                if len(batch) == BATCH:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._run(batch)
            if self._vacuum:
                self._vacuum = False
                self._rewrite()
            if self._scrub:
                self._scrub = not self._checkpoint()
            if job is None:
                if self._jobs.empty():
                    return
                self._jobs.put(None)  # jobs that asked for another try come first

    def _checkpoint(self) -> bool:
        """Empty the write-ahead log; False when a reader was in the way, so that it is tried again after the next batch."""
        with self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            try:
                driver.execute(f"PRAGMA busy_timeout={SCRUB_WAIT_MS}")
                return bool(driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
            except sqlite3.Error:
                return False
            finally:
                driver.execute(f"PRAGMA busy_timeout={BUSY_WAIT_MS}")

    def _rewrite(self) -> None:
        if self.sqlite:
            with contextlib.suppress(sqlite3.Error), self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("VACUUM")
            self._scrub = True
        else:
            with contextlib.suppress(DBAPIError), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM FULL")

    def _run(self, batch: list[_Job]) -> None:
        ended = _Ended()
        try:
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin() as transaction:
                if len(batch) == 1:
                    self._together(connection, batch, ended, transaction)
                else:
                    for unit in _units(batch):
                        self._together(connection, unit, ended, connection.begin_nested())
            self.commits += 1
            self.written += len(ended.results)
        except Exception as error:  # noqa: BLE001 - whatever it is, the writer lives on and the callers are told
            self._separately(batch, error)
            return
        ended.tell()
        for job in ended.again:
            time.sleep(0.002)
            self._jobs.put(job)

    def _together(self, connection: Connection, unit: list[_Job], ended: _Ended, scope: Transaction) -> None:
        """Run one job, or all of one joint kind, within a scope that can be undone; joint jobs that fail together are tried one by one."""
        first = unit[0]
        try:
            found = list(first.run(connection, [job.item for job in unit])) if first.joint else [first.run(connection)]
        except OperationalError:
            raise
        except BaseException as error:  # noqa: BLE001 - the caller gets it, the others go on
            scope.rollback()
            if len(unit) == 1:
                ended.note(first, error)
                return
            for job in unit:
                self._together(connection, [job], ended, connection.begin_nested())
            return
        if isinstance(scope, NestedTransaction):
            scope.commit()
        for job, result in zip(unit, found, strict=True):
            ended.note(job, result)

    def _separately(self, batch: list[_Job], error: Exception) -> None:
        """A batch that could not be committed is tried one by one, so that a single bad job fails alone."""
        if len(batch) == 1:
            job = batch[0]
            job.tries += 1
            if isinstance(error, OperationalError) and job.tries <= 3:
                time.sleep(0.05 * job.tries)
                self._run([job])
            else:
                _Ended(failures=[(job, error)]).tell()
            return
        for job in batch:
            self._run([job])


class _AsItIs(LargeBinary):
    """Bytes that pass to and from the driver as they are: both drivers take them, and wrapping each value shows in every turn."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Nothing to do."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Nothing to do."""


def _units(batch: list[_Job]) -> list[list[_Job]]:
    """The jobs of a batch as they are run: each alone, joint ones of one kind together, in the order of the first."""
    units: list[list[_Job]] = []
    joint: dict[Callable[..., Any], list[_Job]] = {}
    for job in batch:
        if job.joint and job.run in joint:
            joint[job.run].append(job)
            continue
        units.append([job])
        if job.joint:
            joint[job.run] = units[-1]
    return units


def connect(url: str) -> Engine:
    """An engine with the pragmas and settings that the secrecy of the contents needs.

    `hide_parameters` keeps bound values out of errors; SQLite overwrites what it deletes (`secure_delete`) and syncs each commit.
    """
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        if path and path != ":memory:" and not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_engine(url, hide_parameters=True, echo=False)
    engine.dialect.colspecs = {**engine.dialect.colspecs, LargeBinary: _AsItIs}
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # SQLAlchemy's own BEGIN below, so that savepoints work
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "secure_delete=ON",
                "foreign_keys=ON",
                "trusted_schema=OFF",
                "mmap_size=0",
                "temp_store=MEMORY",
                f"busy_timeout={BUSY_WAIT_MS}",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A writer takes its lock first: a snapshot that another process has overtaken could never be written on.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine


def _claim(folder: Path) -> int:
    """Hold the data folder for this process alone; the lock goes with the process, however it ends."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise AlreadyRunning("Netra is already running on this data folder. Stop it first, or choose another NETRA_DATA_DIR.") from error
    return handle


def alive(connection: Connection) -> bool:
    """One statement that proves the database answers."""
    return connection.execute(text("SELECT 1")).scalar() == 1


def pages(rows: Iterable[T], size: int) -> Iterable[list[T]]:
    """The rows in lists of at most `size`."""
    page: list[T] = []
    for row in rows:
        page.append(row)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
