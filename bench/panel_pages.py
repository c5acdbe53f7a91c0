"""The panel with many tips: how long its pages take over real HTTP, and how much memory they need.

    python -m bench.panel_pages [TIPS]

Makes an installation in a temporary folder, fills it with TIPS tips (10,000 unless told) of one team, signs in as practice mode does,
and asks for each page several times. Prints the median and the slowest time, and how much memory the process holds after each page:
asking for a page again must not need more.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import random
import re
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
from aiohttp import web
from PIL import Image
from sqlalchemy import Connection

from bot.messages import Address
from faq.calendar import Calendar
from panel import Panel, application
from storage import staff
from storage.audit import AuditLog
from storage.cases import Cases, NewTip
from storage.conversations import Conversations
from storage.decoder import clean
from storage.models import Table
from storage.staff import Accounts
from storage.statistics import Statistics
from storage.store import Store
from storage.vault import EpochKeys, Keys, Receipt

ROUNDS = 7
READERS, SOAK_ROUNDS, SOAKS = 8, 2, 3
"""So many people read so many pages at once, so often: memory that grows each time is lost."""
CHAT = Address("web", "bench")
WHATS = (
    "Camat membagikan beras bergambar calon kepada warga saat penyaluran bantuan di balai desa.",
    "Kepala dinas menyukai dan membagikan unggahan calon bupati dari akun resmi kantor.",
    "Guru memakai kaus bergambar calon ketika mengajar dan mengajak murid memilihnya.",
)


def clock() -> dt.datetime:
    """The time it is."""
    return dt.datetime.now(ZoneInfo("Asia/Jakarta"))


def photo(seed: int) -> bytes:
    """A noisy picture of three megapixels, as phones make them."""
    random.seed(seed)
    out = io.BytesIO()
    Image.effect_noise((2048, 1536), 40 + seed).convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()


def fill(store: Store, cases: Cases, conversations: Conversations, tips: int) -> bytes:
    """Send the tips, the last one with ten photos; its case."""
    cleaned = [clean(photo(number)) for number in range(10)]

    def send(connection: Connection, first: int, count: int) -> bytes:
        case = b""
        for number in range(first, first + count):
            drafts = []
            if number == tips - 1:
                for jpeg, facts in cleaned:
                    name = random.randbytes(16)
                    drafts.append(conversations.keep_photo(connection, CHAT, name, jpeg, dict(facts)))
            region = f"18.{number % 12 + 1:02}"
            facts = {
                "indicator": "kampanye",
                "kind": "media_sosial",
                "region": region,
                "region_name": f"Kabupaten {number % 12}, Lampung",
                "when": f"2026-11-{number % 20 + 1:02}",
                "what": f"{WHATS[number % 3]} Kejadian nomor {number}.",
                "who": "Kepala dinas",
                "more": "",
            }
            tip = NewTip(clock().date() - dt.timedelta(days=number % 90), "id", facts, drafts, region)
            case = cases.open(connection, CHAT, tip, Receipt(random.randbytes(16), random.randbytes(32)))
        return case

    last = b""
    for first in range(0, tips, 500):
        last = store.write_now(partial(send, first=first, count=min(500, tips - first)))
    return last


def held() -> float:
    """MiB of memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def cpu_since(spent: float) -> float:
    """Milliseconds of processor time since then."""
    return (time.process_time() - spent) * 1000


@dataclass(frozen=True)
class Measured:
    """A page: milliseconds (median, slowest, of processor time), bytes, and the memory held after the first and the last request."""

    path: str
    median: float
    slowest: float
    cpu: float
    size: int
    first: float
    last: float


async def measure(url: str, name: str, passphrase: str, case: bytes) -> list[Measured]:
    """Ask for every page."""
    found = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}

        async def token(path: str) -> str:
            async with client.get(url + path) as answer:
                match = re.search(r'name="csrf" value="(\w+)"', await answer.text())
                assert match is not None
                return match[1]

        form = {"csrf": await token("/masuk"), "name": name, "passphrase": passphrase}
        await (await client.post(f"{url}/masuk", data=form, headers=headers)).read()
        form = {"csrf": await token("/masuk/pengaman")}
        await (await client.post(f"{url}/masuk/pengaman/nanti", data=form, headers=headers)).read()
        here = f"/laporan/{case.hex()}"
        for path in (
            "/laporan",
            "/laporan?map=all&hal=100",
            "/laporan?map=near",
            "/laporan?map=all&daerah=Kabupaten+3",
            "/laporan?map=all&cari=nomor+7777",
            here,
            f"{here}/serupa",
            "/statistik",
            "/audit",
        ):
            times, size, after = [], 0, []
            spent = time.process_time()
            for _ in range(ROUNDS):
                started = time.perf_counter()
                async with client.get(url + path) as answer:
                    size = len(await answer.read())
                    assert answer.status == 200, (path, answer.status)
                times.append((time.perf_counter() - started) * 1000)
                after.append(held())
            path = path.replace(case.hex(), "...")
            found.append(Measured(path, statistics.median(times), max(times), cpu_since(spent) / ROUNDS, size, after[0], after[-1]))
        async with client.get(url + here) as answer:
            photos = re.findall(r'src="(/laporan/\w+/foto/[^"]+)"', await answer.text())

        async def read() -> None:
            for path in ("/laporan?map=all", "/laporan?map=all&daerah=Kabupaten+3", here) * SOAK_ROUNDS:
                async with client.get(url + path) as answer:
                    await answer.read()

        for soak in range(1, SOAKS + 1):
            before, started, spent = held(), time.perf_counter(), time.process_time()
            await asyncio.gather(*(read() for _ in range(READERS)))
            took, name = (time.perf_counter() - started) * 1000, f"{READERS} readers, {3 * SOAK_ROUNDS} pages each, time {soak}"
            found.append(Measured(name, took, took, cpu_since(spent), 0, before, held()))
        before, started, spent = held(), time.perf_counter(), time.process_time()
        for path in photos:
            await (await client.get(url + path)).read()
        took = (time.perf_counter() - started) * 1000
        found.append(Measured(f"{len(photos)} small photos", took, took, cpu_since(spent), 0, before, held()))
    return found


async def main(tips: int) -> None:
    """Fill, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        keys = Keys(root / "keys")
        store = Store(f"sqlite:///{root / 'netra.db'}")
        Table.metadata.create_all(store.engine)
        conversations = Conversations(EpochKeys(root / "run", clock))
        calendar = Calendar.load()
        cases = Cases(conversations, clock, Statistics(keys.panel, lambda day: ""))
        first = store.write_now(lambda connection: staff.ensure_first(connection, clock))
        assert first is not None
        started = time.perf_counter()
        case = await asyncio.to_thread(fill, store, cases, conversations, tips)
        print(f"{tips:,} tips sent in {time.perf_counter() - started:.1f} s")
        accounts = Accounts(keys.panel, clock, practice=True)
        audit = AuditLog(keys.audit_signing, clock)
        app = application(Panel(store, cases, accounts, audit, None, calendar, clock, True, ""))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        print(f"{held():.0f} MiB held before the first page")
        for page in await measure(url, *first, case):
            print(
                f"{page.path:45} median {page.median:8.1f} ms   slowest {page.slowest:8.1f} ms   cpu {page.cpu:8.1f} ms"
                f"   {page.size / 1024:7.0f} KiB   held {page.first:5.0f} MiB before, {page.last:5.0f} MiB after all"
            )
        await runner.cleanup()
        store.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
