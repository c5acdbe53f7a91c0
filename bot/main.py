"""The wiring, top to bottom: settings, store, keys, texts, flows, channels, panel. Only this file knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

from aiohttp import web

from bot import metrics
from bot import web as public
from bot.broadcast import Broadcaster
from bot.channels import Channel
from bot.channels.limits import LIMITS
from bot.channels.web_chat import WebChat
from bot.documents import Documents
from bot.downloads import Downloads
from bot.handouts import Handouts, Papers
from bot.logs import log, where
from bot.messages import Address, Answer, Button, Outbound
from bot.outbox import Sender
from bot.pacer import PAID_TELEGRAM_RATE, Pacer
from bot.quotas import Quotas
from bot.reads import Reads
from bot.receipts import CodeSessions, LastGroups
from bot.replica import Replica
from bot.settings import Settings
from bot.texts import Texts
from bot.turn import Conductor, Talk
from bot.work import TooMany, Worker
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
from storage.age import public_of
from storage.audit import AuditLog
from storage.broadcasts import Broadcasts
from storage.cases import Cases
from storage.conversations import Conversations
from storage.counts import Counts
from storage.erasures import ErasureNotes
from storage.evidence import Cleaner
from storage.originals import Waiting
from storage.practice import UNKNOWN, Certificates, Practice, pledge_figures, quiz_figures
from storage.processes import Processes, new_name
from storage.push import Push
from storage.retention import Retention
from storage.schema import up_to_date
from storage.staff import Accounts
from storage.staff_chats import Desk, StaffChats
from storage.statistics import Cell, Statistics
from storage.store import Store, alive
from storage.subscribers import CHANNELS, Subscribers
from storage.vault import EpochKeys, Keys, Receipts

HOURLY_SECONDS = 3600.0
VACUUM_AT = (6, 3)
"""Sunday, in the hour from three in the morning."""


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
    scenarios = load_scenarios()
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
            self_check(faq, load_versions()),
            KeepFeedback(counts, lambda words: find_identity(words)[1]),
            words=("tanya", "boleh tidak saya?", "/tanya", "/ask", "ask"),
            asides=False,
        ),
        "follow_up": Talk(
            follow_up,
            KeepFollowUp(cases, sessions, signing_key),
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
            quiz(faq.entries, scenarios, find),
            KeepQuiz(papers.practice),
            words=("kuis", "/kuis", "quiz", "/quiz", "latihan", "kuis netralitas"),
            stands="card",
        ),
        "quiz_result": Talk(
            quiz_result(faq.entries, scenarios, papers.downloads.serves),
            KeepCertificate(papers.certificates, papers.downloads.offer, papers.documents.certificate),
        ),
        "pledge": Talk(pledge(papers.pledges, find), KeepPledge(papers.practice), words=("pakta", "/pakta", "pakta integritas", "pledge")),
        "pledge_paper": Talk(
            pledge_paper(papers.pledges, papers.downloads.serves), KeepPaper(papers.downloads.offer, papers.documents.pledge)
        ),
        "broadcast": Talk(broadcast(find, faq.calendar), KeepBroadcast(desk), words=("siaran", "/siaran", "broadcast"), asides=False),
    }


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
    faq, texts = Faq.load(), Texts.load()
    statistics = Statistics(keys.panel, lambda day: stage_of(faq, day))
    push = Push(keys.push, conversations, notice_of(texts))
    recovery = public_of(keys.recovery) if keys.recovery else b""
    cases = Cases(conversations, clock, statistics, recovery=recovery, push=push)
    counts, audits = Counts(), AuditLog(keys.audit_signing, clock)
    accounts = Accounts(keys.panel, clock, practice=settings.env != "production")
    receipts = Receipts(keys.receipt_pepper)
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
        count=lambda connection, now, name: counts.add(connection, now.date(), name),
        numbered=numbers_shown,
        public_url=settings.public_url,
    )
    web_chat = WebChat(public.pages(), public.page_words(texts), secure=settings.public_url.startswith("https://"), busy=TooMany)
    pushed = {channel.name: channel for channel in (*channels, *platforms(settings, store, ErasureNotes(epochs)))}
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
        lost=lost,
        quotas=quotas,
        originals=originals,
        free=lambda: shutil.disk_usage(settings.data_dir).free,
        stopped=desk.subscribers.stop,
    )
    web_chat.connect(worker.handle, worker.pending)
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


def platforms(settings: Settings, store: Store | None = None, notes: ErasureNotes | None = None) -> list[Channel]:
    """The channels whose settings are there; each can be off. With a store, what Twilio is still to delete survives a restart."""
    found: list[Channel] = []
    if settings.telegram_token:
        from bot.channels.telegram import Telegram

        found.append(
            Telegram(
                settings.telegram_token,
                api_url=settings.telegram_api_url,
                mode=settings.telegram_mode,
                secret=settings.telegram_webhook_secret,
                public_url=settings.public_url,
                commands=telegram_commands(),
                busy=TooMany,
            )
        )
    if settings.twilio_account_sid:
        from bot.channels.whatsapp import WhatsApp
        from bot.channels.whatsapp_erasures import Erasure, nowhere

        async def remember(erasure: Erasure) -> None:
            assert store is not None and notes is not None
            await store.write(lambda connection: notes.remember(connection, erasure.message, erasure.media))

        async def forget(erasure: Erasure) -> None:
            assert store is not None and notes is not None
            await store.write(lambda connection: notes.forget(connection, erasure.message))

        found.append(
            WhatsApp(
                settings.twilio_account_sid,
                settings.twilio_auth_token,
                settings.twilio_whatsapp_from,
                public_url=settings.public_url,
                api_url=settings.twilio_api_url,
                media_hosts=tuple(host.strip() for host in settings.twilio_media_hosts.split(",") if host.strip()),
                templates_file=settings.data_dir / "whatsapp_templates.json",
                list_button=Texts.load().plain("id", "web.choices_button"),
                remember=remember if store else nowhere,
                forget_erasure=forget if store else nowhere,
            )
        )
    return found


COMMANDS = ("start", "lapor", "tanya", "cek", "kuis", "pakta", "langganan", "berhenti", "privasi", "hapus", "bahasa", "bantuan", "batal")


def telegram_commands() -> dict[str, list[tuple[str, str]]]:
    """The commands with their descriptions, by language."""
    texts = Texts.load()
    return {
        language: [(name, texts.plain(language, f"commands.{name}")) for name in COMMANDS if texts.has(f"commands.{name}")]
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

    Only the process that leads polls Telegram, sends broadcasts and tidies up; one without the panel never leads where there are others.
    """
    runners: list[web.AppRunner] = []
    app = public.application(
        netra.channels.values(),
        public.pages(),
        netra.texts,
        links=[],
        ready=lambda: ready(netra),
        statistics=lambda chosen: statistics(netra, chosen),
        more=Handouts(netra.papers, netra.faq.entries, netra.texts, public.pages(), public.page_words(netra.texts)).routes(),
        notices=lambda: netra.store.read(netra.cases.notices),
    )
    loop = asyncio.get_running_loop()

    def wake_after_commit(address: Address) -> None:
        committed = netra.store.submit(lambda connection: None)  # jobs commit in order: this one ends after the one that calls it
        committed.add_done_callback(lambda _: loop.call_soon_threadsafe(netra.sender.wake, address))

    if netra.cases.push is not None:
        netra.cases.push.queued = wake_after_commit
    background = [loop.create_task(warm_up(netra))]
    polled = {"telegram"} if netra.settings.telegram_mode == "polling" else set()

    async def lead() -> None:
        await netra.broadcaster.start()
        for name in polled & netra.channels.keys():
            await netra.channels[name].start(netra.worker.receive)
        background.extend(loop.create_task(work(netra)) for work in (housekeeping, finish_erasures))

    replica = replica_of(netra, may_lead=panel, leads=lead)
    await replica.enter()
    await netra.worker.start()
    await netra.sender.start()
    if pages:
        for name in netra.channels.keys() - polled:
            await netra.channels[name].start(netra.worker.receive)
    await replica.start()
    public_url = await listen(app, netra.settings.host, netra.settings.port, runners) if pages else ""
    panel_url = ""
    if panel:
        panel_url = await listen(panel_application(netra), netra.settings.panel_host, netra.settings.panel_port, runners)
    try:
        yield public_url, panel_url
    finally:
        for task in background:
            task.cancel()
        for runner in runners:
            await runner.cleanup()
        await netra.worker.stop()
        await netra.broadcaster.stop()
        await netra.sender.stop()
        for channel in netra.channels.values():
            await channel.stop()
        await asyncio.gather(*background, return_exceptions=True)
        await replica.stop()


async def listen(app: web.Application, host: str, port: int, runners: list[web.AppRunner]) -> str:
    """Serve an application; no access log is kept. The address that was bound."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    runners.append(runner)
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        raise RuntimeError(f"Port {port} on {host} is in use or not allowed: stop the other program or choose another port.") from error
    bound = runner.addresses[0]
    return f"http://{bound[0]}:{bound[1]}"


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
        )
    )


async def ready(netra: Netra) -> dict[str, str]:
    """The parts that have to work, by name: "ok" or what is wrong."""
    parts = {"database": "ok", "keys": "ok", "backlog": "ok"}
    try:
        await netra.store.read(alive)
        waiting, unsent = await netra.store.read(netra.conversations.backlog)
        metrics.BACKLOG.labels("inbox").set(waiting)
        metrics.BACKLOG.labels("outbox").set(unsent)
        if waiting > 1000:
            parts["backlog"] = f"{waiting} messages wait"
    except Exception as error:  # noqa: BLE001 - whatever it is, the database is not ready
        parts["database"] = type(error).__name__
    return parts


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


async def warm_up(netra: Netra) -> None:
    """Load the regions before the first person needs them."""
    await asyncio.to_thread(known)


async def finish_erasures(netra: Netra) -> None:
    """What Twilio was still to delete when the program ended is deleted now."""
    channel = netra.channels.get("whatsapp")
    if channel is not None:
        from bot.channels.whatsapp import WhatsApp

        assert isinstance(channel, WhatsApp)
        for message, media in await netra.store.read(ErasureNotes(netra.epochs).all):
            await channel.clean_up(message, media)


async def housekeeping(netra: Netra) -> None:
    """Every hour, and when an epoch ends: what is past its time goes. Once a week the database is rewritten without what it left."""
    while True:
        try:
            await asyncio.to_thread(tidy, netra)
            now = netra.settings.clock()
            if (now.weekday(), now.hour) == VACUUM_AT:
                netra.store.vacuum()
        except Exception as error:  # noqa: BLE001 - tried again in an hour
            log.error("housekeeping failed", error=type(error).__name__, where=where(error))
        await asyncio.sleep(min(HOURLY_SECONDS, netra.epochs.left() + 1))


def tidy(netra: Netra) -> dict[str, int]:
    """Remove what is past its time (blocking); how much of what was removed."""
    netra.epochs.current()
    netra.store.write_now(lambda connection: netra.desk.subscribers.forget_days(connection, netra.settings.clock().date()))
    netra.store.write_now(netra.desk.broadcasts.prune)
    retention = Retention(netra.cases, netra.statistics, netra.conversations, netra.audits, netra.settings.clock)
    return retention.run(netra.store)
