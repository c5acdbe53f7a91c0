"""The web chat: complete with plain forms, smoother with JavaScript; and the same conversation as JSON.

The page shows what the bot said last. Nothing of the conversation is kept for display: what was shown is gone from the server.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from bot.channels import Receive
from bot.channels.limits import LIMITS, FetchError
from bot.logs import log
from bot.messages import Address, Attachment, Inbound, Outbound
from bot.templates import Pages

COOKIE = "netra_chat"
PHOTO_BYTES, PHOTOS, TEXT_BYTES = 20 * 1000 * 1000, 10, 20_000
REQUEST_BYTES = 100 * 1000 * 1000

Talk = Callable[[Inbound], Awaitable[Sequence[Outbound]]]


class TooLarge(Exception):
    """An upload is larger than allowed."""


@dataclass(slots=True)
class _Form:
    text: str = ""
    choice: str = ""
    language: str = ""
    nonce: str = ""
    photos: list[bytes] = field(default_factory=list)
    too_large: int = 0


class Unkept(Exception):
    """A message could not be kept; what was said before still stands."""


class WebChat:
    """Routes `/chat` and `/api/chat`."""

    name = "web_chat"
    limits = LIMITS["web_chat"]

    def __init__(
        self,
        pages: Pages,
        words: Mapping[str, Mapping[str, str]],
        *,
        secure: bool,
        busy: type[Exception],
    ) -> None:
        self.pages, self.words, self.secure, self.busy = pages, words, secure, busy
        self._uploads: dict[str, bytes] = {}
        self._talk: Talk | None = None
        self._pending: Callable[[Address], Awaitable[Sequence[Outbound]]] | None = None

    def connect(self, talk: Talk, pending: Callable[[Address], Awaitable[Sequence[Outbound]]]) -> None:
        """Give the channel its way to the conversation: it waits for the answer instead of being sent one."""
        self._talk, self._pending = talk, pending

    # --- as a channel ----------------------------------------------------------------------------------------------------

    def routes(self) -> Sequence[web.RouteDef]:
        """The page, its form, and the JSON twin."""
        return [web.get("/chat", self.page), web.post("/chat", self.form), web.post("/api/chat", self.api)]

    async def start(self, receive: Receive) -> None:
        """Nothing to begin: people come by themselves."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of an upload, once."""
        data = self._uploads.pop(attachment.source, None)
        if data is None:
            raise FetchError("gone")
        return data

    async def send(self, address: Address, outbound: Outbound) -> Sequence[str]:
        """Never called: messages are collected by the page."""
        return []

    async def forget(self, address: Address, message_ids: Sequence[str]) -> None:
        """The page holds nothing; closing it forgets."""

    async def check(self) -> str:
        """Always well."""
        return ""

    # --- requests ------------------------------------------------------------------------------------------------------------

    async def page(self, request: web.Request) -> web.Response:
        """The chat as a page; the first visit begins the conversation."""
        token = request.cookies.get(COOKIE, "")
        address = Address(self.name, token)
        messages: Sequence[Outbound] = []
        if _is_token(token):
            assert self._pending is not None
            messages = await self._pending(address)
        if not messages:
            token = token if _is_token(token) else secrets.token_urlsafe(24)
            address = Address(self.name, token)
            try:
                messages = await self._say(Inbound(address, secrets.token_hex(8), text="/menu", language=_language(request)))
            except self.busy:
                return self._rendered(request, token, [], notice="busy", status=429)
            except Unkept:
                return self._rendered(request, token, [], notice="unkept", status=503)
        return self._rendered(request, token, messages)

    async def form(self, request: web.Request) -> web.StreamResponse:
        """A plain form was sent: answer it and show the page again (post, redirect, get)."""
        token = request.cookies.get(COOKIE, "")
        _same_site(request)
        form = await self._read_form(request)
        if not _is_token(token):
            token = secrets.token_urlsafe(24)
        address = Address(self.name, token)
        inbound = self._inbound(address, form, request)
        if inbound.text or inbound.button or inbound.attachments:
            try:
                await self._say(inbound)
            except self.busy:
                return self._rendered(request, token, [], notice="busy", status=429)
            except Unkept:
                return self._rendered(request, token, [], notice="unkept", status=503)
        response = web.HTTPSeeOther("/chat")
        self._set_cookie(response, token)
        raise response

    async def api(self, request: web.Request) -> web.Response:
        """The same as JSON: `{"text"}`, `{"choice"}` or multipart with `photo` files; answers `{"messages": [...]}`."""
        _same_site(request)
        token = request.cookies.get(COOKIE, "")
        if not _is_token(token):
            token = secrets.token_urlsafe(24)
        if request.content_type.startswith("multipart/") or request.content_type == "application/x-www-form-urlencoded":
            form = await self._read_form(request)
        else:
            form = await self._read_json(request)
        address = Address(self.name, token)
        inbound = self._inbound(address, form, request)
        try:
            messages = await self._say(inbound)
        except self.busy:
            raise web.HTTPTooManyRequests(
                text=json.dumps({"error": "too many messages, wait a minute"}), content_type="application/json"
            ) from None
        except Unkept:
            raise web.HTTPServiceUnavailable(
                text=json.dumps({"error": "the message was not kept, try again in a moment"}), content_type="application/json"
            ) from None
        response = web.json_response({"messages": [as_json(message) for message in messages]})
        self._set_cookie(response, token)
        return response

    # --- inside ------------------------------------------------------------------------------------------------------------------

    async def _say(self, inbound: Inbound) -> Sequence[Outbound]:
        assert self._talk is not None
        try:
            return await self._talk(inbound)
        except self.busy:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was (a full disk, say): the person must learn that it is not kept
            log.error("message not kept", channel=self.name, error=type(error).__name__)
            raise Unkept from None
        finally:
            for item in inbound.attachments:
                self._uploads.pop(item.source, None)

    def _inbound(self, address: Address, form: _Form, request: web.Request) -> Inbound:
        attachments = []
        for photo in form.photos:
            source = secrets.token_hex(8)
            self._uploads[source] = photo
            attachments.append(Attachment(source=source))
        attachments.extend(Attachment(refused="large") for _ in range(form.too_large))
        return Inbound(
            address,
            form.nonce or secrets.token_hex(8),
            text="" if form.choice else form.text,
            button=form.choice,
            attachments=tuple(attachments),
            language=form.language or _language(request),
        )

    async def _read_json(self, request: web.Request) -> _Form:
        try:
            data: Any = json.loads(await request.text())
        except (ValueError, LookupError, RecursionError):
            raise web.HTTPBadRequest(text='{"error": "the body is not JSON"}', content_type="application/json") from None
        if not isinstance(data, dict):
            raise web.HTTPBadRequest(text='{"error": "the body is not an object"}', content_type="application/json")
        return _Form(
            _string(data.get("text"))[:TEXT_BYTES],
            _string(data.get("choice"))[:200],
            _string(data.get("language"))[:8],
            _nonce(data.get("id")),
        )

    async def _read_form(self, request: web.Request) -> _Form:
        form = _Form()
        if request.content_type == "application/x-www-form-urlencoded":
            fields = await request.post()
            form.text, form.choice = str(fields.get("text", "")), str(fields.get("choice", ""))[:200]
            form.nonce = _nonce(fields.get("nonce"))
            return form
        if not request.content_type.startswith("multipart/"):
            raise web.HTTPUnsupportedMediaType
        if (request.content_length or 0) > REQUEST_BYTES:
            raise web.HTTPRequestEntityTooLarge(REQUEST_BYTES, request.content_length or 0)
        try:
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader):
                    await self._read_part(part, form)
        except (ValueError, HttpProcessingError):
            raise web.HTTPBadRequest(text="the form is broken") from None
        return form

    async def _read_part(self, part: BodyPartReader, form: _Form) -> None:
        if part.name == "photo":
            try:
                data = await _bytes(part, PHOTO_BYTES)
            except TooLarge:
                form.too_large += 1
                return
            if data and len(form.photos) < PHOTOS:
                form.photos.append(data)
        elif part.name in ("text", "choice", "nonce", "language"):
            try:
                value = (await _bytes(part, TEXT_BYTES)).decode("utf-8", "replace")
            except TooLarge:
                raise web.HTTPRequestEntityTooLarge(TEXT_BYTES, TEXT_BYTES + 1) from None
            setattr(form, part.name, _nonce(value) if part.name == "nonce" else value)
        else:
            await part.release()

    def _rendered(
        self, request: web.Request, token: str, messages: Sequence[Outbound], *, notice: str = "", status: int = 200
    ) -> web.Response:
        language = _language(request)
        words = self.words["en" if language.startswith("en") else "id"]
        wants = messages[-1].wants if messages else "text"
        html = self.pages.get_template("chat.html").render(
            messages=messages,
            wants=wants,
            words=words,
            notice=words[notice] if notice else "",
            nonce=secrets.token_hex(8),
            language="en" if language.startswith("en") else "id",
        )
        response = web.Response(text=html, content_type="text/html", status=status)
        self._set_cookie(response, token)
        return response

    def _set_cookie(self, response: web.StreamResponse, token: str) -> None:
        response.set_cookie(COOKIE, token, httponly=True, secure=self.secure, samesite="Strict", path="/")


def as_json(message: Outbound) -> dict[str, Any]:
    """A message as `/api/chat` answers it."""
    return {
        "text": message.text,
        "spans": [{"text": span.text, "style": span.style} for span in message.spans],
        "choices": [{"id": button.token, "label": button.label, "detail": button.detail} for button in message.buttons],
        "wants": message.wants,
        "document": f"/unduh/{message.document}" if message.document else "",
    }


async def _bytes(part: BodyPartReader, at_most: int) -> bytes:
    """The part's bytes, read as they come; raises `TooLarge` beyond the limit, with the rest thrown away."""
    found = bytearray()
    over = False
    while chunk := await part.read_chunk(1 << 16):
        if len(found) + len(chunk) > at_most:
            over = True
            found.clear()
        if not over:
            found += chunk
    if over:
        raise TooLarge
    return bytes(found)


def _string(value: object) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _nonce(value: object) -> str:
    text = str(value or "")
    return text if text.isalnum() and len(text) <= 64 else ""


def _is_token(token: str) -> bool:
    return 24 <= len(token) <= 64 and token.replace("-", "a").replace("_", "a").isalnum()


def _language(request: web.Request) -> str:
    return request.headers.get("Accept-Language", "id").split(",")[0].strip()[:8] or "id"


def _same_site(request: web.Request) -> None:
    """Refuse a form that another site sent."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise web.HTTPForbidden
    origin = request.headers.get("Origin")
    if origin and origin != "null" and origin.split("://")[-1] != request.host:
        raise web.HTTPForbidden
