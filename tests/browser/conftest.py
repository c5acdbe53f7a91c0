"""The whole program as a process of its own, and a real Chromium."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()
SCREENS = Path(__file__).parents[2] / "docs" / "screens"


@dataclass(frozen=True)
class Running:
    """A started program: its addresses, its first staff login and its data folder."""

    public: str
    panel: str
    name: str
    passphrase: str
    folder: Path


@pytest.fixture(scope="session")
def netra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`netra run` in practice mode on free ports, on a day of the campaign."""
    folder = tmp_path_factory.mktemp("netra")
    settings = {
        "NETRA_ENV": "test",
        "NETRA_NOW": "2024-11-18T10:00:00+07:00",
        "NETRA_DATA_DIR": str(folder / "data"),
        "NETRA_KEYS_DIR": str(folder / "keys"),
        "NETRA_RUN_DIR": str(folder / "run"),
        "PORT": "0",
        "NETRA_PANEL_PORT": "0",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "run"],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=Path(__file__).parents[2],
        )
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        name, _, value = line.strip().partition(":")
        found[name] = value.strip()
        if line.startswith("Stop with"):
            break
    assert "Panel" in found, (folder / "log").read_text()
    yield Running(found["Web chat"].split("/chat")[0], found["Panel"].rstrip("/"), found["name"], found["passphrase"], folder)
    process.terminate()
    process.wait(timeout=30)
    process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system; ended with its module, because the driver's event loop stands in the way of other tests."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "no Chromium: run `make browser`"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG as a phone makes it: camera, day, place and a comment inside."""
    picture = Image.linear_gradient("L").resize((900, 700)).convert("RGB")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Contoh", "HP 1"
    exif.get_ifd(0x8825)[1] = "S"
    exif.get_ifd(0x8825)[2] = (5.0, 6.0, 7.0)
    path = tmp_path_factory.mktemp("photo") / "IMG_contoh.jpg"
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif, comment=b"RAHASIA-KOMENTAR")
    path.write_bytes(buffer.getvalue())
    return path


def shoot(page: Page, name: str) -> None:
    """Keep a small screenshot for the README when asked for by NETRA_SCREENS."""
    if os.environ.get("NETRA_SCREENS"):
        SCREENS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENS / f"{name}.png")
