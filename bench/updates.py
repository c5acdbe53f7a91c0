"""Goals G1 to G4: what an update costs, from the webhook to the committed answer, beside the floor and beside the usual bot.

    python -m bench.updates [--rounds 3] [--updates 1200]

Every server runs in a process of its own and is loaded in turn, round after round, over 40 connections; the figure is its processor time
(user and system, until it is idle again) per update, and the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy import func, select

from bench.servers import SECRET
from storage.models import Conversation, Inbox
from storage.store import connect
from tests.postgres import fresh_database, server
from tests.scale.procfile import free_port

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 40
LINES = ["/lapor", "3", "1", "lamtim", "kembali", "lamtim", "kemarin", "kembali", "kemarin", "kembali", "kembali", "metro"]
TICK = os.sysconf("SC_CLK_TCK")


def spent(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def spent_by_postgres(url: str) -> float:
    """Processor seconds of a PostgreSQL server with all its processes."""
    parent = int((Path(url.partition("host=")[2]) / "data" / "postmaster.pid").read_text().split()[0])
    fields = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()
    total = sum(int(part) for part in fields[11:15]) / TICK
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                total += spent(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


@dataclass
class Server:
    """A server under load."""

    name: str
    kind: str
    folder: Path
    url: str = ""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self.port = free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bench.servers", self.kind, str(self.port), str(self.folder), self.url]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                if self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:])
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/healthz"):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def idle(self) -> float:
        """Wait until it does nothing any more; its processor seconds so far."""
        assert self.process is not None
        before, quiet = -1.0, 0
        while quiet < 4:
            await asyncio.sleep(0.1)
            now = spent(self.process.pid)
            quiet, before = (quiet + 1 if now - before < 0.011 else 0), now
        return before


def update(number: int, chat: int, text: str) -> bytes:
    """An update as Telegram sends it."""
    person = {"id": chat, "is_bot": False, "first_name": "Siti", "last_name": "Aminah", "username": "siti", "language_code": "id"}
    where = {"id": chat, "first_name": "Siti", "last_name": "Aminah", "username": "siti", "type": "private"}
    message = {"message_id": number, "from": person, "chat": where, "date": int(time.time()), "text": text}
    return json.dumps({"update_id": number, "message": message}).encode()


async def load(one: Server, first: int, updates: int, acknowledged: list[int]) -> float:
    """Post updates, each chat's in order; the seconds it took. A server that dies ends it."""
    chats = iter(range(first, first + updates // len(LINES)))
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}

    async def person(session: aiohttp.ClientSession) -> None:
        for chat in chats:
            for place, line in enumerate(LINES):
                number = chat * len(LINES) + place
                try:
                    async with session.post(
                        f"http://127.0.0.1:{one.port}/telegram/webhook", data=update(number, chat, line), headers=headers
                    ) as answer:
                        assert answer.status == 200, answer.status
                        acknowledged.append(number)
                except aiohttp.ClientError:
                    return

    begun = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(person(session) for _ in range(CONNECTIONS)))
    return time.perf_counter() - begun


async def costs(servers: Sequence[Server], rounds: int, updates: int) -> dict[str, list[tuple[float, float, float]]]:
    """For each server and round: its microseconds per update, PostgreSQL's, and updates a second."""
    found: dict[str, list[tuple[float, float, float]]] = {one.name: [] for one in servers}
    for turn in range(rounds + 1):
        for one in servers:
            before, base = await one.idle(), spent_by_postgres(one.url) if one.url else 0.0
            done: list[int] = []
            took = await load(one, 1_000_000 + turn * updates, updates, done)
            after = await one.idle()
            behind = spent_by_postgres(one.url) - base if one.url else 0.0
            if turn:  # the first round warms up
                found[one.name].append(((after - before) / len(done) * 1e6, behind / len(done) * 1e6, len(done) / took))
    return found


async def killed(folder: Path, updates: int) -> tuple[int, int, float]:
    """Kill -9 under load, start again: updates that were answered 200, those of them without a turn, seconds until all were done."""
    one = Server("killed", "netra", folder)
    await one.start()
    done: list[int] = []
    assert one.process is not None
    task = asyncio.create_task(load(one, 5_000_000, updates, done))
    while len(done) < updates // 2 and not task.done():
        await asyncio.sleep(0.01)
    one.process.send_signal(signal.SIGKILL)
    one.process.wait()
    await task
    begun = time.perf_counter()
    await one.start()
    engine = connect(f"sqlite:///{folder / 'data' / 'netra.db'}")
    while True:
        with engine.connect() as connection:
            waiting = connection.execute(select(func.count()).select_from(Inbox)).scalar_one()
            turns = connection.execute(select(func.sum(Conversation.version))).scalar_one()
        if not waiting:
            break
        await asyncio.sleep(0.05)
    engine.dispose()
    one.stop()
    return len(done), max(0, len(done) - turns), time.perf_counter() - begun


def middle(found: dict[str, list[tuple[float, float, float]]], over: str, under: str, place: int = 0) -> float:
    """The median over the rounds of one server's cost over another's."""
    return statistics.median(one[place] / other[place] for one, other in zip(found[over], found[under], strict=True))


async def main(rounds: int, updates: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, server() as address:
        folder = Path(name)
        ours, theirs = fresh_database(address), fresh_database(address)
        servers = [
            Server("raw", "raw", folder / "raw"),
            Server("netra SQLite", "netra", folder / "sqlite"),
            Server("netra PostgreSQL", "netra", folder / "postgres", ours),
            Server("usual PostgreSQL", "usual", folder / "usual", theirs),
            Server("usual SQLite", "usual", folder / "usual-sqlite"),
        ]
        try:
            for one in servers:
                await one.start()
            found = await costs(servers, rounds, updates)
            for one in servers:
                cost, behind, speed = (statistics.median(column) for column in zip(*found[one.name], strict=True))
                print(f"{one.name:18s} {cost:7.0f} us/update  PostgreSQL {behind:6.0f} us/update  {speed:7.0f} updates/s")
        finally:
            for one in servers:
                one.stop()
        for kind in ("SQLite", "PostgreSQL"):
            print(f"G1 {kind}: {middle(found, f'netra {kind}', 'raw'):.1f} times raw (goal: at most 10, better 4)")
        for kind, goal in (("SQLite", 5), ("PostgreSQL", 3.5)):
            print(f"G2 {kind}: {middle(found, f'usual {kind}', f'netra {kind}'):.2f} times less than the usual bot (goal: {goal})")
        print(f"G3: PostgreSQL {middle(found, 'netra PostgreSQL', 'usual PostgreSQL', 1):.2f} of the usual bot's (goal: 0.20)")
        acknowledged, lost, seconds = await killed(folder / "killed", updates * 2)
        print(f"G4: kill -9 after {acknowledged} answers 200: {lost} lost (goal: 0), all done {seconds:.1f} s after the restart began")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=1200)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.updates))
