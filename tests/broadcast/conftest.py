"""A desk of broadcasts over a real SQLite store, channels that can misbehave, and a time that is moved by hand."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection

from bot.broadcast import Broadcaster
from bot.channels.limits import LIMITS, SendError
from bot.messages import Address, Outbound
from bot.pacer import Pacer, Recent
from bot.texts import Texts
from storage.audit import AuditLog
from storage.broadcasts import OVER, Broadcasts, Results
from storage.drafts import Audience, Draft, When
from storage.models import Table
from storage.staff import Accounts
from storage.staff_chats import Desk, StaffChats
from storage.store import Store
from storage.subscribers import Subscribers, Wish
from storage.vault import Keys
from tests.conftest import Clock

DAY = dt.date(2024, 11, 18)
TEXT = "Besok masa tenang. Lepas stiker di mobil Anda."


@pytest.fixture
def anyio_backend() -> str:
    """asyncio alone."""
    return "asyncio"


class Time:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once, and let the others run."""
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class FakeChannel:
    """A channel in memory: it notes what it is given, and fails as it is told."""

    name: str
    sent: list[tuple[Address, Outbound]] = field(default_factory=list)
    trouble: dict[str, list[SendError]] = field(default_factory=dict)
    before: Callable[[Address], Awaitable[None]] | None = None

    @property
    def limits(self) -> object:
        """The platform's limits."""
        return LIMITS[self.name]

    async def send(self, address: Address, outbound: Outbound) -> Sequence[str]:
        """Note the message, or fail."""
        if self.before is not None:
            await self.before(address)
        await asyncio.sleep(0)
        if self.trouble.get(address.chat):
            raise self.trouble[address.chat].pop(0)
        self.sent.append((address, outbound))
        return ["1"]

    @property
    def chats(self) -> list[str]:
        """Who got something, in order."""
        return [address.chat for address, _ in self.sent]


class Office:
    """Everything that broadcasts need, without network."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock, self.time = folder, clock, Time()
        self.store = Store(f"sqlite:///{folder / 'netra.db'}")
        Table.metadata.create_all(self.store.engine)
        self.keys = Keys(folder / "keys")
        self.subscribers = Subscribers(self.keys.subscribers)
        self.broadcasts = Broadcasts(self.keys.panel, self.subscribers, clock, ("bawaslu.go.id", "kpu.go.id"))
        self.accounts = Accounts(self.keys.panel, clock, practice=True)
        self.staff_chats = StaffChats(self.keys.subscribers, clock)
        self.desk = Desk(self.subscribers, self.broadcasts, self.staff_chats, self.accounts, AuditLog(self.keys.audit_signing, clock))
        self.telegram, self.whatsapp = FakeChannel("telegram"), FakeChannel("whatsapp")
        self.pacers = {name: Pacer(100, monotonic=self.time, sleep=self.time.sleep) for name in ("telegram", "whatsapp")}
        self.recent = Recent(monotonic=self.time)
        self.broadcaster = self.process()
        self._numbers = itertools.count(1)

    def process(self) -> Broadcaster:
        """A process that sends."""
        channels = {"telegram": self.telegram, "whatsapp": self.whatsapp}
        return Broadcaster(
            self.store,
            self.broadcasts,
            self.staff_chats,
            channels,  # type: ignore[arg-type]  # the fakes have what a broadcast uses
            self.pacers,
            self.recent,
            Texts.load(),
            self.clock,
        )

    def subscribe(self, count: int = 1, channel: str = "telegram", **wish: object) -> list[Address]:
        """People who want reminders."""
        wanted = Wish(**({"role": "asn", "region": "18.07", "language": "id", "kinds": ("stages", "rules")} | wish))  # type: ignore[arg-type]  # any of its fields
        chats = [f"whatsapp:+62812{next(self._numbers):07}" if channel == "whatsapp" else str(next(self._numbers)) for _ in range(count)]
        addresses = [Address(channel, chat) for chat in chats]

        def all_of_them(connection: Connection) -> None:
            for address in addresses:
                self.subscribers.subscribe(connection, address, wanted, self.clock().date())

        self.store.write_now(all_of_them)
        return addresses

    def draft(self, **more: object) -> Draft:
        """A complete draft for today, to everybody on Telegram."""
        given: dict[str, object] = {
            "title": "Masa tenang",
            "kind": "stages",
            "when": When(DAY, DAY),
            "audience": Audience(channels=("telegram",)),
            "telegram": {"id": TEXT},
        }
        return Draft(**(given | more))  # type: ignore[arg-type]  # any of its fields

    def approved(self, draft: Draft | None = None) -> int:
        """A broadcast that two people wanted."""
        draft = draft or self.draft()

        def steps(connection: Connection) -> int:
            number = self.broadcasts.save(connection, draft, "rina")
            self.broadcasts.propose(connection, number)
            self.broadcasts.approve(connection, number, "budi", draft.digest)
            return number

        return self.store.write_now(steps)

    def due(self, draft: Draft | None = None) -> int:
        """A broadcast whose ten minutes are over."""
        number = self.approved(draft)
        self.clock.forward(minutes=11)
        return number

    def state(self, number: int) -> str:
        """The state of a broadcast."""
        found = self.store.read_now(lambda connection: self.broadcasts.get(connection, number))
        assert found is not None
        return found.state

    def why(self, number: int) -> str:
        """Why it is where it is."""
        found = self.store.read_now(lambda connection: self.broadcasts.get(connection, number))
        assert found is not None
        return found.why

    def results(self, number: int) -> Results:
        """How far it has come."""
        return self.store.read_now(lambda connection: self.broadcasts.results(connection, number))

    async def run(self, number: int, *, seconds: float = 1.0, until: Callable[[], bool] = lambda: False) -> None:
        """Let a broadcast go on, with time passing, until it is over or held or `until` says so."""
        for _ in range(5000):
            await self.broadcaster.tick()
            self.broadcaster.wake()
            for _ in range(5):
                await self.store.write(lambda connection: None)  # what was written before is done by then
            if until() or self.state(number) in OVER | {"paused"}:
                break
            self.clock.forward(seconds=seconds)
            self.time.now += seconds
        else:
            raise AssertionError(f"broadcast {number} is still {self.state(number)}: {self.results(number)}")
        if self.state(number) in OVER | {"paused"}:
            await self.broadcaster.idle()


@pytest.fixture
def office(tmp_path: Path, clock: Clock) -> Iterator[Office]:
    """A desk with nobody subscribed yet."""
    made = Office(tmp_path, clock)
    yield made
    made.store.close()
