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
import gc
import json
import os
import random
import re
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
LENGTH, CHAT = re.compile(rb"(?i)content-length: *(\d+)"), re.compile(rb"(?:^|[&\"])chat_id(?:=|\": ?\"?)(\d+)")
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


class Fake(asyncio.Protocol):
    """One connection to the fake. Written on the socket itself: a web framework would take more of the processor than the sender does."""

    def __init__(self, api: Api) -> None:
        self.api, self.held = api, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end]
            length = LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.held) < whole:
                return
            body, self.held = self.held[end + 4 : whole], self.held[whole:]
            self.api.asked(head.split(b" ", 2)[1].decode(), body, self.answer)

    def answer(self, status: int, said: bytes) -> None:
        """Send an answer back, if somebody is there."""
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
            self.transport.write(head.encode() + said)


class Api:
    """What the fake does: `sendMessage` like the Bot API, `/forget` and `/tell` for the bench."""

    def __init__(self) -> None:
        self.seen, self.faults = Seen(), dict.fromkeys(FAULTS, 0.0)
        self.dice = random.Random(7)
        self.paused_until = 0.0

    def asked(self, path: str, body: bytes, answer: Callable[[int, bytes], None]) -> None:
        """Take one request; the answer comes 30 to 150 ms later."""
        if path.startswith("/forget"):
            self.seen, self.paused_until = Seen(), 0.0
            self.faults = FAULTS if "faults" in path else dict.fromkeys(FAULTS, 0.0)
            answer(200, b"")
        elif path.startswith("/tell"):
            answer(200, json.dumps(self._told(whom="whom" in path)).encode())
        else:
            self._send(body, answer)

    def _send(self, body: bytes, answer: Callable[[int, bytes], None]) -> None:
        now = time.monotonic()
        seen, status, wait = self.seen, 200, 0
        seen.arrivals.append(now)
        roll = self.dice.random()
        if now < self.paused_until:
            seen.in_pause += 1
            status, wait = 429, int(self.paused_until - now) + 1
        else:
            for name, share in self.faults.items():
                if roll < share:
                    status = int(name)
                    break
                roll -= share
            if status == 429:
                wait = RETRY_AFTER
        chat = CHAT.search(body)
        after = FASTEST + (SLOWEST - FASTEST) * self.dice.random()
        asyncio.get_running_loop().call_later(after, self._answer, seen, status, wait, chat[1].decode() if chat else "", answer)

    def _answer(self, seen: Seen, status: int, wait: int, chat: str, answer: Callable[[int, bytes], None]) -> None:
        seen.answered[status] += 1
        if status == 429:
            told = time.monotonic()
            seen.pauses.append((told, told + wait))
            self.paused_until = max(self.paused_until, told + wait)
            said = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": wait}}
            answer(429, json.dumps(said).encode())
        elif status == 200:
            seen.delivered[chat] += 1
            answer(200, b'{"ok":true,"result":{"message_id":1,"date":0,"chat":{"id":%s,"type":"private"},"text":""}}' % chat.encode())
        elif status == 403:
            answer(403, b'{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}')
        else:
            answer(status, b"Bad Gateway")

    def _told(self, *, whom: bool) -> Any:
        seen = self.seen
        return {
            "arrivals": seen.arrivals,
            "pauses": seen.pauses,
            "in_pause": seen.in_pause,
            "answered": seen.answered,
            "delivered": seen.delivered if whom else {},
        }


async def serve(port: int) -> None:
    """Answer like the Bot API, until killed."""
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # else what is measured on a busy machine is how late the fake looks at its clock
    api = Api()
    server = await asyncio.get_running_loop().create_server(lambda: Fake(api), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


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
    gc.collect()
    gc.freeze()  # as `netra run` does once it is built
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


def figures(told: Any, rate: float, count: int = 0) -> dict[str, float]:
    """Achieved rate to the allowed one, outside of pauses, and the fullest second.

    The rate is that of the first `count` requests: what is left then waits for another try, seconds after a server error, and not for us.
    """
    arrivals, pauses = sorted(told["arrivals"]), union(told["pauses"])
    begin, end = arrivals[0], arrivals[:count][-1] if count else arrivals[-1]
    paused = sum(max(0.0, min(last, end) - max(first, begin)) for first, last in pauses)
    free = [at for at in arrivals if at <= end and not any(first <= at < last for first, last in pauses)]
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
    found = figures(told, rate, count)
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


def marking(count: int = 3000) -> str:
    """What it costs to mark deliveries durably, claim and result: in pages of 100, and each in commits of its own."""
    from storage.broadcasts import Outcome

    def walk(page: int, most: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            office = Office(Path(folder))
            office.prepare(most)
            (one,) = office.store.write_now(lambda connection: office.broadcasts.due(connection, "bench"))
            settled: list[Outcome] = []
            after, begun = b"", time.perf_counter()
            while names := office.store.read_now(
                lambda connection: office.broadcasts.candidates(connection, one, "telegram", "WIB", after=after, limit=page)  # noqa: B023
            ):
                after, results = names[-1], settled
                claim = office.store.write_now(
                    lambda connection: office.broadcasts.claim(
                        connection,
                        one,
                        "telegram",
                        "bench",
                        zones=("WIB",),
                        lane="WIB",
                        names=names,
                        settled=results,  # noqa: B023
                    )
                )
                settled = [Outcome(who.name, "telegram", "sent") for who in claim.recipients]
            office.store.write_now(lambda connection: office.broadcasts.settle(connection, one.id, settled))
            took = time.perf_counter() - begun
            office.store.close()
        return 1e6 * took / most

    pages, each = walk(100, count), walk(1, count // 10)
    return f"marking durably: {pages:.0f} us a message in pages of 100, {each:.0f} us in commits of their own, 1/{each / pages:.0f}"


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
    print(marking(), flush=True)
    for line in memory_run((1000, 20_000) if short else (1000, 10_000, 1_000_000)):
        print(line, flush=True)
    print(f"took {time.monotonic() - begun:.0f} s, load now {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
