"""Issue 5: many people at once on both platforms, and what the webhook costs beside a handler that only parses.

    python -m bench.platforms [--chats 100] [--messages 20] [--rounds 3]

`netra run` is a process of its own with its shipped configuration; both platforms are the strict fakes of the tests, over HTTP. Every chat
says the same lines; it waits for each answer before the next line, or (`burst`) says all at once. One chat alone says beforehand what the
answers are: a lost, doubled or reordered answer is a difference. The time is from the sending of a message to its answer on the screen,
the fakes' own work included.

The second table loads servers of one process each with the same updates in turn, round after round: the bare handler, then the webhook as
far as each step, so that the differences say what takes the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bench import servers
from bench.updates import ROOT, spent, update
from bot.channels import Receive
from bot.channels.telegram import Telegram
from bot.messages import Inbound
from bot.settings import Settings
from storage.conversations import Conversations
from storage.schema import migrate
from storage.store import Store, connect
from storage.vault import EpochKeys
from tests.channels.fake_telegram import FakeTelegram, Shown
from tests.channels.fake_twilio import FakeTwilio, Person, Seen
from tests.scale.procfile import free_port

LINES = (
    "/lapor", "3", "1", "lamtim", "kembali", "lamtim", "kemarin", "kembali", "/tanya boleh tidak saya like postingan calon bupati?",
    "menu", "/privasi", "menu", "/lapor", "kembali", "menu", "/tanya boleh pasang stiker calon di mobil dinas?", "menu", "/lapor", "2",
    "kembali",
)  # fmt: skip
"""What each chat says: a tip begun, corrected and left, questions, and the texts beside them."""
SECRET = servers.SECRET
SECONDS = 60.0
QUIET_SECONDS = 0.5
NUMBER = re.compile(r"\d+")


@dataclass
class Heard:
    """One chat's answers with their times."""

    texts: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, text: str) -> None:
        """An answer is on the screen."""
        self.texts.append(text)
        self.times.append(time.perf_counter())
        self.came.set()

    async def until(self, count: int) -> None:
        """Wait for so many answers."""
        async with asyncio.timeout(SECONDS):
            while len(self.texts) < count:
                self.came.clear()
                await self.came.wait()


class WatchedTelegram(FakeTelegram):
    """The fake, telling at once what a chat hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[int, Heard] = defaultdict(Heard)

    def show(self, chat: Any, by: Any, text: str, *more: Any, **others: Any) -> Shown:
        """Put a message into a chat."""
        if by == "bot":
            self.heard[chat.id].note(text)
        return super().show(chat, by, text, *more, **others)


class Phone(Person):
    """A person of the other fake, the same."""

    def __init__(self, fake: FakeTwilio, address: str) -> None:
        super().__init__(fake, address)
        self.heard = Heard()

    def gets(self, seen: Seen) -> None:
        """A message arrives."""
        self.heard.note(seen.text)


Say = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Round:
    """What one crowd saw."""

    seconds: float
    waits: Sequence[float]
    unanswered: int
    wrong: int


@dataclass(frozen=True)
class Expected:
    """What one chat alone heard, and how many messages it had heard after each line: a long answer is several."""

    texts: Sequence[str]
    after: Sequence[int]


async def alone(say: Say, heard: Heard, lines: Sequence[str]) -> Expected:
    """One person says all lines with nobody else there, and waits after each until nothing more comes."""
    after = []
    for line in lines:
        before = len(heard.texts)
        await say(line)
        await heard.until(before + 1)
        with contextlib.suppress(TimeoutError):
            while True:
                heard.came.clear()
                await asyncio.wait_for(heard.came.wait(), QUIET_SECONDS)
        after.append(len(heard.texts))
    return Expected([_plain(text) for text in heard.texts], after)


async def crowd(people: Sequence[tuple[Say, Heard]], lines: Sequence[str], expected: Expected, *, burst: bool) -> Round:
    """All people say all lines at once; how long each waited for each answer, and how many chats heard anything else than expected."""
    waits: list[float] = []

    async def one(say: Say, heard: Heard) -> None:
        said: list[float] = []
        for number, line in enumerate(lines):
            said.append(time.perf_counter())
            await say(line)
            if not burst:
                await heard.until(expected.after[number])
        await heard.until(expected.after[-1])
        waits.extend(heard.times[last - 1] - begun for begun, last in zip(said, expected.after, strict=True))

    begun = time.perf_counter()
    done = await asyncio.gather(*(one(say, heard) for say, heard in people), return_exceptions=True)
    took = time.perf_counter() - begun
    lost = sum(one is not None for one in done)
    return Round(took, waits, lost, sum([_plain(text) for text in heard.texts] != expected.texts for _, heard in people))


def _plain(text: str) -> str:
    return NUMBER.sub("0", text)


def at(share: float, values: Sequence[float]) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


# --- many people ----------------------------------------------------------------------------------------------------------------


async def started(folder: Path, **settings: str) -> tuple[asyncio.subprocess.Process, str]:
    """`netra run` with these settings; its address."""
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NETRA_DATA_DIR": str(folder / "data"),
        "NETRA_KEYS_DIR": str(folder / "keys"),
        "NETRA_RUN_DIR": str(folder / "run"),
        "PORT": str(port),
        "NETRA_PANEL_PORT": str(free_port()),
        **settings,
    }
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "bot", "run"]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=log, stderr=log)
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            if process.returncode is not None:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            try:
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return process, f"http://127.0.0.1:{port}"
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise RuntimeError("netra run does not listen")


async def many(folder: Path, chats: int, lines: Sequence[str]) -> None:
    """Both platforms: a crowd that waits for answers, then one that does not."""
    telegram = WatchedTelegram()
    await telegram.start()
    async with FakeTwilio() as twilio:
        process, url = await started(
            folder,
            NETRA_PUBLIC_URL="https://bot.example",
            TELEGRAM_TOKEN=telegram.token,
            TELEGRAM_API_URL=telegram.url,
            TELEGRAM_MODE="webhook",
            TELEGRAM_WEBHOOK_SECRET=SECRET,
            TWILIO_ACCOUNT_SID=twilio.account_sid,
            TWILIO_AUTH_TOKEN=twilio.auth_token,
            TWILIO_WHATSAPP_FROM=twilio.sender,
            TWILIO_API_URL=twilio.url,
            TWILIO_MEDIA_HOSTS="127.0.0.1",
        )
        try:
            twilio.listen(url, public_url="https://bot.example")
            await telegram.until(lambda: telegram.webhook.get("url"))
            telegram.webhook["url"] = f"{url}/telegram/webhook"
            first = iter(range(1, 1_000_000))

            def on_telegram() -> tuple[Say, Heard]:
                person = telegram.person(700_000 + next(first))

                async def say(line: str) -> None:
                    person.says(line)

                return say, telegram.heard[person.chat.id]

            def on_whatsapp() -> tuple[Say, Heard]:
                person = Phone(twilio, f"whatsapp:+62812{next(first):08d}")
                twilio.people[person.address] = person
                return person.says, person.heard

            for name, person in (("Telegram", on_telegram), ("WhatsApp", on_whatsapp)):
                expected = await alone(*person(), lines)
                for burst in (False, True):
                    before = spent(process.pid)
                    found = await crowd([person() for _ in range(chats)], lines, expected, burst=burst)
                    cost = (spent(process.pid) - before) / max(1, len(found.waits)) * 1000
                    kind = "all at once" if burst else "answer by answer"
                    answers = len(found.waits)
                    print(
                        f"{name:9s} {kind:16s} {chats} chats x {len(lines)}: {answers} answered, {found.wrong} chats differ, "
                        f"p50 {at(0.5, found.waits):.2f} s, p95 {at(0.95, found.waits):.2f} s, {answers / found.seconds:.0f} answers/s, "
                        f"{cost:.1f} ms CPU an answer"
                    )
            print(f"refusals: Telegram {len(telegram.refusals)}, Twilio {len(twilio.refusals)}; load {os.getloadavg()[0]:.1f}")
            for refusal in sorted({*telegram.refusals, *map(str, twilio.refusals)}):
                print(f"  {refusal}")
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            await telegram.stop()


# --- what the webhook costs -----------------------------------------------------------------------------------------------------

STEPS = {
    "raw": "read, parse, 200",
    "channel": "and secret, limits, fields",
    "inbox": "and kept: encrypted, committed",
    "whole": "and the turn, its answer committed",
}


async def serve(kind: str, port: int, folder: Path) -> None:
    """One of the servers of the second table."""
    if kind == "raw":
        await servers.raw(port, folder, "")
    elif kind == "whole":
        await servers.netra(port, folder, "")
    else:
        await channel_alone(port, durable(folder) if kind == "inbox" else noted)


async def noted(inbound: Inbound) -> bool:
    """Keep nothing."""
    return True


def durable(folder: Path) -> Receive:
    """Keeps messages as the program does, and does no more with them."""
    url = f"sqlite:///{folder / 'netra.db'}"
    engine = connect(url)
    migrate(engine)
    engine.dispose()
    store = Store(url)
    conversations = Conversations(EpochKeys(folder / "run", Settings(_env_file=None, NETRA_ENV="practice").clock))

    async def kept(inbound: Inbound) -> bool:
        return await store.write_joint(conversations.receive_all, inbound) is not None

    return kept


async def channel_alone(port: int, receive: Receive) -> None:
    """The Telegram channel before a `receive` that does less than the program's."""
    channel = Telegram(servers.TOKEN, api_url="http://127.0.0.1:9", mode="webhook", secret=SECRET, public_url="https://bot.example")
    await channel.start(receive)
    app = web.Application()
    app.add_routes([*channel.routes(), web.get("/healthz", lambda _: asyncio.sleep(0, web.Response()))])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def loaded(port: int, first: int, updates: int) -> float:
    """Post updates over 40 connections; how many were answered 200 a second."""
    numbers = iter(range(first, first + updates))
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}

    async def connection(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = update(number, number // 10, LINES[number % 8])
            async with session.post(f"http://127.0.0.1:{port}/telegram/webhook", data=body, headers=headers) as answer:
                assert answer.status == 200, answer.status

    begun = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=40)) as session:
        await asyncio.gather(*(connection(session) for _ in range(40)))
    return updates / (time.perf_counter() - begun)


async def idle(pid: int) -> float:
    """Wait until a process does nothing any more; its processor seconds."""
    before, quiet = -1.0, 0
    while quiet < 4:
        await asyncio.sleep(0.1)
        now = spent(pid)
        quiet, before = (quiet + 1 if now - before < 0.011 else 0), now
    return before


async def webhook(folder: Path, rounds: int, updates: int) -> None:
    """Load the servers in turn and print what each step adds."""
    running: dict[str, tuple[asyncio.subprocess.Process, int]] = {}
    try:
        for kind in STEPS:
            port, place = free_port(), folder / kind
            place.mkdir()
            with (place / "log").open("wb") as log:
                command = [sys.executable, "-m", "bench.platforms", "--serve", kind, "--port", str(port), "--folder", str(place)]
                running[kind] = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=log, stderr=log), port
        async with aiohttp.ClientSession() as session:
            for kind, (process, port) in running.items():
                while True:
                    if process.returncode is not None:
                        raise RuntimeError((folder / kind / "log").read_text()[-2000:])
                    try:
                        async with session.get(f"http://127.0.0.1:{port}/healthz"):
                            break
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.05)
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in STEPS}
        for turn in range(rounds + 1):
            for kind, (process, port) in running.items():
                before = await idle(process.pid)
                speed = await loaded(port, 10_000_000 + turn * updates, updates)
                cost = (await idle(process.pid) - before) / updates * 1e6
                if turn:  # the first round warms up
                    found[kind].append((speed, cost))
    finally:
        for process, _ in running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
    earlier = 0.0
    for kind, what in STEPS.items():
        speed = statistics.median(one[0] for one in found[kind])
        cost = statistics.median(one[1] for one in found[kind])
        part = statistics.median(one[0] / bare[0] for one, bare in zip(found[kind], found["raw"], strict=True))
        print(f"{what:36s} {speed:6.0f}/s acknowledged ({part:.2f} of the bare handler)  {cost:6.0f} us CPU, {cost - earlier:+6.0f}")
        earlier = cost


async def main(chats: int, messages: int, rounds: int, updates: int) -> None:
    """Measure and print."""
    lines = [LINES[number % len(LINES)] for number in range(messages)]
    with tempfile.TemporaryDirectory() as name:
        people, steps = Path(name) / "people", Path(name) / "steps"
        people.mkdir()
        steps.mkdir()
        await many(people, chats, lines)
        if rounds:
            await webhook(steps, rounds, updates)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("chats", 100), ("messages", 20), ("rounds", 3), ("updates", 1000), ("port", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--serve", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        import uvloop
    except ImportError:
        pass
    else:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if given.serve:
        asyncio.run(serve(given.serve, given.port, given.folder))
    else:
        asyncio.run(main(given.chats, given.messages, given.rounds, given.updates))
