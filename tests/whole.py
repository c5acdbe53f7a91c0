"""The whole program, as `netra run` puts it together, on free ports of loopback; and a person who talks with it over real HTTP.

Only the FAQ's matcher is replaced by one that knows a few questions by heart, so that it need not be loaded for each test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPMessage
from http.cookies import SimpleCookie
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from unittest.mock import patch
from urllib.parse import urlsplit

from bot.channels.web_chat import COOKIE
from bot.main import Netra, build
from bot.running import running
from bot.serve import bring_up_to_date
from bot.settings import Settings
from bot.texts import Texts
from faq.match import Faq
from tests.known_faq import KnownFaq

T = TypeVar("T")
NOW = "2024-11-18T10:00:00+07:00"
PASSPHRASE = "enam kuda putih berlari jauh"


class Whole:
    """Started on entry, stopped on exit."""

    def __init__(self, folder: Path, url: str = "", **settings: Any) -> None:
        self.folder = folder
        known: dict[str, Any] = {
            "NETRA_ENV": "test",
            "NETRA_NOW": NOW,
            "NETRA_DATA_DIR": folder / "data",
            "NETRA_KEYS_DIR": folder / "keys",
            "NETRA_RUN_DIR": folder / "run",
            "NETRA_DATABASE_URL": url,
            "PORT": 0,
            "NETRA_PANEL_PORT": 0,
        }
        self.settings = Settings(_env_file=None, **known | settings)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Whole:
        self.folder.joinpath("data").mkdir(parents=True, exist_ok=True)
        bring_up_to_date(self.settings)
        with patch.object(Faq, "load", KnownFaq):
            self.netra: Netra = build(self.settings)
        self.first = self.netra.store.write_now(self.netra.accounts.ensure_first)
        self._thread.start()
        self._running = running(self.netra)
        self.public, self.panel = self.run(self._running.__aenter__())
        self.person = Person(self.public)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self.run(self._running.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()
        self.netra.cleaner.close()
        self.netra.store.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the program's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def receiver(self, name: str = "penelaah") -> None:
        """One more account that tips are sealed to."""
        self.netra.store.write_now(lambda connection: self.netra.accounts.add(connection, name, ["reviewer"], "", PASSPHRASE))


class Person:
    """Somebody with a browser that keeps one cookie; every call is one HTTP request."""

    def __init__(self, public: str) -> None:
        self.public = public
        self.token = ""
        self.heard: Any = {"messages": []}
        self.headers: HTTPMessage = HTTPMessage()

    def request(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = "", token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """One request with the chat's cookie; status and body (JSON when it is JSON)."""
        where = urlsplit(self.public)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=60)
        sent = self.token if token is None else token
        known = {name.replace("_", "-"): value for name, value in headers.items()}
        known |= ({"Content-Type": kind} if kind else {}) | ({"Cookie": f"{COOKIE}={sent}"} if sent else {})
        try:
            connection.request(method, path, body, known)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        self.headers = answer.headers
        for line in answer.headers.get_all("Set-Cookie", []):
            cookie = SimpleCookie(line)
            if COOKIE in cookie and token is None:
                self.token = cookie[COOKIE].value
        if answer.headers.get_content_type() == "application/json":
            return answer.status, json.loads(data)
        return answer.status, data.decode("utf-8", "replace")

    def sends_json(self, **fields: Any) -> Any:
        """A JSON body to the chat; what is answered."""
        status, self.heard = self.request("POST", "/api/chat", json.dumps(fields).encode(), kind="application/json")
        assert status == 200, self.heard
        return self.heard

    def says(self, text: str, **more: Any) -> Any:
        """Type a line."""
        return self.sends_json(text=text, **more)

    def taps(self, label: str) -> Any:
        """Press the button with this label."""
        found = [choice["id"] for choice in self.choices if choice["label"] == label]
        assert found, f"no button {label!r}; last heard:\n{self.text}"
        return self.sends_json(choice=found[0])

    def sends(self, *photos: bytes, name: str = "IMG_RAHASIA.jpg", nonce: str = "") -> Any:
        """Send photos as a browser does."""
        body, kind = multipart([("nonce", nonce.encode(), "")] if nonce else [], [("photo", photo, name) for photo in photos])
        status, self.heard = self.request("POST", "/api/chat", body, kind=kind)
        assert status == 200, self.heard
        return self.heard

    @property
    def text(self) -> str:
        """All that was said last."""
        return "\n".join(message["text"] for message in self.heard["messages"])

    @property
    def choices(self) -> list[dict[str, str]]:
        """The choices under the last message that has any."""
        return next((message["choices"] for message in reversed(self.heard["messages"]) if message["choices"]), [])

    @property
    def labels(self) -> list[str]:
        """What they are called."""
        return [choice["label"] for choice in self.choices]

    @property
    def code(self) -> str:
        """The receipt code in what was said last, bare."""
        found = re.search(r"\b\d{4}(?: \d{4}){4}\b", self.text)
        return found[0].replace(" ", "") if found else ""

    def tip(self, story: Story, *, upto: str = "", after: Callable[[], None] = lambda: None) -> str:
        """Tell a story from the greeting to the code, step by step, and return the code; stop at the question `upto`.

        `after` is called after every answer.
        """
        if not self.heard["messages"] or self.asked == "":
            self.says("lapor")
            after()
        for _ in range(40):
            if self.code or (upto and self.asked == upto):
                return self.code
            self._next(story)
            after()
        raise AssertionError(f"the tip never ended; last heard:\n{self.text}")

    @property
    def asked(self) -> str:
        """The name of the tip's question that waits, as far as its wording tells."""
        said = [message["text"] for message in reversed(self.heard["messages"])]
        return next((name for text in said for name in QUESTIONS if opening(name) in text), "")

    def _next(self, story: Story) -> None:
        labels = self.labels
        if "Kirim" in labels:
            self.taps("Kirim")
        elif self.asked.startswith("tip.photos") and "Selesai" in labels:
            if story.photos:
                self.sends(story.photos.pop(0))
            else:
                self.taps("Selesai")
        elif self.asked in story.words:
            self.says(story.words[self.asked])
        elif preferred := next((label for label in ("Lewati", "Tidak", "Tidak yakin") if label in labels), ""):
            self.taps(preferred)
        else:
            self.taps(labels[0])


@dataclass
class Story:
    """What somebody has to tell."""

    photos: list[bytes] = field(default_factory=list)
    words: dict[str, str] = field(
        default_factory=lambda: {
            "tip.where": "way jepara",
            "tip.when": "kemarin",
            "tip.what": "RAHASIA KEJADIAN: camat membagikan unggahan calon bupati di grup kantor dan meminta stafnya menyukai.",
            "tip.who": "RAHASIA PELAKU camat",
        }
    )


QUESTIONS = (
    "tip.photos_more",
    "tip.photos",
    "tip.indicator",
    "tip.kind",
    "tip.where_which",
    "tip.where",
    "tip.when",
    "tip.what",
    "tip.who",
)


@cache
def opening(name: str) -> str:
    """The first words of a question, by which it is known."""
    return re.split(r"[{.?:,]", Texts.load().plain("id", name, Blank({"": ""})).replace("\0", "{"))[0].strip()


class Blank(dict[str, Any]):
    """Stands for all facts."""

    def __missing__(self, key: str) -> str:
        return "\0"


def multipart(fields: Sequence[tuple[str, bytes, str]], files: Sequence[tuple[str, bytes, str]]) -> tuple[bytes, str]:
    """A form with files, and its content type."""
    edge = secrets.token_hex(16)
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        + (f'; filename="{filename}"\r\nContent-Type: image/jpeg'.encode() if filename else b"")
        + b"\r\n\r\n"
        + value
        + b"\r\n"
        for name, value, filename in (*fields, *files)
    ]
    return b"".join(parts) + f"--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"
