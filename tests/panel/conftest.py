"""A real panel on loopback over a real SQLite file, and staff and tips to use it with."""

from __future__ import annotations

import asyncio
import datetime as dt
import html
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pyotp
import pytest
from aiohttp import web
from PIL import Image

from bot.messages import Address
from faq.calendar import Calendar
from panel import Panel, application
from storage import staff as accounts
from storage.audit import AuditLog
from storage.broadcasts import Broadcasts
from storage.cases import Cases, NewTip
from storage.conversations import Conversations
from storage.decoder import clean
from storage.models import Table
from storage.receivers import ReceiverList
from storage.staff import Accounts
from storage.staff_chats import Desk, StaffChats
from storage.statistics import Statistics
from storage.store import Store
from storage.subscribers import Subscribers
from storage.vault import EpochKeys, Keys, Receipt, Receipts
from tests.panel.authenticator import SoftKey

ZONE = ZoneInfo("Asia/Jakarta")
PASSPHRASE = "enam kuda putih berlari jauh"
CHAT = Address("web", "somebody")


@dataclass
class Clock:
    """A clock that tests set by hand."""

    at: dt.datetime = dt.datetime(2026, 11, 20, 9, 0, tzinfo=ZONE)

    def __call__(self) -> dt.datetime:
        return self.at

    def forward(self, **amount: float) -> None:
        """Let time pass."""
        self.at += dt.timedelta(**amount)


@dataclass
class House:
    """Everything behind a panel, and short ways to fill it."""

    store: Store
    cases: Cases
    staff: Accounts
    audit: AuditLog
    clock: Clock
    conversations: Conversations
    receipts: Receipts
    app: web.Application
    practice: bool
    desk: Desk
    url: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    keys: dict[str, SoftKey] = field(default_factory=dict)
    number: int = 0

    @property
    def origin(self) -> str:
        """Where browsers with a security key open the panel."""
        return self.url.replace("127.0.0.1", "localhost")

    @property
    def receivers(self) -> ReceiverList:
        """The signed list."""
        assert self.staff.receivers is not None
        return self.staff.receivers

    def team(self, name: str, region: str) -> int:
        """Make a team."""
        return self.store.write_now(lambda connection: accounts.add_team(connection, name, region))

    def account(self, name: str, roles: str, team: str = "") -> bytes:
        """Make an active account with the usual passphrase."""
        return self.store.write_now(lambda connection: self.staff.add(connection, name, roles.split(), team, PASSPHRASE)).id

    def tip(self, photos: tuple[bytes, ...] = (), **facts: str) -> tuple[bytes, Receipt]:
        """Send a tip with these facts; its case and its receipt."""
        self.number += 1
        receipt = Receipt(self.number.to_bytes(16, "big"), bytes([7]) * 31 + bytes([self.number % 256]))
        told = {
            "indicator": "kampanye",
            "kind": "media_sosial",
            "region": "18.07",
            "region_name": "Kabupaten Lampung Timur, Lampung",
            "when": "2026-11-18",
            "what": "Kepala dinas menyukai dan membagikan unggahan calon bupati dari akun kantor.",
            "who": "Kepala dinas",
            "more": "",
        } | facts

        def send(connection: Any) -> bytes:
            kept: list[str] = []
            for photo in photos:
                jpeg, known = clean(photo)
                name = (1000 * self.number + len(kept)).to_bytes(16, "big")
                kept.append(self.conversations.keep_photo(connection, CHAT, name, jpeg, known))
            tip = NewTip(self.clock().date(), "id", told, kept, told["region"])
            return self.cases.open(connection, CHAT, tip, receipt)

        return self.store.write_now(send), receipt

    def acts(self, action: str = "") -> list[Any]:
        """Rows of the audit log, newest first."""
        return self.store.read_now(lambda connection: self.audit.acts(connection, action=action, limit=1000))


@dataclass(frozen=True)
class Page:
    """An answer of the panel."""

    status: int
    text: str
    body: bytes
    headers: Mapping[str, str]

    def field(self, name: str) -> str:
        """The value of a hidden field."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        return found[1] if found else ""

    @property
    def question(self) -> dict[str, Any]:
        """What the page asks of a security key; empty when it asks nothing."""
        found = re.search(r'data-question="([^"]*)"', self.text)
        return dict(json.loads(html.unescape(found[1]))) if found else {}


class Browser:
    """What a browser does with a panel: keeps cookies, says where a form came from, follows redirects when asked to."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.house, self.loop = house, loop
        self.cookies: dict[str, str] = {}
        self.name = ""
        self.page = Page(0, "", b"", {})

    def request(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | list[tuple[str, str]] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """One request, no redirect followed; headers as given, cookies kept."""

        async def ask() -> Page:
            sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
                client.request(method, self.house.url + path, data=data, headers=sent, allow_redirects=False) as answer,
            ):
                for name, morsel in answer.cookies.items():
                    if morsel["max-age"] == "0" or not morsel.value:
                        self.cookies.pop(name, None)
                    else:
                        self.cookies[name] = morsel.value
                body = await answer.read()
                return Page(answer.status, body.decode("utf-8", "replace"), body, answer.headers.copy())

        return asyncio.run_coroutine_threadsafe(ask(), self.loop).result(30)

    def get(self, path: str) -> Page:
        """Open a page, following redirects."""
        self.page = self.request("GET", path)
        while self.page.status in (302, 303):
            self.page = self.request("GET", self.page.headers["Location"])
        return self.page

    def post(self, path: str, data: Mapping[str, Any] | None = None, *, follow: bool = True, csrf: str | None = None) -> Page:
        """Send a form as the page last opened would: with its token, its origin and, for an empty `code`, the security key's answer."""
        fields = {"csrf": self.page.field("csrf") if csrf is None else csrf, **(data or {})}
        if fields.get("code") == "" and self.page.question and self.name in self.house.keys:
            fields["key"] = self.house.keys[self.name].get(self.page.question)
        origin = {"Origin": self.house.url, "Sec-Fetch-Site": "same-origin"}
        answer = self.request("POST", path, fields, headers=origin)
        if follow and answer.status == 303:
            return self.get(answer.headers["Location"])
        if answer.status != 303:
            self.page = answer
        return answer

    def code(self, name: str) -> str:
        """The code that the person's authenticator shows now; empty for somebody with a security key, which answers when it is sent."""
        return "" if name in self.house.keys else pyotp.TOTP(self.house.secrets[name]).at(self.house.clock())

    def login(self, name: str, *, factor: bool = True) -> Page:
        """Sign in; sets up the second factor the first time, or skips it in practice."""
        self.cookies.clear()
        self.name = name
        self.get("/masuk")
        page = self.post("/masuk", {"name": name, "passphrase": PASSPHRASE})
        if "/masuk/pengaman/nanti" in page.text and not factor:
            return self.post("/masuk/pengaman/nanti")
        if "data-new-key" in page.text:
            self.house.keys[name] = SoftKey(self.house.origin)
            return self.post("/masuk/kunci/baru", {"name": "kunci", "key": self.house.keys[name].create(page.question)})
        if page.question:
            return self.post("/masuk/kunci", {"key": self.house.keys[name].get(page.question)})
        if "pengaman.svg" in page.text:
            secret = re.search(r'class="secret">([^<]+)<', page.text)
            assert secret is not None
            self.house.secrets[name] = secret[1].replace(" ", "")
            self.house.clock.forward(seconds=60)
            return self.post("/masuk/pengaman", {"code": self.code(name)})
        self.house.clock.forward(seconds=60)
        return self.post("/masuk/kode", {"code": self.code(name)})


@pytest.fixture
def clock() -> Clock:
    """A clock that stands on a Friday morning before the vote."""
    return Clock()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own, where the panel runs."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever, daemon=True)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join(10)
    running.close()


@pytest.fixture
def build(tmp_path: Path, clock: Clock, loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., House]]:
    """Builds panels on loopback, and takes them down."""
    ends: list[Callable[[], None]] = []

    def make(*, practice: bool = False, faq: Any = None, url: str = "") -> House:
        folder = tmp_path / str(len(ends))
        keys = Keys(folder / "keys")
        store = Store(f"sqlite:///{folder / 'netra.db'}")
        Table.metadata.create_all(store.engine)
        conversations = Conversations(EpochKeys(folder / "run", clock))
        calendar = Calendar.load()
        statistics = Statistics(keys.panel, lambda day: calendar.election().stage(dt.date.fromisoformat(day)).id if day else "")
        audit = AuditLog(keys.audit_signing, clock)
        receivers = ReceiverList(keys.audit_signing, clock, practice=practice, audit=audit)
        cases = Cases(conversations, clock, statistics, receivers=receivers)
        staff = Accounts(keys.panel, clock, practice=practice, receivers=receivers)
        subscribers = Subscribers(keys.subscribers)
        broadcasts = Broadcasts(keys.panel, subscribers, clock, ("bawaslu.go.id",))
        desk = Desk(subscribers, broadcasts, StaffChats(keys.subscribers, clock), staff, audit)
        panel = Panel(
            store, cases, staff, audit, faq, calendar, clock, practice, "http://localhost", desk=desk, receivers=receivers, url=url
        )
        app = application(panel)
        house = House(store, cases, staff, audit, clock, conversations, Receipts(keys.receipt_pepper), app, practice, desk)

        async def start() -> web.AppRunner:
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return runner

        runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        house.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

        def end() -> None:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            store.close()

        ends.append(end)
        return house

    yield make
    for end in ends:
        end()


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    """A panel in its shipped (production) configuration."""
    return build()


@pytest.fixture
def browser(loop: asyncio.AbstractEventLoop) -> Callable[[House], Browser]:
    """Opens browsers."""
    return lambda house: Browser(house, loop)


def picture(seed: int = 0, size: tuple[int, int] = (320, 240)) -> bytes:
    """A JPEG with large soft patches of its own, as photos have them."""
    patches = Image.new("RGB", (20, 15))
    patches.putdata(
        [((x * (31 + seed) + y * 77) % 256, (x * y * 11 + seed * 31) % 256, (y * (53 + seed)) % 256) for y in range(15) for x in range(20)]
    )
    out = io.BytesIO()
    patches.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its floor, so that the tests do not spend half a second on every login."""
    monkeypatch.setattr("storage.vault.LOGIN_OPS", 1)
    monkeypatch.setattr("storage.vault.LOGIN_MEMORY", 8 * 1024 * 1024)
