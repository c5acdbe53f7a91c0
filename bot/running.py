"""The program, started: pages, panel, workers, jobs; and what is tidied up while it runs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib import import_module

from aiohttp import web
from sqlalchemy import Connection

from bot import metrics
from bot import web as public
from bot.broadcast import PAGE_JOB
from bot.budget import SharedBudget
from bot.changes import Changes
from bot.handouts import Handouts
from bot.jobs import EmbeddedJobs, Jobs, Kind
from bot.logs import log, where
from bot.main import Netra
from bot.messages import Address
from bot.replica import Replica
from faq.entries import Phrasing
from faq.regions import name_of
from faq.versions import load_versions
from storage import phrasings
from storage.broadcasts import SYSTEM
from storage.erasures import ErasureNotes
from storage.practice import UNKNOWN, pledge_figures, quiz_figures
from storage.processes import Processes
from storage.retention import Retention
from storage.statistics import Cell

HOURLY_SECONDS = 3600
TIDY = "tidy"
VACUUM_AT = (6, 3)
"""Sunday, in the hour from three in the morning."""


def replica_of(netra: Netra, *, may_lead: bool, leads: Callable[[], Awaitable[None]]) -> Replica:
    """This process among the others that work on its database."""
    name = netra.conversations.owner

    async def taken() -> None:
        await netra.worker.take_up()
        await netra.sender.start()

    return Replica(netra.store, Processes(name, may_lead) if name else None, taken=taken, leads=leads, dethroned=netra.stopping.set)


@asynccontextmanager
async def running(netra: Netra, *, panel: bool = True, pages: bool = True) -> AsyncIterator[tuple[str, str]]:
    """The program, started; yields the addresses of the public page and of the panel, empty for what does not run here.

    Only the process that leads polls Telegram and lays broadcasts out; jobs are done by each that has the panel, which alone may lead
    where there are others.
    """
    runners: list[web.AppRunner] = []
    app = public.application(
        netra.channels.values(),
        netra.pages,
        netra.texts,
        links=[],
        ready=netra.health.look,
        statistics=lambda chosen: statistics(netra, chosen),
        more=Handouts(netra.papers, netra.faq.entries, netra.texts, netra.pages, public.page_words(netra.texts)).routes(),
        notices=lambda: netra.store.read(netra.cases.notices),
    )
    loop = asyncio.get_running_loop()

    def wake_after_commit(address: Address) -> None:
        committed = netra.store.submit(lambda connection: None)  # jobs commit in order: this one ends after the one that calls it
        committed.add_done_callback(lambda _: loop.call_soon_threadsafe(netra.sender.wake, address))

    if netra.cases.push is not None:
        netra.cases.push.queued = wake_after_commit
    background = [loop.create_task(netra.health.watch())]
    receive = netra.warm_up.before(netra.worker.receive)
    polled = {"telegram"} if netra.settings.telegram_mode == "polling" else set()

    jobs = jobs_of(netra) if panel or netra.store.sqlite else None
    budget = None if netra.store.sqlite else budget_of(netra)

    async def lead() -> None:
        await netra.broadcaster.start()
        if jobs is not None:
            await netra.store.write(lambda connection: jobs.defer(connection, TIDY, lock=TIDY))
        for name in polled & netra.channels.keys():
            await netra.channels[name].start(receive)
        background.append(loop.create_task(finish_erasures(netra)))

    netra.faq.teach(Phrasing(one.entry, one.words) for one in await netra.store.read(phrasings.accepted))
    replica = replica_of(netra, may_lead=panel, leads=lead)
    await replica.enter()
    await netra.worker.start()
    if budget is not None:
        await budget.start()
    await netra.sender.start()
    if jobs is not None:
        await jobs.start()
    if pages:
        for name in netra.channels.keys() - polled:
            await netra.channels[name].start(receive)
    await replica.start()
    doors = AsyncExitStack()
    try:
        public_url = await listen(app, netra.settings.host, netra.settings.port, runners) if pages else ""
        if not panel and netra.settings.metrics_port:
            await listen(metrics_application(), netra.settings.panel_host, netra.settings.metrics_port, runners)
        panel_url = await doors.enter_async_context(panel_door(netra)) if panel else ""
        yield public_url, panel_url
    finally:
        for task in background:
            task.cancel()
        for runner in runners:
            await runner.cleanup()
        await doors.aclose()
        await netra.worker.stop()
        await asyncio.gather(*([jobs.stop()] if jobs else ()), netra.broadcaster.stop())  # no job begins once its work is told to end
        await netra.sender.stop()
        if budget is not None:
            await budget.stop()
        for channel in netra.channels.values():
            await channel.stop()
        await asyncio.gather(*background, return_exceptions=True)
        await replica.stop()


def in_use(host: str, port: int) -> str:
    """What the operator reads when a port cannot be taken."""
    return f"Port {port} on {host} is in use or not allowed: stop the other program or choose another port."


async def listen(app: web.Application, host: str, port: int, runners: list[web.AppRunner]) -> str:
    """Serve an application; no access log is kept. The address that was bound."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    runners.append(runner)
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise RuntimeError(in_use(host, port)) from error
    bound = runner.addresses[0]
    return f"http://{bound[0]}:{bound[1]}"


@asynccontextmanager
async def panel_door(netra: Netra) -> AsyncIterator[str]:
    """Take the panel's connections, and make its pages with the first of them: an idle server needs none. Yields the address."""
    host, port, loop = netra.settings.panel_host, netra.settings.panel_port, asyncio.get_running_loop()
    try:
        door = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    except OSError as error:
        raise RuntimeError(in_use(host, port)) from error
    door.setblocking(False)
    opening: list[asyncio.Task[None]] = []
    runners: list[web.AppRunner] = []

    async def open_up() -> None:
        try:
            await asyncio.to_thread(import_module, "panel")
            runner = web.AppRunner(panel_application(netra), access_log=None)
            await runner.setup()
            runners.append(runner)
            await web.SockSite(runner, door).start()
        except Exception as error:  # noqa: BLE001 - the public part goes on; the operator reads this line
            log.error("the panel cannot be opened", error=type(error).__name__, where=where(error))
            door.close()

    def knock() -> None:
        loop.remove_reader(door)
        opening.append(loop.create_task(open_up()))

    loop.add_reader(door, knock)
    try:
        yield f"http://{host}:{door.getsockname()[1]}"
    finally:
        if not opening:
            loop.remove_reader(door)
        await asyncio.gather(*opening)
        for runner in runners:
            await runner.cleanup()
        door.close()


def metrics_application() -> web.Application:
    """The counters alone, for a web replica."""

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes([web.get("/metrics", figures)])
    return app


def panel_application(netra: Netra) -> web.Application:
    """The staff's pages."""
    from panel import Panel
    from panel import application as panel_pages

    return panel_pages(
        Panel(
            store=netra.store,
            cases=netra.cases,
            staff=netra.accounts,
            audit=netra.audits,
            faq=netra.faq,
            calendar=netra.faq.calendar,
            clock=netra.settings.clock,
            practice=netra.settings.env != "production",
            public_url=netra.settings.public_url,
            metrics=metrics.render,
            desk=netra.desk,
            url=netra.settings.panel_url,
            receivers=netra.accounts.receivers,
        )
    )


async def statistics(netra: Netra, chosen: str) -> list[public.Table]:
    """The public counts, small numbers hidden."""
    texts = netra.texts
    figures = await netra.store.read(netra.statistics.public)
    quizzes = await netra.store.read(quiz_figures)
    pledges = await netra.store.read(pledge_figures)

    def rows(cells: Sequence[Cell], name: Callable[[str], str]) -> list[tuple[str, str]]:
        hidden = texts.plain(chosen, "web.hidden")
        return [(name(cell.name), hidden if cell.number is None else str(cell.number)) for cell in cells]

    def label(prefix: str) -> Callable[[str], str]:
        return lambda value: texts.plain(chosen, f"{prefix}.{value}").partition(" | ")[0] if texts.has(f"{prefix}.{value}") else value

    def place(code: str) -> str:
        return texts.plain(chosen, "web.not_told") if code in ("", UNKNOWN) else name_of(code)

    def role(value: str) -> str:
        return texts.plain(chosen, "web.not_told") if value == UNKNOWN else label("options")(value)

    def heading(name: str) -> str:
        return texts.plain(chosen, f"web.{name}")

    total = Cell(texts.plain(chosen, "web.all_tips"), figures.total)
    first = texts.plain(chosen, "web.by_outcome")
    return [
        public.Table(texts.plain(chosen, "web.tips"), first, rows((total, *figures.by_outcome), label("web.outcomes"))),
        public.Table(texts.plain(chosen, "web.by_indicator"), first, rows(figures.by_indicator, label("tip.options.indicator"))),
        public.Table(texts.plain(chosen, "web.by_province"), first, rows(figures.by_province, lambda code: name_of(code) if code else "-")),
        public.Table(heading("quizzes"), heading("role"), rows((Cell(heading("all_quizzes"), quizzes.finished), *quizzes.by_role), role)),
        public.Table(heading("quizzes"), heading("province"), rows(quizzes.by_province, place)),
        public.Table(heading("pledges"), heading("role"), rows((Cell(heading("all_pledges"), pledges.agreed), *pledges.by_role), role)),
        public.Table(heading("pledges"), heading("province"), rows(pledges.by_province, place)),
    ]


async def finish_erasures(netra: Netra) -> None:
    """What Twilio was still to delete when this program or another process ended is deleted, at the start and every hour."""
    channel = netra.channels.get("whatsapp")
    if channel is not None:
        from bot.channels.whatsapp import WhatsApp

        assert isinstance(channel, WhatsApp)
        while True:
            for message, media in await netra.store.read(ErasureNotes(netra.epochs).all):
                await channel.delete_soon(message, media)
            await asyncio.sleep(HOURLY_SECONDS)


def jobs_of(netra: Netra) -> Jobs:
    """The coarse work that is done for later: in this process alone, or shared by all workers on PostgreSQL."""

    async def housekeeping() -> None:
        await asyncio.to_thread(tidy, netra)
        now, left = netra.settings.clock(), netra.epochs.left() + 1
        if (now.weekday(), now.hour) == VACUUM_AT:
            netra.store.vacuum()
        if left < HOURLY_SECONDS:
            at = now + timedelta(seconds=left)
            await netra.store.write(lambda connection: jobs.defer(connection, TIDY, at=at, lock=TIDY))

    kinds = [Kind(TIDY, housekeeping, every=HOURLY_SECONDS), Kind(PAGE_JOB, netra.broadcaster.walk_page)]
    jobs: Jobs
    if netra.store.sqlite:
        jobs = EmbeddedJobs(netra.store, kinds, netra.settings.clock)
    else:
        from bot.queue import DistributedJobs

        jobs = DistributedJobs(netra.store.engine, kinds, netra.settings.clock)
        netra.broadcaster.share(jobs, Processes(netra.conversations.owner, may_lead=True).workers)
    return jobs


def budget_of(netra: Netra) -> SharedBudget:
    """The pace that all processes keep together; messages that are paid for have one of their own."""
    pacers = dict(netra.sender.pacers)
    pacers |= {f"{name} paid": pacer for name, pacer in netra.broadcaster.pacers.items() if pacer is not pacers.get(name)}
    return SharedBudget(netra.store.engine, pacers)


def prepare_reminders(netra: Netra) -> list[int]:
    """Draft a reminder for every answer that changed and has none yet, and move what hangs on a day of the vote that changed (blocking);
    their numbers.
    """
    faq, desk = netra.faq, netra.desk

    def prepare(connection: Connection) -> list[int]:
        changes = Changes(faq.entries, load_versions(), faq.election, netra.texts, desk.broadcasts)
        done = {"answers changed": changes.prepare(connection), "vote moved": changes.move(connection)}
        for why, numbers in done.items():
            for number in numbers:
                netra.audits.add(connection, SYSTEM, "broadcast_saved", str(number), why)
        return [number for numbers in done.values() for number in numbers]

    return netra.store.write_now(prepare)


def tidy(netra: Netra) -> dict[str, int]:
    """Remove what is past its time (blocking); how much of what was removed."""
    netra.epochs.current()
    netra.store.write_now(lambda connection: netra.desk.subscribers.forget_days(connection, netra.settings.clock().date()))
    netra.store.write_now(netra.desk.broadcasts.prune)
    prepare_reminders(netra)
    retention = Retention(netra.cases, netra.statistics, netra.conversations, netra.audits, netra.settings.clock)
    removed = retention.run(netra.store)
    for what, number in removed.items():
        metrics.REMOVED.labels(what).inc(number)
    metrics.TIDIED.set(int(time.time()))
    return removed
