"""One pace for three processes, one of them killed on the way: `python -m bench.budget [--seconds 20]` (goal G6).

Three senders lease their slots from one row of a real PostgreSQL and send to a fake Bot API that notes every arrival; after a third of the
time one is killed with -9. Measured at the fake: messages to the allowed number, the fullest second, and the statements on the row.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
from sqlalchemy import text

from bench.broadcast import TOKEN, ask, child, figures
from bot.budget import SharedBudget
from bot.pacer import Pacer
from storage.store import connect
from tests.postgres import bring_up, fresh_database, server

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 3
ON_THE_WIRE = 250
STATEMENTS = text("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'send_budget'")


async def send(url: str, api: str, rate: float, begin: float, end: float) -> None:
    """Send as fast as the row lets, from one moment to another of the machine's clock."""
    pacer, engine = Pacer(rate), connect(url)
    budget = SharedBudget(engine, {"telegram": pacer})
    await budget.start()
    sending: set[asyncio.Task[None]] = set()
    number = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=ON_THE_WIRE)) as session:

        async def one(chat: int) -> None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(f"{api}/bot{TOKEN}/sendMessage", data={"chat_id": chat, "text": "halo"}) as answer:
                    await answer.read()

        await asyncio.sleep(begin - time.monotonic())
        while time.monotonic() < end:
            while len(sending) >= ON_THE_WIRE:
                await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
            await pacer.wait_behind(longest=60.0)
            number += 1
            task = asyncio.get_running_loop().create_task(one(number))
            sending.add(task)
            task.add_done_callback(sending.discard)
        if sending:
            await asyncio.wait(sending)
    await budget.stop()
    engine.dispose()


def together(address: str, api: str, rate: float, seconds: float) -> str:
    """Three processes for so long; one line."""
    url = fresh_database(address)
    bring_up(url)
    ask(f"{api}/forget", post=True)
    begin = time.monotonic() + 3.0  # all have started by then
    more = [sys.executable, "-m", "bench.budget", "--send", url, api, str(rate), str(begin), str(begin + seconds)]
    processes = [subprocess.Popen(more, cwd=ROOT) for _ in range(PROCESSES)]
    time.sleep(max(0.0, begin + seconds / 3 - time.monotonic()))
    processes[0].send_signal(signal.SIGKILL)
    for process in processes:
        process.wait(timeout=seconds + 30)
    engine = connect(url)
    time.sleep(0.5)  # PostgreSQL counts its statements when a session ends
    with engine.connect() as connection:
        statements = int(connection.execute(STATEMENTS).scalar_one())
    engine.dispose()
    found = figures(ask(f"{api}/tell"), rate)
    return (
        f"{PROCESSES} processes, one killed  {rate:5.0f}/s  {seconds:.0f} s  achieved {found['achieved']:.3f}  "
        f"fullest second {found['fullest']:.3f}  statements {statements / seconds:.1f}/s  load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--send", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send:
        with contextlib.suppress(ImportError):
            import uvloop

            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        url, api, *numbers = given.send
        asyncio.run(send(url, api, *map(float, numbers)))
        return
    fake = child("--fake", 0)
    assert fake.stdout is not None
    try:
        api = f"http://127.0.0.1:{fake.stdout.readline().strip()}"
        with server() as address:
            for rate in (30.0, 80.0, 1000.0):
                print(together(address, api, rate, given.seconds), flush=True)
    finally:
        fake.kill()
        fake.wait()


if __name__ == "__main__":
    main()
