"""Content templates for buttons and lists: one per *shape*, every word of it a variable, made once and remembered by content hash.

Twilio shows buttons only through a Content template. A template per sentence would leave people's words in the account for ever; a
template per shape (so many buttons; so many rows, these with a second line) holds no word at all. `docs/whatsapp.md` has the reasons.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bot.channels.limits import SendError
from bot.channels.twilio_rest import Answer, TwilioRest
from bot.messages import Button

BUTTONS, ROWS = 3, 10
"""Twilio content: three buttons in a session without approval, ten rows of a list."""
BODY, TITLE, ROW, DETAIL, TOKEN = 1024, 20, 24, 72, 200
LIST_BUTTON = 20
AT_MOST = 100
"""So many templates of ours, then no new shape is made; all shapes that sync makes are 17."""
SET_ASIDE_SECONDS, MAKING_SECONDS = 300.0, 4.0
"""A message does not wait long for its template, nor often for a Content API that is down."""
PAGES = 20
GONE = "21655"
"""Twilio: the ContentSid is invalid."""

Kind = Literal["quick_reply", "list_picker"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a template looks like: its kind, and for each choice whether it has a second line."""

    kind: Kind
    details: tuple[bool, ...]

    @property
    def name(self) -> str:
        """A short name: `quick_reply_2`, `list_picker_5`, `list_picker_11110` (the first four rows with a second line)."""
        if not any(self.details):
            return f"{self.kind}_{len(self.details)}"
        return f"{self.kind}_" + "".join("1" if detail else "0" for detail in self.details)


GENERIC = (
    *(Shape("quick_reply", (False,) * count) for count in range(1, BUTTONS + 1)),
    *(Shape("list_picker", (detail,) * count) for detail in (False, True) for count in range(BUTTONS + 1, ROWS + 1)),
)
"""The shapes that are made ahead; others (some rows with a second line, some without) are made when they are first needed."""


def shape_of(text: str, buttons: Sequence[Button]) -> Shape | None:
    """The shape that shows these choices; None when Twilio or WhatsApp would refuse them, so that numbers in the text must do."""
    labels = [_line(button.label) for button in buttons]
    tokens = [button.token for button in buttons]
    words = [text, *labels, *tokens, *(button.detail for button in buttons)]
    if not 1 <= len(buttons) <= ROWS or not text.strip() or _units(text) > BODY:
        return None
    if any("{{" in word for word in words) or not all(labels) or len(set(labels)) < len(labels):
        return None
    if not all(0 < len(token) <= TOKEN for token in tokens) or len(set(tokens)) < len(tokens):
        return None
    if len(buttons) <= BUTTONS:
        return Shape("quick_reply", (False,) * len(buttons)) if all(len(label) <= TITLE for label in labels) else None
    if any(len(label) > ROW for label in labels) or any(len(_line(button.detail)) > DETAIL for button in buttons):
        return None
    return Shape("list_picker", tuple(bool(_line(button.detail)) for button in buttons))


def content(shape: Shape) -> dict[str, Any]:
    """The template of a shape as the Content API takes it, with the names of its parts as samples."""
    names = iter(range(1, 100))
    samples: dict[str, str] = {}

    def variable(sample: str) -> str:
        name = str(next(names))
        samples[name] = sample
        return "{{" + name + "}}"

    parts: dict[str, Any] = {"body": variable("Text")}
    if shape.kind == "quick_reply":
        parts["actions"] = [
            {"type": "QUICK_REPLY", "title": variable(f"Choice {number}"), "id": variable(f"choice_{number}")}
            for number in range(1, len(shape.details) + 1)
        ]
    else:
        parts["button"] = variable("Choose")
        parts["items"] = [
            {"item": variable(f"Choice {number}"), "id": variable(f"choice_{number}")}
            | ({"description": variable(f"About choice {number}")} if detail else {})
            for number, detail in enumerate(shape.details, start=1)
        ]
    types = {f"twilio/{shape.kind.replace('_', '-')}": parts}
    return {"friendly_name": f"netra_{shape.name}", "language": "id", "variables": samples, "types": types}


def variables(shape: Shape, text: str, buttons: Sequence[Button], list_button: str) -> str:
    """The ContentVariables of one message: the same names in the same order as `content` gave them."""
    words = [text] if shape.kind == "quick_reply" else [text, list_button[:LIST_BUTTON] or f"1-{len(buttons)}"]
    for button, detail in zip(buttons, shape.details, strict=True):
        words += [_line(button.label), button.token, *([_line(button.detail)] if detail else [])]
    return filled_in(words)


def filled_in(words: Sequence[str]) -> str:
    """The ContentVariables for these values, numbered from 1."""
    # Twilio has refused a bare apostrophe in this parameter (21656); its escape is the same character in JSON.
    return json.dumps({str(number): word for number, word in enumerate(words, start=1)}).replace("'", "\\u0027")


@dataclass(frozen=True, slots=True)
class Synced:
    """What a synchronisation did: templates that were there, that were made, and that Twilio refused."""

    there: int
    made: int
    refused: int


class Templates:
    """The templates of one account: their ids on file, made when missing, set aside for a while when Twilio refuses one."""

    def __init__(
        self, rest: TwilioRest, content_url: str, file: Path, *, at_most: int = AT_MOST, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.rest, self.file, self.at_most = rest, file, at_most
        self.url = content_url.rstrip("/") + "/v1/Content"
        self._monotonic = monotonic
        self._sids: dict[str, str] | None = None
        self._aside: dict[Shape, float] = {}
        self._down_until = 0.0
        self._making = asyncio.Lock()

    @property
    def count(self) -> int:
        """How many templates are on file."""
        return len(self._known())

    async def sid(self, shape: Shape) -> str:
        """The template's id, made now if it is missing; empty when there is none and none can be had. Never raises."""
        if self._aside.get(shape, 0.0) > self._monotonic():
            return ""
        if found := self._known().get(self.key(shape)):
            return found
        async with self._making:
            self._sids = None  # another process may have made it
            if found := self._known().get(self.key(shape)):
                return found
            if max(self._aside.get(shape, 0.0), self._down_until) > self._monotonic() or self.count >= self.at_most:
                return ""
            try:
                async with asyncio.timeout(MAKING_SECONDS):
                    return await self._make(shape)
            except (SendError, TimeoutError) as error:
                if isinstance(error, SendError) and error.trouble == "bad_request":
                    self._put_aside(shape)
                else:
                    self._down_until = self._monotonic() + SET_ASIDE_SECONDS
                return ""

    def refused(self, shape: Shape, code: str) -> None:
        """Twilio took the same words without the template: do without it for a while; one that is gone is made again after that."""
        known = self._known()
        if code == GONE and known.pop(self.key(shape), None) is not None:
            self._write(known)
        self._put_aside(shape)

    async def sync(self) -> Synced:
        """Every generic shape gets a template: those at Twilio are found again by name, others are made. Raises `SendError`."""
        at_twilio = await self._listed()
        there = made = refused = 0
        known: dict[str, str] = {key: sid for key, sid in self._known().items() if sid in at_twilio.values()}
        self._write(known)
        self._aside.clear()
        self._down_until = 0.0
        for shape in GENERIC:
            key = self.key(shape)
            if found := known.get(key) or at_twilio.get(self._name(shape)):
                known[key] = found
                self._write(known)
                there += 1
                continue
            try:
                await self._make(shape)
                made += 1
            except SendError as error:
                if error.trouble != "bad_request":
                    raise
                refused += 1
        return Synced(there, made, refused)

    def key(self, shape: Shape) -> str:
        """The hash of the account and of the template's content."""
        return hashlib.sha256(json.dumps([self.rest.account_sid, content(shape)], sort_keys=True).encode()).hexdigest()

    def _name(self, shape: Shape) -> str:
        return f"netra_{shape.name}_{self.key(shape)[:12]}"

    async def _make(self, shape: Shape) -> str:
        answer = await self.rest.call("POST", self.url, body=content(shape) | {"friendly_name": self._name(shape)})
        sid = str(answer.data.get("sid") or "")
        if not answer.well or not sid:
            raise _error(answer)
        self._write(self._known() | {self.key(shape): sid})
        return sid

    async def _listed(self) -> Mapping[str, str]:
        """The names and ids of the account's templates."""
        found: dict[str, str] = {}
        url = f"{self.url}?PageSize=500"
        for _ in range(PAGES):
            answer = await self.rest.call("GET", url)
            if not answer.well:
                raise _error(answer)
            for item in answer.data.get("contents") or ():
                found.setdefault(str(item.get("friendly_name")), str(item.get("sid")))
            onward = str((answer.data.get("meta") or {}).get("next_page_url") or "")
            if "?" not in onward:
                break
            # Only the query is taken over: the credentials stay with the address that the operator set.
            url = f"{self.url}?{onward.partition('?')[2]}"
        return found

    def _put_aside(self, shape: Shape) -> None:
        self._aside[shape] = self._monotonic() + SET_ASIDE_SECONDS

    def _known(self) -> dict[str, str]:
        if self._sids is None:
            try:
                read = json.loads(self.file.read_text())
            except (OSError, ValueError):
                read = {}
            self._sids = {str(key): str(sid) for key, sid in read.items()} if isinstance(read, dict) else {}
        return self._sids

    def _write(self, known: Mapping[str, str]) -> None:
        self._sids = dict(known)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            draft = self.file.with_name(f"{self.file.name}.{os.getpid()}")
            draft.write_text(json.dumps(self._sids, indent=1, sort_keys=True))
            draft.replace(self.file)
        except OSError:
            return  # known in memory for now; the next start finds them again by name


def _error(answer: Answer) -> SendError:
    if answer.status in (401, 403):
        return SendError("auth", code=str(answer.code or answer.status))
    return SendError("bad_request" if answer.status == 400 else "down", answer.wait, str(answer.code or answer.status))


def _line(words: str) -> str:
    return " ".join(words.split())


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
