"""The pictures of reminders and papers in docs/screens: `python -m tests.browser.screens broadcasts|papers`.

Broadcasts: two persons in a real Chromium write, approve and follow a reminder of the real program; the fake Bot API blocks two chats
and drops three answers. Papers: certificate, pledge, poster and share card as they are given out (needs pdftoppm).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyotp
import structlog
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Connection

from bot.messages import Address
from faq.entries import load_entries
from storage.practice import Score
from storage.subscribers import Wish
from tests.browser.conftest import ARGUMENTS, SCREENS
from tests.channels.fake_telegram import FakeTelegram, Fault
from tests.whole import PASSPHRASE, Whole

T = TypeVar("T")
WIDTH = 720
COLOURS = 64
NAME = "Siti Rahmawati, S.Pd."
WORDS = """*Besok masa tenang.*

Lepas dulu stiker di mobil Anda, dan jangan memasang yang baru sampai pemungutan suara selesai.

Lengkapnya: bawaslu.go.id"""


def keep(data: bytes, name: str, width: int = 0) -> None:
    """Keep a picture, small: few colours are enough for words."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    if width:
        picture = picture.resize((width, picture.height * width // picture.width), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(SCREENS / f"{name}.png", optimize=True)
    print(f"{name}.png: {(SCREENS / f'{name}.png').stat().st_size / 1000:.0f} kB")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser, headless."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium: run `make browser`"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


class Staff:
    """One of the team with a browser of their own."""

    def __init__(self, whole: Whole, browser: Browser, name: str) -> None:
        self.whole, self.name = whole, name
        self.page: Page = browser.new_context(viewport={"width": 1440, "height": 900}, locale="id-ID").new_page()
        self.open("/masuk")
        self.page.fill("#name", name)
        self.page.fill("#passphrase", PASSPHRASE)
        self.page.click("form.card button")
        self.secret = self.page.inner_text("code.secret").replace(" ", "")
        self.page.fill("#code", self.code())
        self.page.locator("form:has(#code) button").first.click()
        self.page.wait_for_url("**/saya**")

    def open(self, path: str) -> None:
        """Go to a page."""
        self.page.goto(self.whole.panel.rstrip("/") + path)

    def code(self) -> str:
        """A fresh code, a minute later."""
        settings = self.whole.settings
        settings.now = settings.clock() + timedelta(minutes=1)
        return pyotp.TOTP(self.secret).at(settings.now)

    def press(self, selector: str) -> None:
        """Press a button, with a code where one is asked for."""
        form = self.page.locator("form", has=self.page.locator(selector))
        if form.locator("input[name=code]").count():
            form.locator("input[name=code]").fill(self.code())
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state()

    def shot(self, name: str, width: int = 1440, height: int = 900) -> None:
        """Keep what is seen."""
        self.page.set_viewport_size({"width": width, "height": height})
        keep(self.page.screenshot(), name, WIDTH if width > WIDTH else 0)
        self.page.set_viewport_size({"width": 1440, "height": 900})


def broadcasts(folder: Path) -> None:
    """Composer, approval, running row, result."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def on_platform(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    fake = FakeTelegram()
    url = on_platform(fake.start())
    with Whole(folder, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=url) as whole, chromium() as browser:
        netra = whole.netra

        def people(connection: Connection) -> None:
            for name in ("rina", "budi"):
                netra.accounts.add(connection, name, ["broadcaster"], "", PASSPHRASE)
            for chat in range(10_000, 10_600):
                fake.person(chat).chat.started = True
                wish = Wish("asn", "18.07" if chat % 3 else "32.04", "id", ("stages",) if chat % 11 else ("rules",))
                netra.desk.subscribers.subscribe(connection, Address("telegram", str(chat)), wish, date(2024, 11, 1))
            for number in range(60):
                address = Address("whatsapp", f"whatsapp:+628120000{number:04}")
                netra.desk.subscribers.subscribe(connection, address, Wish("asn", "18.07", "id", ("stages",)), date(2024, 11, 1))

        netra.store.write_now(people)
        rina, budi = Staff(whole, browser, "rina"), Staff(whole, browser, "budi")
        rina.open("/siaran/baru")
        written = {"title": "Masa tenang Lampung", "regions": "Lampung", "telegram_id": WORDS, "session_id": WORDS}
        for field, words in (written | {"day": "2024-11-18", "last": "2024-11-18"}).items():
            rina.page.fill(f"#{field}", words)
        rina.press("button[value=count]")
        rina.shot("broadcast-composer", height=2200)
        rina.shot("broadcast-composer-360", 360, 1400)
        rina.press("button[value=propose]")
        budi.open("/siaran/1")
        budi.shot("broadcast-approve", height=1150)
        budi.press("form[action$=setujui] button")
        fake.chats[10_100].blocked = fake.chats[10_200].blocked = True
        whole.settings.now = whole.settings.clock() + timedelta(minutes=11)
        on_platform(fake.until(lambda: len(fake.called("sendMessage")) >= 60, 60))
        for fault in (Fault("drop"), Fault("drop"), Fault("drop")):
            fake.fail("sendMessage", fault)
        on_platform(fake.until(lambda: len(fake.called("sendMessage")) >= 210, 60))
        budi.open("/siaran")
        budi.shot("broadcast-running")
        _wait(lambda: netra.store.read_now(lambda connection: netra.desk.broadcasts.listed(connection, states=("done",))))
        budi.open("/siaran/1")
        budi.shot("broadcast-result")
        budi.shot("broadcast-result-360", 360, 1100)
    on_platform(fake.stop())


def _wait(met: Callable[[], object]) -> None:
    until = time.monotonic() + 120
    while not met():
        assert time.monotonic() < until
        time.sleep(0.2)


def papers(folder: Path) -> None:
    """Certificate, pledge, poster, share card."""
    with Whole(folder, NETRA_PUBLIC_URL="https://netra.example.go.id") as whole:
        documents, day = whole.netra.papers.documents, whole.settings.clock().date()
        score = Score(day, 9, 10)
        code = whole.netra.papers.certificates.code(score)
        keep(_drawn(documents.certificate("id", NAME, score, code), folder), "paper-certificate", 800)
        version = whole.netra.papers.pledges.current.version
        keep(_drawn(documents.pledge("id", NAME, version, day), folder), "paper-pledge", 560)
        keep(documents.card("id", load_entries()["sosmed.like-postingan"]), "share-card", 540)
        with chromium() as browser:
            page = browser.new_page(viewport={"width": 794, "height": 1123}, locale="id-ID")
            page.goto(f"{whole.public}/poster?kantor=SMA+Negeri+1+Way+Jepara")
            page.emulate_media(media="print")
            keep(page.screenshot(), "poster", 560)


def _drawn(pdf: bytes, folder: Path) -> bytes:
    """The first page of a PDF as a picture."""
    (folder / "paper.pdf").write_bytes(pdf)
    subprocess.run(["pdftoppm", "-png", "-r", "110", "-singlefile", str(folder / "paper.pdf"), str(folder / "paper")], check=True)
    return (folder / "paper.png").read_bytes()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("broadcasts", "papers"))
    what = parser.parse_args().what
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        {"broadcasts": broadcasts, "papers": papers}[what](Path(name))
