"""`kill -9` at any moment: what was acknowledged is there after the next start, and no tip exists twice.

With NETRA_KILLS=50 the random test takes fifty moments instead of fifteen.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from storage.cases import Cases, OpenCase
from storage.conversations import Conversations
from storage.models import Case
from storage.staff import Account, listed
from storage.store import Store
from storage.vault import EpochKeys, derive_passphrase, open_receiver_key
from tests.conftest import Clock
from tests.whole import NOW, Person, Story, opening

KILLS = int(os.environ.get("NETRA_KILLS", "15"))
ROOT = Path(__file__).parents[1]
MARKS = {(254, 0, 0): "red", (0, 128, 0): "green", (0, 0, 254): "blue"}


NURSERY = """
import os, sys
import bot.cli, bot.main, panel, storage.staff, lokal
for _ in sys.stdin:
    child = os.fork()
    if not child:
        print("pid:", os.getpid(), flush=True)
        bot.cli.run()
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
"""Loads the program once and starts it as often as it is told to: each start is a process that runs `netra run` from its first line."""


class Server:
    """`netra run` as a process of its own, which can be killed and started again on the same folders."""

    command: tuple[str, ...] = (sys.executable, "-m", "bot", "run")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "NETRA_ENV": "test",
            "NETRA_NOW": NOW,
            "NETRA_DATA_DIR": str(folder / "data"),
            "NETRA_KEYS_DIR": str(folder / "keys"),
            "NETRA_RUN_DIR": str(folder / "run"),
            "PORT": "0",
            "NETRA_PANEL_PORT": "0",
        }
        self.passphrase = ""
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it and wait until it says where it listens."""
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=log, text=True)
        self.listen()

    def listen(self) -> None:
        """Read what a started program says."""
        assert self.process.stdout is not None
        found: dict[str, str] = {}
        for line in self.process.stdout:
            name, _, value = line.strip().partition(":")
            found[name] = value.strip()
            if line.startswith("Stop with"):
                break
        assert "Web chat" in found, (self.folder / "log").read_text()
        self.pid = int(found.get("pid", self.process.pid))
        self.public = found["Web chat"].split("/chat")[0]
        self.passphrase = found.get("passphrase", self.passphrase)
        self.starts += 1

    def kill(self) -> None:
        """Not even a goodbye."""
        os.kill(self.pid, signal.SIGKILL)

    def again(self) -> None:
        """Start it again once it has ended."""
        self.close()
        self.start()

    def stop(self) -> None:
        """End it as an operator would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.close()

    def close(self) -> None:
        """Wait for the end of the process."""
        assert self.process.stdout is not None and self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def cases(self) -> list[tuple[OpenCase, list[bytes]]]:
        """Every tip with its photos, as the first account of the team reads it; the program must be stopped."""
        store = Store(f"sqlite:///{self.folder / 'data' / 'netra.db'}")
        clock = Clock()
        cases = Cases(Conversations(EpochKeys(self.folder / "elsewhere", clock)), clock)

        def read(connection: Any) -> list[tuple[OpenCase, list[bytes]]]:
            account: Account = listed(connection)[0]
            derived = derive_passphrase(self.passphrase, account.salt)
            private = open_receiver_key(derived, account.id, account.public_key, account.private_key)
            found = []
            for name in connection.execute(select(Case.id)).scalars().all():
                case = cases.by_seal(connection, account.id, private, name)
                assert case is not None
                photos = [cases.photo(connection, case.key, name, photo) for entry in case.entries for photo in entry.photos]
                found.append((case, [photo[0] for photo in photos if photo is not None]))
            return found

        try:
            return store.read_now(read)
        finally:
            store.close()


class Nursery(Server):
    """The same with short starts, for many of them."""

    command = (sys.executable, "-c", NURSERY)

    def start(self) -> None:
        """Start the nursery once, and a program in it."""
        if not self.starts:
            with (self.folder / "log").open("a") as log:
                self.process = subprocess.Popen(
                    self.command, env=self.environment, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=log, text=True
                )
        assert self.process.stdin is not None
        print("start", file=self.process.stdin, flush=True)
        self.listen()

    def again(self) -> None:
        """Start another program once the last has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ended\n":
                break
        self.start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running program."""
    made = Server(tmp_path)
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """A running program that starts again quickly."""
    made = Nursery(tmp_path)
    yield made
    if made.process.poll() is None:
        made.stop()


class Stubborn(Person):
    """Somebody whose page sends the same message again when no answer came, and who waits for the server to come back."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.public)
        self.server = server

    def request(self, method: str, path: str, body: bytes | None = None, **more: Any) -> tuple[int, Any]:
        """The request, as often as it takes."""
        while True:
            try:
                return super().request(method, path, body, **more)
            except (OSError, http.client.HTTPException):
                self.server.again()
                self.public = self.server.public

    def sends_json(self, **fields: Any) -> Any:
        """A message with a name of its own."""
        return super().sends_json(**fields, id=secrets.token_hex(8))

    def sends(self, *photos: bytes, name: str = "foto.jpg", nonce: str = "") -> Any:
        """Photos; once more when the bot says that it lost them."""
        super().sends(*photos, name=name, nonce=nonce or secrets.token_hex(8))
        if opening("errors.file_gone") in self.text:
            self.sends(*photos)
        return self.heard


def photo(colour: str) -> bytes:
    """A photo that can be told from others."""
    out = io.BytesIO()
    Image.new("RGB", (80, 60), colour).save(out, "JPEG")
    return out.getvalue()


def colour(data: bytes) -> str:
    """Which photo it was."""
    pixel: Any = Image.open(io.BytesIO(data)).convert("RGB").getpixel((40, 30))
    return MARKS[min(MARKS, key=lambda mark: sum(abs(one - other) for one, other in zip(mark, pixel, strict=True)))]


def test_killed_between_the_second_and_the_third_photo(server: Server) -> None:
    """The draft and both photos are there after the restart; the tip is finished, and the team sees all three."""
    person = Stubborn(server)
    story = Story([photo("red"), photo("green"), photo("blue")])
    person.tip(story, upto="tip.photos")
    person.sends(story.photos.pop(0))
    person.sends(story.photos.pop(0))
    server.kill()
    server.again()
    person.public = server.public
    code = person.tip(story)
    assert len(code) == 20
    person.says(code[-4:])
    server.stop()
    ((case, photos),) = server.cases()
    assert case.tip["what"] == story.words["tip.what"]
    assert [colour(one) for one in photos] == ["red", "green", "blue"]


def test_killed_with_the_code_on_its_way(server: Server) -> None:
    """When the answer with the receipt code is lost, the same request gets it again: one tip, one code, and it opens."""
    person = Stubborn(server)
    person.tip(Story())
    code, heard = person.code, person.heard
    assert code and heard
    again = Person(server.public)
    again.token = person.token
    server.kill()
    server.again()
    again.public = server.public
    status, page = again.request("GET", "/chat")
    assert status == 200 and code[:4] in page and code[-4:] in page
    server.stop()
    assert len(server.cases()) == 1


@pytest.mark.timeout(900)
def test_killed_at_random_moments(nursery: Nursery) -> None:
    """Whatever was going on, everything that was acknowledged stands: each tip once, with its words and all its photos."""
    dice = random.Random(20241127)
    told: list[Story] = []
    kills = 0
    while kills < KILLS:
        person = Stubborn(nursery)
        story = Story([photo("red"), photo("green")])
        story.words["tip.what"] += f" Nomor {len(told)}."
        timer: list[threading.Timer] = []

        def later(timer: list[threading.Timer] = timer) -> None:
            nonlocal kills
            if kills < KILLS and (not timer or not timer[-1].is_alive()) and dice.random() < 0.4:
                kills += 1
                timer.append(threading.Timer(dice.uniform(0.0, 0.08), os.kill, (nursery.pid, signal.SIGKILL)))
                timer[-1].start()

        person.says("bolehkah saya menyukai postingan calon bupati?")
        later()
        person.says("menu")
        code = person.tip(story, after=later)
        assert len(code) == 20, person.text
        for one in timer:
            one.join()
        told.append(story)
    nursery.stop()
    assert "turn failed" not in (nursery.folder / "log").read_text()
    assert nursery.starts > KILLS // 2, "the server was killed while it worked"
    found = nursery.cases()
    assert len(found) == len(told), "a tip was lost or exists twice"
    assert {case.tip["what"] for case, _ in found} == {story.words["tip.what"] for story in told}
    for case, photos in found:
        assert sorted(colour(one) for one in photos) == ["green", "red"], case.tip["what"]
