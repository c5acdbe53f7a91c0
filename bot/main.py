"""The wiring, top to bottom: settings, store, keys, texts, flows, channels, panel. Only this file knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib import import_module
from typing import TypeVar

from aiohttp import web
from sqlalchemy import Connection

from bot import metrics
from bot import web as public
from bot.broadcast import PAGE_JOB, Broadcaster
from bot.budget import SharedBudget
from bot.changes import Changes
from bot.channels import Channel
from bot.channels.limits import LIMITS
from bot.channels.web_chat import WebChat
from bot.documents import Documents
from bot.downloads import Downloads
from bot.handouts import Handouts, Papers
from bot.health import Health
from bot.imports import without
from bot.jobs import EmbeddedJobs, Jobs, Kind
from bot.logs import log, where
from bot.messages import Address, Answer, Button, Inbound, Outbound
from bot.outbox import Sender
from bot.pacer import PAID_TELEGRAM_RATE, Pacer
from bot.quotas import Quotas
from bot.reads import Reads
from bot.receipts import CodeSessions, LastGroups
from bot.replica import Replica
from bot.settings import Settings
from bot.templates import Pages
from bot.texts import Texts
from bot.turn import Conductor, Flow, Talk
from bot.work import TooMany, Worker
from faq.entries import Phrasing
from faq.identity import find_identity
from faq.match import Faq
from faq.pledge import load_pledges
from faq.regions import find, known, name_of
from faq.scenarios import load_scenarios
from faq.versions import load_versions
from handlers.broadcast import KeepBroadcast, broadcast
from handlers.follow_up import KeepFollowUp, KeepQuiet, follow_up, keep_saved_code, quiet, saved_code
from handlers.menu import menu
from handlers.pledge import KeepPaper, KeepPledge, pledge, pledge_paper
from handlers.privacy import erase, keep_erase, language, privacy, set_language
from handlers.quiz import KeepCertificate, KeepQuiz, quiz, quiz_result
from handlers.self_check import KeepFeedback, aside, self_check
from handlers.subscribe import STOP_WORDS, KeepStop, KeepSubscription, stop, subscribe
from handlers.tip import KeepTip, tip
from storage import phrasings
from storage.age import public_of
from storage.audit import AuditLog
from storage.broadcasts import SYSTEM, Broadcasts
from storage.cases import Cases
from storage.conversations import Conversations
from storage.counts import Counts
from storage.erasures import ErasureNotes
from storage.evidence import Cleaner
from storage.originals import Waiting
from storage.practice import UNKNOWN, Certificates, Practice, pledge_figures, quiz_figures
from storage.processes import Processes, new_name
from storage.push import Push
from storage.receivers import ReceiverList
from storage.retention import Retention
from storage.schema import up_to_date
from storage.staff import Accounts
from storage.staff_chats import Desk, StaffChats
from storage.statistics import Cell, Statistics
from storage.store import Store
from storage.subscribers import CHANNELS, Subscribers
from storage.vault import EpochKeys, Keys, Receipts

HOURLY_SECONDS = 3600
TIDY = "tidy"
T = TypeVar("T")
VACUUM_AT = (6, 3)
"""Sunday, in the hour from three in the morning."""


class WarmUp:
    """What conversations read from files, loaded with the first message: an idle server needs none of it.

    It is loaded beside the first turn, in a thread: a person's first message is hardly ever the question that needs it.
    """

    def __init__(self, faq: Faq, receipts: Receipts) -> None:
        self._faq, self._receipts = faq, receipts
        self._done: asyncio.Future[None] | None = None

    def before(self, take: Callable[[Inbound], Awaitable[T]]) -> Callable[[Inbound], Awaitable[T]]:
        """The same, but the first message starts the loading."""

        def first(inbound: Inbound) -> Awaitable[T]:
            if self._done is None:
                self._receipts.expected = True
                self._done = asyncio.ensure_future(asyncio.to_thread(self._load))
            return take(inbound)

        return first

    def _load(self) -> None:
        try:
            self._faq.warm()
            known()
        except Exception as error:  # noqa: BLE001 - the turn that needs it fails with a text of ours; the operator reads this line
            log.error("the answers cannot be read", error=type(error).__name__, where=where(error))


@dataclass(slots=True)
class Netra:
    """Everything that runs, put together once."""

    settings: Settings
    store: Store
    keys: Keys
    epochs: EpochKeys
    conversations: Conversations
    cases: Cases
    accounts: Accounts
    audits: AuditLog
    counts: Counts
    statistics: Statistics
    faq: Faq
    texts: Texts
    conductor: Conductor
    sessions: CodeSessions
    receipts: Receipts
    cleaner: Cleaner
    channels: dict[str, Channel]
    sender: Sender
    worker: Worker
    web_chat: WebChat
    desk: Desk
    broadcaster: Broadcaster
    papers: Papers
    pages: Pages
    warm_up: WarmUp
    health: Health
    fresh_run_folder: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def talks(
    faq: Faq,
    cases: Cases,
    counts: Counts,
    receipts: Receipts,
    sessions: CodeSessions,
    last_groups: LastGroups,
    *,
    quotas: Quotas,
    originals: Waiting,
    push: Push,
    signing_key: bytes,
    desk: Desk,
    papers: Papers,
) -> dict[str, Talk]:
    """Every conversation by its name, with what is done with its result and the words that start it."""
    return {
        "menu": Talk(menu, asides=False),
        "tip": Talk(
            tip(find, find_identity),
            KeepTip(cases, receipts.take, last_groups, quotas, originals),
            words=("lapor", "lapor tanpa nama", "/lapor", "/tip", "report"),
            parks=True,
            collects="photos",
        ),
        "self_check": Talk(
            later(lambda: self_check(faq, load_versions())),
            KeepFeedback(counts, lambda words: find_identity(words)[1]),
            words=("tanya", "boleh tidak saya?", "/tanya", "/ask", "ask"),
            asides=False,
        ),
        "follow_up": Talk(
            follow_up(find_identity),
            KeepFollowUp(cases, sessions, signing_key, desk.audit),
            words=("cek", "cek laporan", "/cek", "/check"),
            collects="more_photos",
            cancelled="follow_up.cancelled",
        ),
        "quiet": Talk(quiet, KeepQuiet(push)),
        "saved_code": Talk(saved_code, keep_saved_code, cancelled="saved_code.later"),
        "privacy": Talk(privacy, words=("privasi", "/privasi", "/privacy", "privacy")),
        "erase": Talk(erase, keep_erase, words=("hapus", "hapus jejak", "/hapus", "delete", "/delete")),
        "language": Talk(language, set_language, words=("bahasa", "/bahasa", "/language", "language")),
        "subscribe": Talk(
            subscribe(find),
            KeepSubscription(desk.subscribers),
            words=("langganan", "berlangganan", "pengingat", "/langganan", "subscribe", "/subscribe"),
        ),
        "stop": Talk(stop, KeepStop(desk.subscribers), words=STOP_WORDS, everywhere=True),
        "quiz": Talk(
            later(lambda: quiz(faq.entries, load_scenarios(), find)),
            KeepQuiz(papers.practice),
            words=("kuis", "/kuis", "quiz", "/quiz", "latihan", "kuis netralitas"),
            stands="card",
        ),
        "quiz_result": Talk(
            later(lambda: quiz_result(faq.entries, load_scenarios(), papers.downloads.serves)),
            KeepCertificate(papers.certificates, papers.downloads.offer, papers.documents.certificate),
        ),
        "pledge": Talk(pledge(papers.pledges, find), KeepPledge(papers.practice), words=("pakta", "/pakta", "pakta integritas", "pledge")),
        "pledge_paper": Talk(
            pledge_paper(papers.pledges, papers.downloads.serves), KeepPaper(papers.downloads.offer, papers.documents.pledge)
        ),
        "broadcast": Talk(broadcast(find, faq.calendar), KeepBroadcast(desk), words=("siaran", "/siaran", "broadcast"), asides=False),
    }


def later(make: Callable[[], Flow]) -> Flow:
    """A flow that reads files: made when it is first taken."""
    made = cache(make)
    return lambda chat: made()(chat)


def counted(counts: Counts) -> Callable[[Connection, Mapping[tuple[date, str], int]], None]:
    """Counts for the public figures; what came of a question is counted for the operator too."""

    def count(connection: Connection, numbers: Mapping[tuple[date, str], int]) -> None:
        counts.add_all(connection, numbers)
        for (_, name), number in numbers.items():
            if name.startswith("self_check."):
                metrics.MATCHED.labels(name.removeprefix("self_check.")).inc(number)

    return count


def numbers_shown(channel: str) -> bool:
    """Whether a channel writes numbers before the choices."""
    return channel not in LIMITS or LIMITS[channel].numbers_shown


def start_command(command: str) -> tuple[str, Mapping[str, Answer]] | None:
    """What a command with an argument starts: "/tanya ...", and the deep links "/start lapor", "/start cek", "/start tanya-<entry>"."""
    name, _, argument = command.partition(" ")
    argument = argument.strip()
    if name in ("/tanya", "/ask") and argument:
        return "self_check", {"question": Answer(text=argument)}
    if name == "/harian":
        return "quiz", {"ready": Answer(choice="daily")}
    if name == "/diam" and argument:
        return "quiet", {"token": Answer(text=argument)}
    if name == "/start":
        if argument in ("lapor", "tip"):
            return "tip", {}
        if argument == "cek":
            return "follow_up", {}
        if argument in ("kuis", "pakta"):
            return ("quiz" if argument == "kuis" else "pledge"), {}
        if argument.startswith("tanya-"):
            return "self_check", {"question": Answer(choice="entry:" + argument.removeprefix("tanya-").replace("__", "."))}
    return None


def build(settings: Settings, *, claim: bool = True, channels: Sequence[Channel] = ()) -> Netra:
    """Put the program together. Raises `RuntimeError`, `AlreadyRunning` with one clear sentence when it must not start."""
    if problems := settings.problems():
        raise RuntimeError(" ".join(problems))
    harden()
    clock = settings.clock
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = Keys(settings.keys_dir)
    epochs = EpochKeys(settings.runtime_dir(), clock)
    url = settings.url()
    alone = url.startswith("sqlite")
    store = Store(url, lock_folder=settings.data_dir if claim and alone else None)
    conversations = Conversations(epochs, "" if alone else new_name())
    faq, texts = Faq.load(settings.election), Texts.load()
    statistics = Statistics(keys.panel, lambda day: stage_of(faq, day))
    push = Push(keys.push, conversations, notice_of(texts))
    recovery = public_of(keys.recovery) if keys.recovery else b""
    counts, audits, practice = Counts(), AuditLog(keys.audit_signing, clock), settings.env != "production"
    receivers = ReceiverList(keys.audit_signing, clock, practice=practice, audit=audits)
    cases = Cases(conversations, clock, statistics, recovery=recovery, push=push, receivers=receivers)
    accounts = Accounts(keys.panel, clock, practice=practice, receivers=receivers)
    receipts = Receipts(keys.receipt_pepper, expected=False)
    sessions, last_groups = CodeSessions(receipts), LastGroups()
    quotas, originals = Quotas(), Waiting(keys.offline)
    push.mute = quotas.mute
    desk = desk_of(settings, keys, accounts, audits)
    papers = papers_of(texts, keys.panel, counts, settings.public_url)
    conductor = Conductor(
        texts,
        talks(
            faq,
            cases,
            counts,
            receipts,
            sessions,
            last_groups,
            quotas=quotas,
            originals=originals,
            push=push,
            signing_key=keys.audit_signing,
            desk=desk,
            papers=papers,
        ),
        home="menu",
        start=start_command,
        aside=aside(faq),
        reads=lambda connection, address: Reads(connection, cases, sessions, last_groups, quotas, originals, address, desk),
        numbered=numbers_shown,
        public_url=settings.public_url,
    )
    pages = Pages()
    web_chat = WebChat(pages, public.page_words(texts), secure=settings.public_url.startswith("https://"), busy=TooMany)
    pushed = {channel.name: channel for channel in (*channels, *platforms(settings, store, ErasureNotes(epochs), texts))}
    every: dict[str, Channel] = {"web_chat": web_chat, **pushed}
    sender = Sender(store, conversations, {name: channel for name, channel in pushed.items() if name != "console"})
    cleaner = Cleaner()
    fresh = epochs.fresh
    lost = fresh and bool(store.read_now(lambda connection: up_to_date(connection) and conversations.unreadable(connection)))
    worker = Worker(
        store,
        conversations,
        conductor,
        every,
        sender,
        cleaner,
        receipts,
        sessions,
        cases.known,
        clock,
        count=counted(counts),
        lost=lost,
        quotas=quotas,
        originals=originals,
        free=lambda: shutil.disk_usage(settings.data_dir).free,
        stopped=desk.subscribers.stop,
    )
    warm_up = WarmUp(faq, receipts)
    web_chat.connect(warm_up.before(worker.handle), worker.pending)
    return Netra(
        settings,
        store,
        keys,
        epochs,
        conversations,
        cases,
        accounts,
        audits,
        counts,
        statistics,
        faq,
        texts,
        conductor,
        sessions,
        receipts,
        cleaner,
        every,
        sender,
        worker,
        web_chat,
        desk,
        broadcaster_of(settings, store, desk, pushed, sender, texts),
        papers,
        pages,
        warm_up,
        Health(store, conversations.owner, tuple(every), sender.pacers, epochs.current, settings.data_dir),
        fresh,
    )


def papers_of(texts: Texts, panel_key: bytes, counts: Counts, public_url: str) -> Papers:
    """What quiz and pledge need, and what can be taken away from them."""
    pledges = load_pledges()
    return Papers(
        Practice(counts),
        Certificates(panel_key),
        Downloads(public_url, time.monotonic),
        Documents(texts, pledges, public_url),
        pledges,
        public_url,
    )


def desk_of(settings: Settings, keys: Keys, accounts: Accounts, audits: AuditLog) -> Desk:
    """What reminders need."""
    subscribers = Subscribers(keys.subscribers)
    broadcasts = Broadcasts(keys.panel, subscribers, settings.clock, settings.broadcast_links.split(","))
    return Desk(subscribers, broadcasts, StaffChats(keys.subscribers, settings.clock), accounts, audits)


def broadcaster_of(
    settings: Settings, store: Store, desk: Desk, channels: Mapping[str, Channel], sender: Sender, texts: Texts
) -> Broadcaster:
    """The sender of broadcasts: it shares the pace of the replies, but for what Telegram is paid for."""
    pacers = dict(sender.pacers)
    if settings.telegram_paid_broadcasts and "telegram" in pacers:
        pacers["telegram"] = Pacer(PAID_TELEGRAM_RATE)
    return Broadcaster(
        store,
        desk.broadcasts,
        desk.staff_chats,
        {name: channel for name, channel in channels.items() if name in CHANNELS},
        pacers,
        sender.recent,
        texts,
        settings.clock,
        alone=store.sqlite,
        paid=settings.telegram_paid_broadcasts,
    )


def notice_of(texts: Texts) -> Callable[[str, str], Outbound]:
    """The one neutral sentence that there is news, with the button that ends such notices."""

    def notice(language: str, token: str) -> Outbound:
        return Outbound(tuple(texts.spans(language, "quiet.notice")), (Button(f"/diam {token}", texts.plain(language, "quiet.button")),))

    return notice


def platforms(
    settings: Settings, store: Store | None = None, notes: ErasureNotes | None = None, texts: Texts | None = None
) -> list[Channel]:
    """The channels whose settings are there; each can be off. With a store, what Twilio is still to delete survives a restart."""
    texts = texts or Texts.load()
    found: list[Channel] = []
    if settings.telegram_token:
        with without(
            "click", "rich", "cryptography"
        ):  # httpx would load the first two for its command line, the library the last for passports
            from bot.channels.telegram import Telegram, Welcome

        found.append(
            Telegram(
                settings.telegram_token,
                api_url=settings.telegram_api_url,
                mode=settings.telegram_mode,
                secret=settings.telegram_webhook_secret,
                public_url=settings.public_url,
                commands=telegram_commands(texts),
                welcome={language: Welcome(**words) for language, words in telegram_welcome(texts).items()},
                busy=TooMany,
            )
        )
    if settings.twilio_account_sid:
        from bot.channels.whatsapp import WhatsApp
        from bot.channels.whatsapp_erasures import Erasure, nowhere

        async def remember(erasure: Erasure) -> None:
            assert store is not None and notes is not None
            await store.write_joint(notes.remember_all, (erasure.message, erasure.media))

        async def forget(erasure: Erasure) -> None:
            assert store is not None and notes is not None
            await store.write_joint(notes.forget_all, erasure.message)

        found.append(
            WhatsApp(
                settings.twilio_account_sid,
                settings.twilio_auth_token,
                settings.twilio_whatsapp_from,
                public_url=settings.public_url,
                api_url=settings.twilio_api_url,
                media_hosts=tuple(host.strip() for host in settings.twilio_media_hosts.split(",") if host.strip()),
                templates_file=settings.data_dir / "whatsapp_templates.json",
                list_button=texts.plain("id", "web.choices_button"),
                remember=remember if store else nowhere,
                forget_erasure=forget if store else nowhere,
            )
        )
    return found


COMMANDS = ("start", "lapor", "tanya", "cek", "kuis", "pakta", "langganan", "berhenti", "privasi", "hapus", "bahasa", "bantuan", "batal")


def telegram_commands(texts: Texts) -> dict[str, list[tuple[str, str]]]:
    """The commands with their descriptions, by language."""
    return {
        language: [(name, texts.plain(language, f"commands.{name}")) for name in COMMANDS if texts.has(f"commands.{name}")]
        for language in ("id", "en")
    }


def telegram_welcome(texts: Texts) -> dict[str, dict[str, str]]:
    """What Telegram shows of the bot before /start, by language. The name stays the one that the operator gave it."""
    return {
        language: {part: texts.plain(language, f"welcome.{part}") for part in ("description", "short_description")}
        for language in ("id", "en")
    }


def harden() -> None:
    """No core dumps, files for the owner alone, and no other process of this user may read our memory."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE = 4, off


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
    public_url = await listen(app, netra.settings.host, netra.settings.port, runners) if pages else ""
    if not panel and netra.settings.metrics_port:
        await listen(metrics_application(), netra.settings.panel_host, netra.settings.metrics_port, runners)
    doors = AsyncExitStack()
    panel_url = await doors.enter_async_context(panel_door(netra)) if panel else ""
    try:
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


def stage_of(faq: Faq, day: str) -> str:
    """The stage of an ISO day; empty when the day is not known."""
    return faq.calendar.election().stage(date.fromisoformat(day)).id if day else ""


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
