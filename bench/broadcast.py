"""How fast, how exact and how small the delivery of broadcasts is: `python bench/broadcast.py [--short]`.

A fake Bot API in a process of its own answers in 30 to 150 ms and says when each request arrived. Against it run, each in a process of its
own and in the same minute: our sender at 30/s and at 1,000/s, with and without faults (1 % 429, 0.5 % 403, 0.5 % 5xx), the library's own
`AIORateLimiter` loop, ten `kill -9` at random moments, and a growing audience whose memory is watched.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TOKEN = "123456789:AAF-fake_token-of-the-bench_0123456789"
SLOWEST, FASTEST = 0.150, 0.030
FAULTS = {"429": 0.01, "403": 0.005, "500": 0.005}
RETRY_AFTER = 1
DAY = dt.date(2024, 11, 18)
TEN = dt.datetime(2024, 11, 18, 10, tzinfo=dt.timezone(dt.timedelta(hours=7)))
TEXT = "Besok masa tenang. Lepas stiker di mobil Anda."


# --- the fake Bot API ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the fake saw since it was last asked to forget."""

    arrivals: list[float] = field(default_factory=list)
    in_pause: int = 0
    pauses: list[tuple[float, float]] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)


async def serve(port: int) -> None:
    """Answer like the Bot API, until killed."""
    from aiohttp import web

    seen, faults = Seen(), dict.fromkeys(FAULTS, 0.0)
    dice = random.Random(7)
    paused_until = 0.0

    async def send(request: web.Request) -> web.Response:
        nonlocal paused_until
        now = time.monotonic()
        seen.arrivals.append(now)
        form = await request.post()
        chat = str(form.get("chat_id", ""))
        roll, status, wait = dice.random(), 200, 0
        if now < paused_until:
            seen.in_pause += 1
            status, wait = 429, int(paused_until - now) + 1
        else:
            for name, share in faults.items():
                if roll < share:
                    status = int(name)
                    break
                roll -= share
            if status == 429:
                wait = RETRY_AFTER
        await asyncio.sleep(FASTEST + (SLOWEST - FASTEST) * dice.random())
        if status == 429:
            told = time.monotonic()
            seen.pauses.append((told, told + wait))
            paused_until = max(paused_until, told + wait)
        seen.answered[status] += 1
        if status == 200:
            seen.delivered[chat] += 1
            return web.json_response(
                {"ok": True, "result": {"message_id": 1, "date": 0, "chat": {"id": int(chat), "type": "private"}, "text": ""}}
            )
        if status == 429:
            return web.json_response(
                {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": wait}}, status=429
            )
        if status == 403:
            return web.json_response({"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}, status=403)
        return web.Response(status=status, text="Bad Gateway")

    async def forget(request: web.Request) -> web.Response:
        nonlocal seen, faults, paused_until
        seen, paused_until = Seen(), 0.0
        faults = FAULTS if request.query.get("faults") else dict.fromkeys(FAULTS, 0.0)
        return web.Response()

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "arrivals": seen.arrivals,
                "pauses": seen.pauses,
                "in_pause": seen.in_pause,
                "answered": seen.answered,
                "delivered": seen.delivered if request.query.get("whom") else {},
            }
        )

    app = web.Application()
    app.router.add_post("/bot{token}/sendMessage", send)
    app.router.add_post("/forget", forget)
    app.router.add_get("/tell", tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


# --- the senders --------------------------------------------------------------------------------------------------------------------------


class Office:
    """What a sender needs, over one folder."""

    def __init__(self, folder: Path) -> None:
        from storage.broadcasts import Broadcasts
        from storage.models import Table
        from storage.staff_chats import StaffChats
        from storage.store import Store
        from storage.subscribers import Subscribers
        from storage.vault import Keys

        self.store = Store(f"sqlite:///{folder / 'netra.db'}")
        Table.metadata.create_all(self.store.engine)
        keys = Keys(folder / "keys")
        begun = time.monotonic()
        self.clock: Callable[[], dt.datetime] = lambda: TEN + dt.timedelta(minutes=11, seconds=time.monotonic() - begun)
        self.subscribers = Subscribers(keys.subscribers)
        self.broadcasts = Broadcasts(keys.panel, self.subscribers, self.clock)
        self.staff_chats = StaffChats(keys.subscribers, self.clock)

    def prepare(self, count: int) -> None:
        """That many subscribers, and one broadcast whose ten minutes are over."""
        from sqlalchemy import insert

        from bot.messages import Address
        from storage.broadcasts import Broadcasts
        from storage.drafts import Audience, Draft, When
        from storage.models import Subscriber

        same = {"channel": "telegram", "role": "asn", "region": "18.07", "zone": "WIB", "language": "id", "kinds": ",stages,rules,"}

        def page(first: int, last: int) -> Callable[[Any], None]:
            rows: list[dict[str, Any]] = []
            for number in range(first, last):
                address = Address("telegram", str(number))
                name = self.subscribers.name(address)
                rows.append({"id": name, "address": self.subscribers.sealed(name, address), "consent": "1", "day": DAY, **same})
            rows.sort(key=lambda row: row["id"])

            def fill(connection: Any) -> None:
                connection.execute(insert(Subscriber), rows)

            return fill

        for first in range(1, count + 1, 50_000):
            self.store.write_now(page(first, min(first + 50_000, count + 1)))
        draft = Draft("Bench", "stages", When(DAY, DAY), Audience(channels=("telegram",)), telegram={"id": TEXT})
        before = Broadcasts(b"", self.subscribers, lambda: TEN)
        before._key = self.broadcasts._key

        def steps(connection: Any) -> None:
            number = before.save(connection, draft, "rina")
            before.propose(connection, number)
            before.approve(connection, number, "budi", draft.digest)

        self.store.write_now(steps)


class Nowhere:
    """A channel that takes everything at once."""

    name = "telegram"

    async def send(self, address: object, outbound: object) -> Sequence[str]:
        """Take it."""
        return ["1"]


async def deliver(folder: Path, url: str, rate: float) -> None:
    """Send the broadcast of a folder to its end; prints what it cost."""
    from bot.broadcast import Broadcaster
    from bot.channels.telegram import Telegram
    from bot.pacer import Pacer, Recent
    from bot.texts import Texts
    from storage.broadcasts import OVER

    office = Office(folder)
    channel: Any = Telegram(TOKEN, api_url=url) if url else Nowhere()
    pacers = {"telegram": Pacer(rate)}
    if not url:
        pacers["telegram"].rate = 1000.0  # pages of claims as large as they are at the highest real rate, only faster
    sender = Broadcaster(
        office.store, office.broadcasts, office.staff_chats, {"telegram": channel}, pacers, Recent(), Texts.load(), office.clock
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = used.ru_utime + used.ru_stime
    base = used.ru_maxrss
    while True:
        await sender.tick()
        await sender.idle()
        found = office.store.read_now(lambda connection: office.broadcasts.get(connection, 1))
        assert found is not None
        if found.state in OVER or found.state == "paused":
            break
        await asyncio.sleep(0.01)
    used = resource.getrusage(resource.RUSAGE_SELF)
    results = office.store.read_now(lambda connection: office.broadcasts.results(connection, 1))
    counts = {"/".join(key): number for key, number in results.counts.items()}
    cost = {
        "state": found.state,
        "cpu": used.ru_utime + used.ru_stime - before,
        "rss_kib": used.ru_maxrss,
        "base_kib": base,
        "counts": counts,
    }
    print(json.dumps(cost), flush=True)
    if url:
        await channel.stop()
    office.store.close()


async def peer(url: str, rate: float, count: int) -> None:
    """The usual way: the library's bot with its own limiter and its own HTTP client, one task per message."""
    import logging

    from telegram.error import TelegramError
    from telegram.ext import AIORateLimiter, ExtBot
    from telegram.request import HTTPXRequest

    logging.getLogger("httpx").setLevel(logging.WARNING)
    bot: Any = ExtBot(
        TOKEN,
        base_url=f"{url}/bot",
        request=HTTPXRequest(connection_pool_size=256, pool_timeout=60),
        rate_limiter=AIORateLimiter(overall_max_rate=rate, overall_time_period=1, max_retries=3),
    )
    await bot._request[1].initialize()
    waiting: set[asyncio.Task[Any]] = set()

    async def one(chat: int) -> None:
        try:
            await bot.send_message(chat, TEXT)
        except TelegramError:
            return

    for chat in range(1, count + 1):
        waiting.add(asyncio.get_running_loop().create_task(one(chat)))
        if len(waiting) >= 256:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait(waiting)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime}), flush=True)


# --- the measurements ---------------------------------------------------------------------------------------------------------------------


def ask(url: str, *, post: bool = False) -> Any:
    """A request to the fake."""
    with urllib.request.urlopen(urllib.request.Request(url, method="POST" if post else "GET"), timeout=60) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def child(*arguments: object) -> subprocess.Popen[str]:
    """This file as another process."""
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def figures(told: Any, rate: float) -> dict[str, float]:
    """Achieved rate to the allowed one, outside of pauses, and the fullest second."""
    arrivals, pauses = sorted(told["arrivals"]), union(told["pauses"])
    begin, end = arrivals[0], arrivals[-1]
    paused = sum(max(0.0, min(last, end) - max(first, begin)) for first, last in pauses)
    free = [at for at in arrivals if not any(first <= at < last for first, last in pauses)]
    fullest, first = 0, 0
    for last, at in enumerate(arrivals):
        while at - arrivals[first] >= 1.0:
            first += 1
        fullest = max(fullest, last - first + 1)
    return {
        "achieved": (len(free) - 1) / max(end - begin - paused, 0.001) / rate,
        "fullest": fullest / rate,
        "in_pauses": float(told["in_pause"]),
        "paused": paused,
    }


def union(spans: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """The same time without overlaps."""
    found: list[tuple[float, float]] = []
    for first, last in sorted((span[0], span[1]) for span in spans):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def rate_run(url: str, rate: float, seconds: float, *, faults: bool = False, usual: bool = False) -> str:
    """One sender at one rate; one line."""
    count = int(rate * seconds)
    with tempfile.TemporaryDirectory() as folder:
        if not usual:
            Office(Path(folder)).prepare(count)
        ask(f"{url}/forget{'?faults=1' if faults else ''}", post=True)
        process = child("--peer", url, rate, count) if usual else child("--deliver", folder, url, rate)
        try:
            out, _ = process.communicate(timeout=seconds * (30 if usual or faults else 4) + 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            out = ""
    told = ask(f"{url}/tell")
    if not told["arrivals"]:
        return "AIORateLimiter: not measured, it needs aiolimiter (pip install aiolimiter)" if usual else "nothing arrived"
    found = figures(told, rate)
    cost = json.loads(out.splitlines()[-1]) if out.strip() else {"cpu": 0.0}
    name = "AIORateLimiter" if usual else "netra, faults" if faults else "netra"
    micro = 1e6 * cost["cpu"] / max(len(told["arrivals"]), 1)
    line = f"{name:16} {rate:5.0f}/s  achieved {found['achieved']:.3f}  fullest second {found['fullest']:.3f}  CPU {micro:5.0f} us/message"
    if faults:
        line += f"  in pauses {found['in_pauses']:.0f} of {len(told['arrivals'])} ({len(union(told['pauses']))} pauses)"
    return line + ("" if out.strip() else "  (stopped: too slow)")


def memory_run(counts: Sequence[int]) -> list[str]:
    """Peak memory for audiences of different size, through a channel that takes everything at once."""
    lines, first = [], 0
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, __file__, "--prepare", folder, str(count)], check=True, cwd=ROOT)
            begun = time.monotonic()
            out, _ = child("--deliver", folder, "", 5000).communicate(timeout=1200)
            took = time.monotonic() - begun
        cost = json.loads(out.splitlines()[-1])
        first = first or cost["rss_kib"]
        sent = cost["counts"].get("telegram/sent/", 0)
        lines.append(
            f"{count:9,} recipients: {sent:9,} sent, {cost['state']}, peak {cost['rss_kib'] / 1024:.1f} MiB "
            f"({(cost['rss_kib'] - first) / 1024:+.1f}), CPU {1e6 * cost['cpu'] / max(sent, 1):.0f} us/message, {took:.0f} s"
        )
    return lines


def kill_run(url: str, kills: int, count: int, rate: float) -> str:
    """Kill the sender at random moments, start it again, and compare what arrived with what it says."""
    from sqlalchemy import select

    from bot.messages import Address
    from storage.models import Delivery

    dice = random.Random(11)
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder))
        office.prepare(count)
        ask(f"{url}/forget", post=True)
        done = 0
        for _ in range(kills):
            process = child("--deliver", folder, url, rate)
            before = len(ask(f"{url}/tell")["arrivals"])
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and process.poll() is None and len(ask(f"{url}/tell")["arrivals"]) == before:
                time.sleep(0.02)
            time.sleep(dice.uniform(0.0, 0.5 * count / rate / kills))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                done += 1
            process.communicate()
        out, _ = child("--deliver", folder, url, rate).communicate(timeout=120)
        cost = json.loads(out.splitlines()[-1])
        time.sleep(2 * SLOWEST)
        delivered = {chat: int(number) for chat, number in ask(f"{url}/tell?whom=1")["delivered"].items()}
        with office.store.engine.connect() as connection:
            listed = set(connection.execute(select(Delivery.subscriber).where(Delivery.state == "uncertain")).scalars())
        office.store.close()
        missing = [str(number) for number in range(1, count + 1) if str(number) not in delivered]
        skipped = [chat for chat in missing if office.subscribers.name(Address("telegram", chat)) not in listed]
        doubled = sum(number - 1 for number in delivered.values())
    bound = rate * (2 * 0.1 + SLOWEST)
    return (
        f"{done} x kill -9 among {count:,} at {rate:.0f}/s: doubled {doubled}, skipped {len(skipped)}, listed as uncertain {len(listed)} "
        f"({len(listed) / max(done, 1):.0f} a kill, bound {bound:.0f}), of them delivered {len(listed) - len(missing) + len(skipped)}, "
        f"{cost['state']}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="under a minute, with smaller numbers")
    for name, values in (("--fake", 1), ("--deliver", 3), ("--peer", 3), ("--prepare", 2)):
        parser.add_argument(name, nargs=values, help=argparse.SUPPRESS)
    given = parser.parse_args()
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if given.fake:
        asyncio.run(serve(int(given.fake[0])))
    elif given.deliver:
        folder, url, rate = given.deliver
        asyncio.run(deliver(Path(folder), url, float(rate)))
    elif given.peer:
        asyncio.run(peer(given.peer[0], float(given.peer[1]), int(given.peer[2])))
    elif given.prepare:
        office = Office(Path(given.prepare[0]))
        office.prepare(int(given.prepare[1]))
        office.store.close()
    else:
        measure(short=given.short)


def measure(*, short: bool) -> None:
    """All measurements, one after another."""
    begun = time.monotonic()
    seconds = 5.0 if short else 60.0
    fake = child("--fake", 0)
    assert fake.stdout is not None
    url = f"http://127.0.0.1:{fake.stdout.readline().strip()}"
    try:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; answers in {FASTEST * 1000:.0f} to {SLOWEST * 1000:.0f} ms")
        for rate in (30.0, 1000.0):
            print(rate_run(url, rate, seconds), flush=True)
            print(rate_run(url, rate, seconds if rate < 100 or not short else 0.5, usual=True), flush=True)
        for rate in (30.0, 1000.0) if not short else (1000.0,):
            print(rate_run(url, rate, seconds if rate < 100 else 2.0 if short else 10.0, faults=True), flush=True)
        print(kill_run(url, 10, 2000 if short else 10_000, 500.0 if short else 1000.0), flush=True)
    finally:
        fake.kill()
        fake.wait()
    for line in memory_run((1000, 20_000) if short else (1000, 10_000, 1_000_000)):
        print(line, flush=True)
    print(f"took {time.monotonic() - begun:.0f} s, load now {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
