"""Security keys in a real browser, against the program as it is shipped: Chromium's virtual authenticator stands in for the key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
KEY = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasResidentKey": False,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass(frozen=True)
class Office:
    """The panel in production, and an admin who was never here before."""

    panel: str
    passphrase: str


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """`netra staff add` and `netra run` with NETRA_ENV=production on this machine alone."""
    folder = tmp_path_factory.mktemp("office")
    settings = os.environ | {
        "NETRA_ENV": "production",
        "NETRA_DATA_DIR": str(folder / "data"),
        "NETRA_KEYS_DIR": str(folder / "keys"),
        "NETRA_RUN_DIR": str(folder / "run"),
        "NETRA_PUBLIC_URL": "https://lapor.example",
        "PORT": "0",
        "NETRA_PANEL_PORT": "0",
    }

    def netra(*words: str) -> str:
        command = [sys.executable, "-m", "bot", *words]
        return subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    netra("migrate")
    added = netra("staff", "add", "boss", "--role", "admin", "--role", "approver")
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "run"], env=settings, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    address = ""
    for line in process.stdout:
        address = line.split()[1] if "Panel:" in line else address
        if line.startswith("Stop with"):
            break
    yield Office(address.rstrip("/").replace("127.0.0.1", "localhost"), added.split("passphrase:")[1].split()[0])
    process.terminate()
    process.wait(timeout=30)
    process.stdout.close()


def knock(page: Page, office: Office) -> None:
    """Name and passphrase."""
    page.goto(f"{office.panel}/masuk")
    page.fill("#name", "boss")
    page.fill("#passphrase", office.passphrase)
    page.click("main button")


def test_a_key_is_registered_and_signs_in(office: Office, browser: Browser) -> None:
    """The first login registers a key, the next one asks for it; without the key nobody gets in; what is said can be read by everyone."""
    context = browser.new_context(locale="id-ID")
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda line: refused.append(line.text) if "Content Security Policy" in line.text else None)
    devices = context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    key = devices.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})["authenticatorId"]
    knock(page, office)
    expect(page.locator("h1")).to_have_text("Daftarkan kunci pengaman")
    assert Axe().run(page).response["violations"] == []
    page.fill("#name", "kunci kantor")
    page.click("main button")
    page.wait_for_url(re.compile(r"/tim$"))
    page.goto(f"{office.panel}/saya")
    expect(page.locator("main")).to_contain_text("kunci kantor")
    assert Axe().run(page).response["violations"] == []
    page.click("header button")
    knock(page, office)
    expect(page.locator("h1")).to_have_text("Kunci pengaman")
    assert Axe().run(page).response["violations"] == []
    devices.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False})
    page.click("main button")
    expect(page.locator("[data-say=failed]")).to_be_visible()
    devices.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": True})
    page.click("main button")
    page.wait_for_url(re.compile(r"/tim$"))
    page.goto(f"{office.panel}/saya")
    page.fill("#present", office.passphrase)
    page.fill("#passphrase", "tujuh gajah biru menari pelan")
    page.fill("#again", "tujuh gajah biru menari pelan")
    page.click("button:has-text('Ganti')")
    expect(page.locator(".notice")).to_contain_text("Frasa sandi diganti")
    assert refused == []
    context.close()


def test_without_javascript_the_door_says_so(office: Office, browser: Browser) -> None:
    """A browser without JavaScript, and one without security keys, get a sentence instead of a button that does nothing."""
    context = browser.new_context(java_script_enabled=False, locale="id-ID")
    page = context.new_page()
    page.goto(f"{office.panel}/masuk")
    page.fill("#name", "boss")
    page.fill("#passphrase", "tujuh gajah biru menari pelan")
    page.click("main button")
    expect(page.locator("main")).to_contain_text("memerlukan JavaScript")
    context.close()
    context = browser.new_context(locale="id-ID")
    context.add_init_script("delete window.PublicKeyCredential")
    page = context.new_page()
    page.goto(f"{office.panel}/masuk")
    page.fill("#name", "boss")
    page.fill("#passphrase", "tujuh gajah biru menari pelan")
    page.click("main button")
    page.click("main button")
    expect(page.locator("[data-say=unable]")).to_be_visible()
    context.close()
