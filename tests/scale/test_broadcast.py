"""A broadcast that two worker processes send together on a real PostgreSQL, one of them killed in the middle."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import signal
import time
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import Connection, func, insert, select, text

from bot.broadcast import CLAIM_SECONDS
from bot.messages import Address
from bot.pacer import PAID_TELEGRAM_RATE
from bot.queue import SCHEMA
from storage.broadcasts import DONE, Broadcasts
from storage.drafts import Audience, Draft, When
from storage.models import BroadcastPage, Delivery, Subscriber
from storage.store import Store
from storage.subscribers import Subscribers
from storage.vault import Keys
from tests.channels.fake_telegram import Chat, FakeTelegram
from tests.conftest import Clock
from tests.postgres import fresh_database
from tests.scale.procfile import Procfile, Started

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

DAY = dt.date(2024, 11, 18)
PEOPLE = 6000
"""Six pages: two processes hold four of them at a time."""


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, as the program."""
    return "asyncio"


class Desk:
    """The team's side of the database that the workers share."""

    def __init__(self, url: str, keys: Path) -> None:
        self.store, self.clock = Store(url), Clock()
        found = Keys(keys)
        self.subscribers = Subscribers(found.subscribers)
        self.broadcasts = Broadcasts(found.panel, self.subscribers, self.clock)

    def prepare(self) -> None:
        """All the people, and one broadcast for them that was approved eleven minutes ago."""
        same = {"channel": "telegram", "role": "asn", "region": "18.07", "zone": "WIB", "language": "id", "kinds": ",stages,rules,"}
        rows = []
        for number in range(1, PEOPLE + 1):
            address = Address("telegram", str(number))
            name = self.subscribers.name(address)
            rows.append({"id": name, "address": self.subscribers.sealed(name, address), "consent": "1", "day": DAY, **same})
        draft = Draft("Masa tenang", "stages", When(DAY, DAY), Audience(channels=("telegram",)), telegram={"id": "Besok masa tenang."})

        def steps(connection: Connection) -> None:
            connection.execute(insert(Subscriber), rows)
            number = self.broadcasts.save(connection, draft, "rina")
            self.broadcasts.propose(connection, number)
            self.broadcasts.approve(connection, number, "budi", draft.digest)

        self.store.write_now(steps)

    def state(self) -> str:
        """The state of the broadcast."""
        found = self.store.read_now(lambda connection: self.broadcasts.get(connection, 1))
        assert found is not None
        return found.state


async def sent_by(one: Started) -> int:
    """How many reminders a process says it has sent."""
    async with aiohttp.ClientSession() as session, session.get(f"{one.url}/metrics") as answer:
        found = re.search(r'netra_sent_total\{channel="telegram",outcome="broadcast sent"\} (\d+)', await answer.text())
        return int(found[1]) if found else 0


async def test_two_workers_send_a_broadcast_and_one_is_killed(tmp_path: Path, postgres: str) -> None:
    """Both send; after the kill the other takes up the dead one's pages. Nobody twice, nobody skipped who is not listed as uncertain."""
    url, fake = fresh_database(postgres), FakeTelegram()
    await fake.start()
    for number in range(1, PEOPLE + 1):
        fake.chats[number] = Chat(number, started=True)
    environment = {
        "NETRA_ENV": "test",
        "NETRA_NOW": "2024-11-18T10:11:00+07:00",
        "NETRA_DATA_DIR": str(tmp_path / "data"),
        "NETRA_KEYS_DIR": str(tmp_path / "keys"),
        "NETRA_RUN_DIR": str(tmp_path / "run"),
        "NETRA_DATABASE_URL": url,
        "TELEGRAM_TOKEN": fake.token,
        "TELEGRAM_API_URL": fake.url,
        "TELEGRAM_PAID_BROADCASTS": "true",
        "TELEGRAM_MODE": "webhook",
        "TELEGRAM_WEBHOOK_SECRET": "satu-dua-tiga-empat-lima",
        "NETRA_PUBLIC_URL": "https://bot.example",
    }
    procfile, begun = Procfile(tmp_path, environment), time.monotonic()

    def tell(words: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {words}")  # `pytest -s` shows the transcript

    def reached() -> list[int]:
        return [int(parameters["chat_id"]) for parameters in fake.called("sendMessage")]

    await procfile.release()
    desk = Desk(url, tmp_path / "keys")
    try:
        leader, other = await procfile.start("worker"), await procfile.start("worker")
        tell("two workers run")
        desk.prepare()
        await fake.until(lambda: len(reached()) > 1500, 60)
        shares = [await sent_by(leader), await sent_by(other)]
        tell(f"{len(reached())} sent, the two by {shares[0]} and {shares[1]}")
        assert min(shares) > 100, "both send"
        assert await procfile.end(leader, signal.SIGKILL) == -signal.SIGKILL
        at_kill = len(reached())
        tell(f"kill -9 of one after {at_kill}")
        async with asyncio.timeout(120):
            while desk.state() != DONE:
                await asyncio.sleep(0.1)
        got = reached()
        tell(f"done: {len(got)} sent, {len(got) - len(set(got))} doubled")
        assert not fake.refusals
        with desk.store.engine.connect() as connection:
            listed = set(connection.execute(select(Delivery.subscriber).where(Delivery.state == "uncertain")).scalars())
            assert connection.execute(select(func.count()).select_from(BroadcastPage)).scalar() == 0
        missing = set(range(1, PEOPLE + 1)) - set(got)
        tell(f"{len(listed)} uncertain, of them {len(listed) - len(missing)} delivered; {len(missing)} never reached")
        assert len(set(got)) == len(got), "nobody twice"
        assert {desk.subscribers.name(Address("telegram", str(number))) for number in missing} <= listed, "nobody skipped who is not listed"
        assert len(listed) <= PAID_TELEGRAM_RATE * (2 * CLAIM_SECONDS + 1), "what was claimed ahead and on the wire, nothing more"
        results = desk.store.read_now(lambda connection: desk.broadcasts.results(connection, 1))
        assert results.total("sent") + results.total("uncertain") == PEOPLE
        assert await procfile.end(other) == 0
        assert (
            desk.store.read_now(
                lambda connection: connection.execute(text(f"SELECT count(*) FROM {SCHEMA}.procrastinate_workers")).scalar()
            )
            == 0
        )
    finally:
        desk.store.close()
        for one in procfile.running:
            if one.process.returncode is None:
                one.process.kill()
                await one.process.wait()
        await fake.stop()
