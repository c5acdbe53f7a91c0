"""The wiring, top to bottom: settings, store, keys, texts, flows, channels, panel. Only this file knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import TypeVar

from sqlalchemy import Connection

from bot import metrics
from bot import web as public
from bot.broadcast import Broadcaster
from bot.channels import Channel
from bot.channels.limits import LIMITS
from bot.channels.web_chat import WebChat
from bot.documents import Documents
from bot.downloads import Downloads
from bot.handouts import Papers
from bot.health import Health
from bot.logs import log, where
from bot.messages import Answer, Button, Inbound, Outbound
from bot.outbox import Sender
from bot.pacer import PAID_TELEGRAM_RATE, Pacer
from bot.platforms import platforms
from bot.quotas import Quotas
from bot.reads import Reads
from bot.receipts import CodeSessions, LastGroups
from bot.settings import Settings
from bot.templates import Pages
from bot.texts import Texts
from bot.turn import Conductor, Flow, Talk
from bot.work import TooMany, Worker
from faq.identity import find_identity
from faq.match import Faq
from faq.pledge import load_pledges
from faq.regions import find, known
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
from storage.practice import Certificates, Practice
from storage.processes import new_name
from storage.push import Push
from storage.receivers import ReceiverList
from storage.schema import up_to_date
from storage.staff import Accounts
from storage.staff_chats import Desk, StaffChats
from storage.statistics import Statistics
from storage.store import Store
from storage.subscribers import CHANNELS, Subscribers
from storage.vault import EpochKeys, Keys, Receipts

T = TypeVar("T")


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


def harden() -> None:
    """No core dumps, files for the owner alone, and no other process of this user may read our memory."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE = 4, off


def stage_of(faq: Faq, day: str) -> str:
    """The stage of an ISO day; empty when the day is not known."""
    return faq.calendar.election().stage(date.fromisoformat(day)).id if day else ""
