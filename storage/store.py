"""The store: one writer thread, many units of work in one commit.

Every job runs in a savepoint of its own, and all jobs that wait share one durable commit (group commit). A job that raises takes
nothing else with it. Nothing is reported as done before its commit. The same code serves SQLite and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

T = TypeVar("T")

BATCH = 256
"""At most this many jobs share a commit: about 50 ms of work, so that one chat never waits long for others."""

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


@dataclass(slots=True)
class _Job:
    run: Callable[[Connection], Any]
    done: Future[Any]
    tries: int = 0


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
        if self._closed:
            raise RuntimeError("the store is closed")
        done: Future[T] = Future()
        self._jobs.put(_Job(job, done))
        return done

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Run a job in a transaction and return its result once it is durable."""
        return await asyncio.wrap_future(self.submit(job))

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
        while True:
            job = self._jobs.get()
            batch: list[_Job] = []
            while job is not None:
                if self._begun(job):
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

    @staticmethod
    def _begun(job: _Job) -> bool:
        """Whether the caller still wants the job; from here on it can no longer be taken back."""
        return job.done.running() or job.done.set_running_or_notify_cancel()

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
        results: list[tuple[_Job, Any]] = []
        failures: list[tuple[_Job, BaseException]] = []
        again: list[_Job] = []
        try:
            with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
                for job in batch:
                    savepoint = connection.begin_nested()
                    try:
                        result = job.run(connection)
                        savepoint.commit()
                    except Retry as error:
                        savepoint.rollback()
                        job.tries += 1
                        if job.tries > RETRIES:
                            failures.append((job, error))
                        else:
                            again.append(job)
                    except OperationalError:
                        raise
                    except BaseException as error:  # noqa: BLE001 - the caller gets it, the others go on
                        savepoint.rollback()
                        failures.append((job, error))
                    else:
                        results.append((job, result))
            self.commits += 1
            self.written += len(results)
        except Exception as error:  # noqa: BLE001 - whatever it is, the writer lives on and the callers are told
            self._separately(batch, error)
            return
        for job, failure in failures:
            job.done.set_exception(failure)
        for job, result in results:
            job.done.set_result(result)
        for job in again:
            time.sleep(0.002)
            self._jobs.put(job)

    def _separately(self, batch: list[_Job], error: Exception) -> None:
        """A batch that could not be committed is tried one by one, so that a single bad job fails alone."""
        if len(batch) == 1:
            job = batch[0]
            job.tries += 1
            if isinstance(error, OperationalError) and job.tries <= 3:
                time.sleep(0.05 * job.tries)
                self._run([job])
            else:
                job.done.set_exception(error)
            return
        for job in batch:
            self._run([job])


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
