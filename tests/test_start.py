"""The start: an idle server has loaded nothing that only people need, and the first of them gets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from bot.imports import without
from tests.whole import Whole

ROOT = Path(__file__).parents[1]
FOR_PEOPLE = (
    "numpy",
    "PIL",
    "rapidfuzz",
    "reportlab",
    "segno",
    "jinja2",
    "rich",
    "click",
    "typer",
    "lokal",
    "panel",
    "twilio",
    "procrastinate",
)
"""What questions, photos, places, papers, pages and the command line need, and a server that waits does not."""

IDLE = """
import asyncio, json, sys, urllib.request
sys.argv = ["netra", "run"]
import bot.running
from bot.__main__ import main

async def idle():
    found.extend(sorted({name.partition(".")[0] for name in sys.modules}))

found, running = [], bot.running.running

@bot.running.asynccontextmanager
async def watched(netra, **kind):
    async with running(netra, **kind) as urls:
        with await asyncio.to_thread(urllib.request.urlopen, urls[0] + "/healthz") as answer:
            assert answer.status == 200
        await idle()
        netra.stopping.set()
        yield urls

bot.running.running = watched
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(found), file=sys.stderr)
"""


def test_an_idle_server_holds_only_what_it_needs(tmp_path: Path) -> None:
    """Matcher, pictures, places, pages, panel and command line are loaded with the first who needs them, not before."""
    folders = {f"NETRA_{name}_DIR": str(tmp_path / name.lower()) for name in ("DATA", "KEYS", "RUN")}
    telegram = {"TELEGRAM_TOKEN": "123456789:AAF-fake_token-of-the-test_0123456789", "TELEGRAM_API_URL": "http://127.0.0.1:9"}
    environment = folders | telegram | {"NETRA_ENV": "practice", "PORT": "0", "NETRA_PANEL_PORT": "0"}
    ready = [sys.executable, "-m", "bot", "migrate"]
    subprocess.run(ready, cwd=ROOT, env=environment, check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", IDLE], cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert {"aiohttp", "sqlalchemy", "telegram", "bot"} <= loaded
    assert not loaded & set(FOR_PEOPLE)


def test_the_panel_opens_with_its_first_visitor(tmp_path: Path) -> None:
    """Its address takes connections from the start; the pages are made when somebody comes, and for everybody after."""
    with Whole(tmp_path) as whole:
        for _ in range(2):
            with urlopen(f"{whole.panel}/masuk") as answer:
                assert answer.status == 200 and b"<form" in answer.read()


def test_a_hidden_package_is_hidden_only_within() -> None:
    """What is loaded already stays, and afterwards everything can be imported again."""
    with without("tabnanny", "json"):
        assert sys.modules["json"] is json
        with pytest.raises(ModuleNotFoundError):
            import tabnanny
    import tabnanny

    assert tabnanny.verbose == 0
