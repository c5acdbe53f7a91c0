"""The Procfile on a real PostgreSQL: two web and two worker processes under load, processes killed and restarted in the middle."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import func, select

from storage.models import Conversation, Inbox, Outbox, Process
from storage.store import connect
from tests.channels.fake_telegram import FakeTelegram, Json, Person
from tests.postgres import fresh_database
from tests.scale.procfile import Procfile

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

LINES = ["/lapor", "3", "1", "lamtim", "kembali", "lamtim", "kemarin", "kembali", "kemarin", "kembali", "kembali", "metro"]
LAST = "Kapan kejadiannya?"
HASTY, PATIENT = 8, 8
"""Chats that write everything at once, and chats that wait for each answer."""


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, as the program."""
    return "asyncio"


class Front:
    """What a reverse proxy does: each request goes to one of the replicas in turn; a dead one costs a 502, and Telegram repeats."""

    def __init__(self, procfile: Procfile) -> None:
        self.procfile, self.url = procfile, ""
        self.turn, self.passed = itertools.count(), Counter[int]()

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/telegram/webhook", self._pass_on)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self.session = aiohttp.ClientSession()

    async def stop(self) -> None:
        """Stop listening."""
        await self.session.close()
        await self.runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        replicas = [one for one in self.procfile.running if one.kind == "web"]
        one = replicas[next(self.turn) % len(replicas)]
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
        try:
            async with self.session.post(f"{one.url}{request.path}", data=await request.read(), headers=headers) as answer:
                self.passed[one.port] += 1
                return web.Response(status=answer.status)
        except aiohttp.ClientError:
            return web.Response(status=502)


class Telegram(FakeTelegram):
    """The Bot API behind whose webhook address stands our front."""

    front = ""

    def _set_webhook(self, parameters: Json) -> bool:
        done = super()._set_webhook(parameters)
        self.webhook["url"] = f"{self.front}/telegram/webhook"
        return done


def said_to(person: Person) -> list[str]:
    """What the bot said, without what was said twice in a row."""
    return [text for text, _ in itertools.groupby(message.text for message in person.sees() if message.by == "bot")]


async def in_haste(person: Person, lines: list[str]) -> None:
    """Write everything at once."""
    await asyncio.gather(*(person.says(line).acknowledged for line in lines))


async def patiently(person: Person, lines: list[str], pause: float) -> None:
    """Write, read the answer, think, write again."""
    for line in lines:
        await person.says(line).acknowledged
        await person.hears(seconds=60)
        await asyncio.sleep(pause)


def counted(url: str) -> dict[str, Any]:
    """What the database holds at the end."""
    engine = connect(url)
    with engine.connect() as connection:
        found = {
            "versions": sorted(connection.execute(select(Conversation.version)).scalars()),
            "inbox": connection.execute(select(func.count()).select_from(Inbox)).scalar(),
            "outbox": connection.execute(select(func.count()).select_from(Outbox)).scalar(),
            "processes": connection.execute(select(func.count()).select_from(Process)).scalar(),
        }
    engine.dispose()
    return found


async def test_nothing_is_lost_or_done_twice_when_processes_die(tmp_path: Path, postgres: str) -> None:
    """A web replica and the leading worker are killed with -9, the others restarted one by one, all under load.

    Every update is handled exactly once and in its chat's order; replies are at worst repeated where a kill met them on the wire.
    """
    url, fake = fresh_database(postgres), Telegram()
    await fake.start()
    environment = {
        "NETRA_ENV": "test",
        "NETRA_NOW": "2024-11-18T10:00:00+07:00",
        "NETRA_DATA_DIR": str(tmp_path / "data"),
        "NETRA_KEYS_DIR": str(tmp_path / "keys"),
        "NETRA_RUN_DIR": str(tmp_path / "run"),
        "NETRA_DATABASE_URL": url,
        "NETRA_PUBLIC_URL": "https://bot.example",
        "TELEGRAM_TOKEN": fake.token,
        "TELEGRAM_API_URL": fake.url,
        "TELEGRAM_MODE": "webhook",
        "TELEGRAM_WEBHOOK_SECRET": "satu-dua-tiga-empat-lima",
    }
    procfile, begun = Procfile(tmp_path, environment), time.monotonic()

    def tell(words: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {words}")  # `pytest -s` shows the transcript

    front = Front(procfile)
    await front.start()
    fake.front = front.url
    try:
        await procfile.release()
        leader = await procfile.start("worker")
        other, first, second = await asyncio.gather(*(procfile.start(kind) for kind in ("worker", "web", "web")))
        tell("release done, two web and two worker processes run")
        await fake.until(lambda: fake.webhook)
        chance = random.Random(27)
        people = [fake.person(9000 + number) for number in range(HASTY + PATIENT)]
        answered: Counter[int] = Counter()

        def answers() -> int:
            return sum(len(said_to(person)) for person in people)

        talks = [asyncio.create_task(patiently(person, LINES, chance.uniform(0.05, 0.3))) for person in people[HASTY:]]
        talks += [asyncio.create_task(in_haste(person, LINES)) for person in people[:HASTY]]
        await fake.until(lambda: answers() > 30, 60)
        assert await procfile.end(first, signal.SIGKILL) == -signal.SIGKILL
        assert await procfile.end(leader, signal.SIGKILL) == -signal.SIGKILL
        tell(f"kill -9 of a web replica and of the leading worker after {answers()} answers")
        third = await procfile.start("web")
        assert await procfile.end(second) == 0
        tell(f"the other web replica ended by SIGTERM after {answers()} answers")
        await procfile.start("web")
        assert await procfile.end(other) == 0
        await procfile.start("worker")
        tell(f"every process is a new one after {answers()} answers")
        await asyncio.gather(*talks)
        tell("all updates acknowledged")
        await fake.until(lambda: all(said_to(person)[-1].startswith(LAST) for person in people), 60)
        await asyncio.gather(*(fake.until(lambda person=person: len(said_to(person)) >= len(LINES), 60) for person in people))  # type: ignore[misc]
        tell(f"all {answers()} answers there")
        assert await procfile.end(third) == 0
        await procfile.stop()
        found = counted(url)
        assert found == {"versions": [len(LINES)] * len(people), "inbox": 0, "outbox": 0, "processes": found["processes"]}
        for person in people:
            texts = said_to(person)
            assert len(texts) == len(LINES), "\n".join(texts)
            assert texts[-1].startswith(LAST)
            answered[len([message for message in person.sees() if message.by == "bot"]) - len(texts)] += 1
        assert len(front.passed) >= 3, "the replicas shared the load"
        assert sum(extra * chats for extra, chats in answered.items()) <= len(people), "replies on the wire at the kill, nothing more"
        assert not fake.refusals
        tell(f"{len(people) * len(LINES)} updates, each handled once and in order; twice: {sum(k * v for k, v in answered.items())}")
    finally:
        for one in procfile.running:
            if one.process.returncode is None:
                one.process.kill()
                await one.process.wait()
        await front.stop()
        await fake.stop()
