"""Goal G13: how long the webhook takes while the same process sends a broadcast at 1,000 a second, beside an idle one.

    python -m bench.webhook_beside [--rounds 3] [--seconds 4]

Two programs run: one that has nothing to send and one in the middle of a broadcast to a fake Bot API. Both get 50 updates a second in turn,
from people who are new each time; measured is the time from the post to the 200, which comes after the commit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from bench.broadcast import TEN, Office, ask, child
from bench.servers import SECRET, TOKEN
from bench.updates import ROOT, update
from tests.scale.procfile import free_port

RATE = 1000.0
A_SECOND = 50


async def serve(port: int, folder: Path, api: str) -> None:
    """The program over a folder, with paid broadcasts."""
    from datetime import timedelta

    from bot.logs import set_up
    from bot.main import build
    from bot.running import running
    from bot.settings import Settings

    settings = Settings(
        _env_file=None,
        NETRA_ENV="test",
        NETRA_NOW=TEN + timedelta(minutes=11),
        NETRA_DATA_DIR=folder,
        NETRA_KEYS_DIR=folder / "keys",
        NETRA_RUN_DIR=folder / "run",
        NETRA_PUBLIC_URL="https://bot.example",
        PORT=port,
        TELEGRAM_TOKEN=TOKEN,
        TELEGRAM_API_URL=api,
        TELEGRAM_MODE="webhook",
        TELEGRAM_WEBHOOK_SECRET=SECRET,
        TELEGRAM_PAID_BROADCASTS=True,
    )
    set_up(as_json=True)
    async with running(build(settings), panel=False):
        await asyncio.Event().wait()


async def started(port: int, folder: Path, api: str) -> subprocess.Popen[bytes]:
    """Such a program, listening."""
    command = [sys.executable, "-m", "bench.webhook_beside", "--serve", str(port), str(folder), api]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    async with aiohttp.ClientSession() as session:
        while process.poll() is None:
            try:
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return process
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise RuntimeError((folder / "log").read_text()[-2000:])


async def posted(port: int, first: int, seconds: float) -> list[float]:
    """The times of the posts, in milliseconds."""
    took: list[float] = []
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET, "Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session:

        async def one(number: int) -> None:
            begun = time.perf_counter()
            async with session.post(
                f"http://127.0.0.1:{port}/telegram/webhook", data=update(number, number, "privasi"), headers=headers
            ) as answer:
                assert answer.status == 200, answer.status
            took.append(1000 * (time.perf_counter() - begun))

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * A_SECOND)):
                await asyncio.sleep(max(0.0, begun + number / A_SECOND - time.perf_counter()))
                group.create_task(one(first + number))
    return took


def at(share: float, values: Sequence[float]) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measure(folder: Path, api: str, rounds: int, seconds: float) -> None:
    """Measure and print."""
    places = {"idle": folder / "idle", "sending": folder / "sending"}
    processes: list[subprocess.Popen[bytes]] = []
    found: dict[str, list[list[float]]] = {kind: [] for kind in places}
    try:
        ports = {}
        for kind, place in places.items():
            place.mkdir()
            office = Office(place)
            if kind == "sending":
                office.prepare(int(RATE * (rounds * 2 * seconds + 20)))
            office.store.close()
            ports[kind] = free_port()
            processes.append(await started(ports[kind], place, api))
        while not ask(f"{api}/tell")["arrivals"]:
            await asyncio.sleep(0.1)
        for port in ports.values():
            await posted(port, 1, 1.0)
        ask(f"{api}/forget", post=True)
        begun = time.monotonic()
        for turn in range(rounds):
            for kind, port in ports.items():
                found[kind].append(await posted(port, 2_000_000_000 + turn * 100_000, seconds))
        rate = len(ask(f"{api}/tell")["arrivals"]) / (time.monotonic() - begun)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for kind, turns in found.items():
        every = [one for turn in turns for one in turn]
        print(f"{kind:8s} p50 {at(0.5, every):6.1f} ms   p99 {at(0.99, every):6.1f} ms   most {max(every):6.1f} ms")
    ratio = statistics.median(at(0.99, sending) / at(0.99, idle) for idle, sending in zip(found["idle"], found["sending"], strict=True))
    print(f"sent meanwhile: {rate:.0f} messages a second, answers included; load {os.getloadavg()[0]:.1f}")
    print(f"G13 webhook p99: {ratio:.2f} times idle while sending {RATE:.0f} a second (goal: 2)")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.run(serve(int(given.serve[0]), Path(given.serve[1]), given.serve[2]))
        return
    fake = child("--fake", 0)
    assert fake.stdout is not None
    try:
        api = f"http://127.0.0.1:{fake.stdout.readline().strip()}"
        with tempfile.TemporaryDirectory() as name:
            asyncio.run(measure(Path(name), api, given.rounds, given.seconds))
    finally:
        fake.kill()
        fake.wait()


if __name__ == "__main__":
    main()
