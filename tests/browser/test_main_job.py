"""The main job in a real browser: a tip with a photo, a question, the tip read by staff, the answer read with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Running, shoot


class Visitor:
    """A person at the web chat, with or without JavaScript."""

    def __init__(self, page: Page, *, script: bool) -> None:
        self.page, self.script = page, script

    @property
    def bubbles(self) -> int:
        """How many messages the bot has said on this page."""
        return self.page.locator(".message.bot").count()

    def _after(self, before: int) -> None:
        if self.script:
            self.page.locator(".message.bot").nth(before).wait_for()
        else:
            self.page.wait_for_load_state()

    def says(self, words: str) -> None:
        """Type and send."""
        before = self.bubbles
        self.page.fill("#text", words)
        self.page.click("#send")
        self._after(before)

    def taps(self, label: str) -> None:
        """Press a choice."""
        before = self.bubbles
        self.page.click(f".choices button:has-text('{label}')")
        self._after(before)

    def sends(self, *photos: Path) -> None:
        """Choose photos and send them."""
        before = self.bubbles
        self.page.set_input_files("#photo", list(photos))
        self.page.click("#send")
        self._after(before)

    @property
    def heard(self) -> str:
        """All that is on the page."""
        return self.page.inner_text("#log")


def visit(browser: Browser, netra: Running, *, script: bool = True, width: int = 360, dark: bool = False) -> Visitor:
    """A fresh visitor on a phone, on the start page."""
    context = browser.new_context(
        viewport={"width": width, "height": 740}, java_script_enabled=script, locale="id-ID", color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.goto(netra.public)
    page.click("text=Mulai percakapan")
    page.locator(".message.bot").first.wait_for()
    return Visitor(page, script=script)


def send_tip(visitor: Visitor, photo: Path, place: str = "lamtim") -> str:
    """Send a whole tip; its receipt code."""
    visitor.says("/lapor")
    visitor.taps("Kampanye")
    visitor.taps("Atribut")
    visitor.says(place)
    visitor.taps("Kemarin")
    visitor.says("Camat membagikan stiker bergambar calon kepada pegawai di balai desa sesudah rapat pagi.")
    visitor.says("Camat Way Jepara")
    visitor.sends(photo)
    shoot(visitor.page, f"tip-photos{'' if visitor.script else '-noscript'}")
    visitor.taps("Selesai")
    while "Kirim" not in [label.strip() for label in visitor.page.locator(".choices button span").all_inner_texts()]:
        visitor.taps("Lewati" if visitor.page.locator(".choices button:has-text('Lewati')").count() else "Tidak")
    shoot(visitor.page, f"tip-summary{'' if visitor.script else '-noscript'}")
    visitor.taps("Kirim")
    match = re.search(r"(?:\d{4} ){4}\d{4}", visitor.heard)
    assert match, visitor.heard
    return match[0]


@pytest.mark.parametrize("script", [True, False], ids=["script", "noscript"])
def test_a_tip_with_a_photo_is_answered_with_a_code(browser: Browser, netra: Running, photo: Path, script: bool) -> None:
    """Anyone can send a tip from a phone, with and without JavaScript; retyping the code's end confirms it."""
    visitor = visit(browser, netra, script=script)
    code = send_tip(visitor, photo)
    visitor.says(code[-4:])
    assert "Cocok" in visitor.heard


def test_a_question_in_slang_gets_a_verdict_with_its_legal_basis(browser: Browser, netra: Running) -> None:
    """ "bole ga sy like postingan cabup?" is answered DILARANG, and the basis is one tap away."""
    visitor = visit(browser, netra, width=390)
    shoot(visitor.page, "chat-start")
    visitor.says("bole ga sy like postingan cabup?")
    assert "Menyukai (like) postingan bakal calon, calon, atau tim suksesnya: DILARANG" in visitor.heard
    shoot(visitor.page, "chat-verdict")
    visitor.taps("Dasar hukum")
    assert "SKB 5 Lembaga" in visitor.heard


def test_staff_read_the_tip_and_the_tipster_reads_their_answer(browser: Browser, netra: Running, photo: Path) -> None:
    """From the web chat to the panel and back, without anyone learning who wrote."""
    visitor = visit(browser, netra)
    code = send_tip(visitor, photo, "kota metro")
    staff = browser.new_context(viewport={"width": 1200, "height": 900}, locale="id-ID").new_page()
    log_in(staff, netra)
    shoot(staff, "panel-inbox")
    staff.locator("main li, main tr, main article").filter(has_text="Metro").locator("h2 a").first.click()
    expect(staff.locator("main")).to_contain_text("Camat membagikan stiker bergambar calon")
    expect(staff.locator("main img").first).to_have_js_property("complete", True)
    assert staff.locator("main img").first.evaluate("picture => picture.naturalWidth") > 0
    shoot(staff, "panel-case")
    staff.locator(".panel-tipster textarea").fill("Terima kasih. Di balai desa mana kejadiannya?")
    staff.locator(".panel-tipster button").click()
    staff.wait_for_load_state()
    later = visit(browser, netra)
    later.taps("Cek laporan")
    later.says(code)
    assert "Di balai desa mana kejadiannya?" in later.heard


def log_in(page: Page, netra: Running) -> None:
    """Log in as the first account of practice mode, leaving the second factor for later."""
    page.goto(netra.panel)
    page.fill("input[name=name]", netra.name)
    page.fill("input[name=passphrase]", netra.passphrase)
    page.locator("form.card button").click()
    page.wait_for_load_state()
    if page.get_by_text("Nanti saja").count():
        page.get_by_text("Nanti saja").first.click()
        page.wait_for_load_state()
