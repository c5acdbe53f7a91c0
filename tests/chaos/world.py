"""A program, its platform and its people, with bad weather between them: connections that are cut, hang, or deliver half.

Everything is real HTTP and a real store; only the clock is the world's own. People repeat what was not acknowledged, as platforms do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import aiohttp
from aiohttp import web
from sqlalchemy import func, select

from bench.servers import SECRET, TOKEN
from bench.updates import LINES, update
from bot.main import Netra, build
from bot.running import running
from bot.settings import ZONE, Settings
from storage.models import Conversation, Inbox, Outbox
from storage.schema import migrate
from storage.store import connect

PATIENCE = 0.5
"""Seconds after which a platform takes a webhook for dead and delivers again."""
AT_ONCE = 40
"""Telegram's connections to a webhook."""


class Clock:
    """The world's time."""

    def __init__(self) -> None:
        self.now = datetime(2024, 11, 18, 10, tzinfo=ZONE)

    def __call__(self) -> datetime:
        """What time it is."""
        return self.now

    def jump(self, **time: float) -> None:
        """Let time pass, or turn it back."""
        self.now += timedelta(**time)


class Weather:
    """A way to an address on which connections meet their fates."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.bad = True
        self.fates: Counter[str] = Counter()
        self.port = 0
        self._to = 0
        self._server: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self, to: int) -> None:
        """Lead to a port of this machine."""
        self._to = to
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self._fate(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._under_way.discard(task)
            writer.transport.abort()

    async def _fate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self.dice.choices(("good", "cut", "hung", "half"), (70, 10, 10, 10))[0] if self.bad else "good"
        self.fates[fate] += 1
        if fate == "hung":
            await asyncio.sleep(PATIENCE * 3)
            return
        if fate == "cut":
            await reader.read(self.dice.randrange(1, 400))
            return
        inner, outer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            if fate == "half":
                await _pour(reader, outer, self.dice.randrange(1, 3000))
                await asyncio.sleep(self.dice.uniform(0.0, 0.05))  # what was delivered may be worked on; its answer is never seen
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(_pour(reader, outer))
                group.create_task(_pour(inner, writer))
        except* OSError:
            pass
        finally:
            outer.transport.abort()


async def _pour(source: asyncio.StreamReader, into: asyncio.StreamWriter, at_most: int = 1 << 40) -> None:
    while at_most > 0 and (part := await source.read(min(at_most, 1 << 16))):
        into.write(part)
        await into.drain()
        at_most -= len(part)
    with contextlib.suppress(OSError, RuntimeError):
        into.write_eof()


class World:
    """A running program with everything around it."""

    def __init__(self, folder: Path, url: str, seed: int) -> None:
        self.folder, self.url = folder, url
        self.dice = random.Random(seed)
        self.clock = Clock()
        self.inward, self.outward = Weather(self.dice), Weather(self.dice)
        self.heard: Counter[int] = Counter()
        self.acknowledged = self.repeated = self.refused = 0
        self.chats = 0
        self._api: web.AppRunner | None = None

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """Begin, and end in order."""
        self._api = web.AppRunner(self._platform(), access_log=None)
        await self._api.setup()
        await web.TCPSite(self._api, "127.0.0.1", 0).start()
        await self.outward.start(self._api.addresses[0][1])
        settings = self._settings()
        engine = connect(settings.url())
        migrate(engine)
        engine.dispose()
        with patch("bot.channels.telegram_http.ANSWER_SECONDS", PATIENCE), patch("bot.channels.telegram_http.CONNECT_SECONDS", PATIENCE):
            self.netra: Netra = build(settings)
            async with running(self.netra, panel=False) as (public, _):
                await self.inward.start(int(public.rpartition(":")[2]))
                try:
                    yield
                finally:
                    await self.inward.stop()
            await self.outward.stop()
        await self._api.cleanup()
        self.netra.cleaner.close()
        self.netra.store.close()

    def _settings(self) -> Settings:
        settings = Settings(
            _env_file=None,
            NETRA_ENV="test",
            NETRA_DATA_DIR=self.folder / "data",
            NETRA_KEYS_DIR=self.folder / "keys",
            NETRA_RUN_DIR=self.folder / "run",
            NETRA_DATABASE_URL=self.url,
            NETRA_PUBLIC_URL="https://bot.example",
            PORT=0,
            TELEGRAM_TOKEN=TOKEN,
            TELEGRAM_API_URL=f"http://127.0.0.1:{self.outward.port}",
            TELEGRAM_MODE="webhook",
            TELEGRAM_WEBHOOK_SECRET=SECRET,
        )
        settings.clock = self.clock  # type: ignore[method-assign]
        return settings

    def _platform(self) -> web.Application:
        async def answer(request: web.Request) -> web.Response:
            fields = await request.post()
            if request.match_info["method"] == "sendMessage":
                self.heard[int(str(fields["chat_id"]))] += 1
                chat = {"id": int(str(fields["chat_id"])), "type": "private"}
                return web.json_response({"ok": True, "result": {"message_id": 1, "date": 1, "chat": chat, "text": "x"}})
            return web.json_response({"ok": True, "result": True})

        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", answer)
        return app

    # --- people ---------------------------------------------------------------------------------------------------------------------

    async def crowd(self, chats: int, lines: Sequence[str] = LINES) -> None:
        """New people, each with all lines in order; every line is delivered until it is acknowledged."""
        numbers = iter(range(self.chats + 1, self.chats + chats + 1))
        self.chats += chats
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

            async def connection() -> None:
                for chat in numbers:
                    for place, line in enumerate(lines):
                        await self._deliver(session, update(chat * 100 + place, chat, line))

            await asyncio.gather(*(connection() for _ in range(AT_ONCE)))

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes) -> None:
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=PATIENCE * 5)
        for _ in range(200):
            try:
                async with session.post(
                    f"http://127.0.0.1:{self.inward.port}/telegram/webhook", data=body, headers=headers, timeout=timeout
                ) as answer:
                    if answer.status == 200:
                        self.acknowledged += 1
                        return
                    self.refused += 1
            except (aiohttp.ClientError, TimeoutError):
                self.repeated += 1
            await asyncio.sleep(0.05)
        raise AssertionError(f"never acknowledged: {json.loads(body)['update_id']}")

    # --- what has to hold -----------------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Wait until nothing waits any more."""
        await asyncio.wait_for(self.netra.worker.idle(), 120)

    async def waiting(self) -> tuple[int, int]:
        """Rows in inbox and outbox."""
        return await self.netra.store.read(
            lambda connection: (
                connection.execute(select(func.count()).select_from(Inbox)).scalar_one(),
                connection.execute(select(func.count()).select_from(Outbox)).scalar_one(),
            )
        )

    async def turns(self) -> int:
        """How many turns the conversations that are there have had."""
        return await self.netra.store.read(lambda connection: connection.execute(select(func.sum(Conversation.version))).scalar_one() or 0)


def held() -> tuple[float, int]:
    """Resident MiB and open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20, len(list(Path("/proc/self/fd").iterdir()))
