"""Documents that wait a few minutes to be fetched, once, in memory alone.

A link leads to a page with a button, because messengers fetch every link themselves to show a preview; only the button fetches the file.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

MINUTES = 15
AT_MOST = 500
"""So many documents wait at most; the oldest goes first. Each is a name and a few numbers until it is drawn."""

Offer = Callable[[str, str, str, Callable[[], bytes]], tuple[str, str]]
"""Keeps a document for a few minutes: channel, file name, type, how it is made; its token, and its link (empty where none is needed)."""

Serves = Callable[[str], bool]
"""Whether people on a channel can be given a document."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document that can be fetched: what it is called, its type, and how it is made."""

    filename: str
    kind: str
    make: Callable[[], bytes]
    until: float


class Downloads:
    """Keeps documents by a random token until they are fetched or their time is over; `clock` counts seconds."""

    def __init__(self, public_url: str, clock: Callable[[], float]) -> None:
        self._url, self._clock = public_url.rstrip("/"), clock
        self._waiting: dict[str, Waiting] = {}

    def serves(self, channel: str) -> bool:
        """Whether people on this channel can be given a document: outside the web chat only under a public address."""
        return bool(self._url) or channel == "web_chat"

    def offer(self, channel: str, filename: str, kind: str, make: Callable[[], bytes]) -> tuple[str, str]:
        """A token, and the link to it, which the web chat does not need: there the message itself leads to the document."""
        self._forget()
        while len(self._waiting) >= AT_MOST:
            del self._waiting[next(iter(self._waiting))]
        token = secrets.token_urlsafe(24)
        self._waiting[token] = Waiting(filename, kind, make, self._clock() + MINUTES * 60)
        return token, f"{self._url}/unduh/{token}" if channel != "web_chat" else ""

    def known(self, token: str) -> Waiting | None:
        """The document behind a token while it waits."""
        self._forget()
        return self._waiting.get(token)

    def take(self, token: str) -> Waiting | None:
        """The same, once."""
        self._forget()
        return self._waiting.pop(token, None)

    def _forget(self) -> None:
        now = self._clock()
        for token in [token for token, waiting in self._waiting.items() if waiting.until <= now]:
            del self._waiting[token]
