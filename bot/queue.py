"""The queue of several processes on one PostgreSQL: procrastinate, in a schema of its own beside our tables.

Jobs are enqueued on the connection of our own transaction. A worker beats; the jobs of one that has gone silent are given to another by a
periodic job. Nothing of a job stays when it is done. `docs/scale-out.md` has why procrastinate. Imported only where it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from procrastinate import App, PsycopgConnector, RetryDecision, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import DeleteJobCondition, Job, Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy
from procrastinate.schema import SchemaManager
from procrastinate.tasks import configure_task
from sqlalchemy import Connection, Engine, text

from bot.jobs import AT_ONCE, FINISH_SECONDS, Kind
from bot.logs import log, where
from storage.jobs import Argument
from storage.processes import DEAD_AFTER_SECONDS
from storage.schema import Outdated

SCHEMA = "netra_jobs"
QUEUE = "netra"
RESCUE = "rescue"
BEAT_SECONDS = 3.0
RESCUE_SECONDS = 10
AGAIN_SECONDS = 1.0
POLL_SECONDS = 5.0
"""So late at most begins a job that had to wait for its time."""

SEE_SCHEMA = text(
    f"SELECT set_config('search_path', path || ', {SCHEMA}', true) FROM current_setting('search_path') AS path "  # noqa: S608 - a constant
    f"WHERE path NOT LIKE '%{SCHEMA}'"
)


class Failed(Exception):
    """A job failed; the log has said how, without its words."""


class DistributedJobs:
    """The queue that all workers of an installation share."""

    def __init__(
        self,
        engine: Engine,
        kinds: Sequence[Kind],
        clock: Callable[[], datetime],
        *,
        beat: float = BEAT_SECONDS,
        dead_after: float = DEAD_AFTER_SECONDS,
        rescue_every: int = RESCUE_SECONDS,
        poll: float = POLL_SECONDS,
    ) -> None:
        self.engine, self.clock, self.dead_after = engine, clock, dead_after
        self.kinds = {kind.name: kind for kind in kinds}
        self._ours = JobManager(SyncPsycopgConnector())  # never opened: it works on the connections that we hand it
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.app = App(
            connector=PsycopgConnector(conninfo=url, kwargs={"options": f"-c search_path={SCHEMA}"}, min_size=1, max_size=AT_ONCE + 1),
            worker_defaults={
                "queues": [QUEUE],
                "concurrency": AT_ONCE + 1,  # the rescue has a place of its own
                "install_signal_handlers": False,
                "shutdown_graceful_timeout": FINISH_SECONDS,
                "delete_jobs": DeleteJobCondition.ALWAYS.value,
                "update_heartbeat_interval": beat,
                "stalled_worker_timeout": dead_after,
                "fetch_job_polling_interval": poll,
            },
        )
        self._register(Kind(RESCUE, self._rescue, tries=1, every=rescue_every))
        for kind in kinds:
            self._register(kind)
        self._working: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def defer(self, connection: Connection, name: str, /, *, at: datetime | None = None, lock: str = "", **arguments: Argument) -> None:
        """As `Jobs` says."""
        connection.execute(SEE_SCHEMA)
        # The queue goes by the true time, `at` by ours, which in a test stands still.
        due = None if at is None else datetime.now(UTC) + (at - self.clock())
        configure_task(
            name=name,
            job_manager=self._ours,
            queue=QUEUE,
            lock=lock or None,
            schedule_at=due,
            connection=connection.connection.driver_connection,
        ).defer(**arguments)

    async def start(self) -> None:
        """As `Jobs` says. Raises `Outdated` when the queue's tables are not there."""
        if await asyncio.to_thread(current, self.engine) != latest():
            raise Outdated("The queue of jobs needs an update: run `netra migrate`.")
        await self.app.open_async()
        self._working = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """As `Jobs` says."""
        self._stopping.set()
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
            await self.app.close_async()

    async def _work(self) -> None:
        """Work, and begin again when the database was away."""
        while not self._stopping.is_set():
            try:
                await self.app.run_worker_async()
            except ConnectorException as error:
                log.error("the queue of jobs is away", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._stopping.wait()

    def _register(self, kind: Kind) -> None:
        async def run(**arguments: Any) -> None:
            arguments.pop("timestamp", None)  # which a periodic job is given
            try:
                await kind.work(**arguments)
            except Exception as error:  # noqa: BLE001 - whatever it is, its words stay out of the library's logs
                log.error("job failed", job=kind.name, error=type(error).__name__, where=where(error))
                raise Failed from None

        task: Any = self.app.task(name=kind.name, queue=QUEUE, retry=_Tries(kind))(run)
        if kind.every:
            lock = None if kind.name == RESCUE else kind.name  # a dead worker may have died over the rescue itself
            self.app.periodic(cron=cron(kind.every), lock=lock, queueing_lock=f"periodic {kind.name}")(task)

    async def _rescue(self) -> None:
        """Give the jobs of dead workers to the living; one that was begun often enough is given up."""
        for job in await self.app.job_manager.get_stalled_jobs(seconds_since_heartbeat=self.dead_after):
            kind = self.kinds.get(job.task_name)
            with contextlib.suppress(ConnectorException):  # another process was faster
                if kind is None or kind.wait(job.attempts + 1) is None:
                    log.error("job given up", job=job.task_name)
                    await self.app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
                else:
                    log.warning("job of a dead worker begun again", job=job.task_name)
                    await self.app.job_manager.retry_job(job)
        await self.app.job_manager.prune_stalled_workers(self.dead_after)


class _Tries(BaseRetryStrategy):
    """When a job of a kind is tried again."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """The moment of the next try; None: no more."""
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        wait = self.kind.wait(job.attempts + 1)
        return None if wait is None else RetryDecision(retry_at=datetime.fromtimestamp(datetime.now(UTC).timestamp() + wait, UTC))


def cron(every: int) -> str:
    """The multiples of so many seconds in the words of cron, with a sixth place for seconds."""
    if every < 60:
        return f"* * * * * */{every}"
    if every < 3600:
        return f"*/{every // 60} * * * *"
    return f"0 */{every // 3600} * * *" if every < 86_400 else "0 0 * * *"


# --- the schema of the queue ------------------------------------------------------------------------------------------------------


def latest() -> str:
    """The name of the library's newest migration."""
    return str(max(file.name for file in _migrations().iterdir() if file.name.endswith(".sql")))


def current(engine: Engine) -> str:
    """The migration up to which the database has the queue's tables; empty when it has none."""
    with engine.connect() as connection:
        return _current(connection)


def bring_up(engine: Engine) -> None:
    """Create the queue's tables, or bring them up to the library's version, in a schema that no table of ours is in."""
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        found = _current(connection)
        if found == latest():
            return
        if not found:
            driver.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        driver.execute(f"SET LOCAL search_path = {SCHEMA}")
        if not found:
            driver.execute(SchemaManager.get_schema())
        else:
            for file in sorted(_migrations().iterdir(), key=lambda file: file.name):
                if file.name.endswith(".sql") and file.name > found:
                    driver.execute(file.read_text("utf-8"))
        driver.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{latest()}'")


def _current(connection: Connection) -> str:
    comment = text("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = :name")
    return str(connection.execute(comment, {"name": SCHEMA}).scalar() or "")


def _migrations() -> Any:
    return resources.files("procrastinate.sql") / "migrations"
