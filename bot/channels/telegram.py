"""Telegram: updates in, by webhook or by polling; messages out as HTML with inline keyboards, through the library's `Bot`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from aiohttp import web
from telegram import Bot, MenuButtonCommands
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, TelegramError
from yarl import URL

from bot.channels import Receive
from bot.channels.chat_pace import ChatPace
from bot.channels.fetching import fetched
from bot.channels.limits import LIMITS, FetchError, SendError, lay_out
from bot.channels.telegram_http import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    AiohttpRequest,
    NotTheApi,
    Throttled,
    TooLarge,
    Unanswered,
    Unreached,
)
from bot.channels.telegram_updates import FILE_BYTES, UPDATES, Json, number, part, read_update, words
from bot.logs import log
from bot.messages import Address, Attachment, Button, Outbound, Span

WEBHOOK = "/telegram/webhook"
BODY_BYTES = 1 << 20
FETCH_SECONDS = 60.0
WEBHOOK_CONNECTIONS = 100
"""Chats that Telegram may deliver at once (Bot API, setWebhook: at most 100)."""
POLL_SECONDS = 25
PAUSES = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between attempts while the platform cannot be reached, or answers without waiting."""
PRESS_SECONDS = 3.0
"""So long a message waits for the confirmation of the button press that it answers."""
TIDY_SECONDS = 0.2
"""At most one old keyboard in so many seconds is taken away: the pace of sending does not count these requests."""
BUSY_SECONDS = 3.0
HELD_BACK, HELD_IN_ALL = 100, 5000
"""So many messages of one chat that sends too much, and of all such chats, wait for their turn while polling; the rest is passed over."""
PATIENT_TIMES, PATIENT_SECONDS = 5, 60.0
"""So often, and so long each time, a reply waits here for a chat that is written to too fast; then the sender decides."""
DOUBT_PAUSES = (0.5, 2.0)
"""Seconds before a reply whose request was not answered is sent again."""
DELETE_AT_ONCE = 100
FORGET_PAUSES = (1.0, 3.0, 10.0)
"""Seconds between attempts to delete messages: people were told that they will be gone."""
NO_PREVIEW = json.dumps({"is_disabled": True})
LONG_LABEL = 18
"""Two labels up to this length fit beside each other on a phone."""
PENDING_MANY = 100
DRAWN_KEPT = 4
"""Messages to many whose drawing is kept: two broadcasts at a time, in two languages."""
NEWS_SECONDS = 3600
SECRET_SECONDS = 600.0
"""So long a message with a receipt code stays in the chat, if it is not deleted before (facts: security design, 4.3)."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the platform shows of the bot before a person has written: an empty text is left as it is."""

    name: str = ""
    description: str = ""
    short_description: str = ""


class Telegram:
    """The Telegram channel.

    `commands` and `welcome` are by language; Indonesian is shown where a person's language has none. Without a `secret` the webhook's
    secret is derived from the token. `busy` is what `receive` raises when one chat sends too much: it must not hold up the others.
    """

    name = "telegram"
    limits = LIMITS["telegram"]

    def __init__(
        self,
        token: str,
        *,
        api_url: str = "https://api.telegram.org",
        mode: Literal["polling", "webhook"] = "polling",
        secret: str = "",
        public_url: str = "",
        commands: Mapping[str, Sequence[tuple[str, str]]] | None = None,
        welcome: Mapping[str, Welcome] | None = None,
        busy: type[Exception] | None = None,
    ) -> None:
        # The library's debug lines hold the token and people's words.
        logging.getLogger("telegram").setLevel(logging.WARNING)
        self._mode, self._public_url = mode, public_url.rstrip("/")
        self._commands, self._welcome = commands or {}, welcome or {}
        self._secret = secret or hmac.new(token.encode(), b"telegram webhook", hashlib.sha256).hexdigest()
        api_url = api_url.rstrip("/")
        self._methods, self._files = f"{api_url}/bot{token}", f"{api_url}/file/bot{token}"
        self._token_looks_right = re.fullmatch(r"\d+:[\w-]+", token, re.ASCII) is not None
        self._http = AiohttpRequest()
        self._bot = Bot(token or "none", f"{api_url}/bot", f"{api_url}/file/bot", request=self._http, get_updates_request=self._http)
        self._receive: Receive | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._presses: dict[str, set[asyncio.Future[None]]] = {}
        self._tidied = self._told_to_wait = 0.0
        self._pace = ChatPace()
        self._kept_drawn: deque[tuple[Outbound, Sequence[str]]] = deque(maxlen=DRAWN_KEPT)
        self._partly: dict[str, tuple[Outbound, list[str]]] = {}
        self._busy = (busy,) if busy else ()
        self._held: dict[str, list[object]] = {}
        self._held_in_all, self._passed_over = 0, False
        self._kept: set[int] = set()

    # --- life ------------------------------------------------------------------------------------------------------------------

    def routes(self) -> Sequence[web.RouteDef]:
        """The webhook; in polling mode nothing."""
        return [web.post(WEBHOOK, self._webhook)] if self._mode == "webhook" else []

    async def start(self, receive: Receive) -> None:
        """Begin to receive. Registration and polling go on in the background, for as long as it takes."""
        self._receive = receive
        self._spawn(self._poll() if self._mode == "polling" else self._register())

    async def stop(self) -> None:
        """Stop receiving and close every connection; what was not received is delivered again at the next start."""
        self._receive = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.shutdown()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _register(self) -> None:
        async def webhook() -> None:
            await self._bot.set_webhook(
                self._public_url + WEBHOOK,
                secret_token=self._secret,
                allowed_updates=UPDATES,
                max_connections=WEBHOOK_CONNECTIONS,
            )

        await _until_done("webhook not registered", webhook)
        await self._introduce()

    async def _introduce(self) -> None:
        """Commands, menu and welcome; each is done without when it fails."""
        await _once("menu not set", self._bot.set_chat_menu_button(menu_button=MenuButtonCommands()))
        for language, commands in self._commands.items():
            if commands:
                code = None if language == "id" else language
                await _once(f"commands ({language}) not set", self._bot.set_my_commands(list(commands), language_code=code))
        for language, welcome in self._welcome.items():
            await _once(f"welcome ({language}) not set", self._welcome_in(None if language == "id" else language, welcome))

    async def _welcome_in(self, code: str | None, welcome: Welcome) -> None:
        # Asked first: the platform lets a name be set a few times a day only.
        if welcome.name and (await self._bot.get_my_name(language_code=code)).name != welcome.name:
            await self._bot.set_my_name(welcome.name, language_code=code)
        if welcome.description and (await self._bot.get_my_description(language_code=code)).description != welcome.description:
            await self._bot.set_my_description(welcome.description, language_code=code)
        short = welcome.short_description
        if short and (await self._bot.get_my_short_description(language_code=code)).short_description != short:
            await self._bot.set_my_short_description(short, language_code=code)

    # --- receiving -----------------------------------------------------------------------------------------------------------------

    async def _webhook(self, request: web.Request) -> web.Response:
        given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._secret.encode()):
            return web.Response(status=403)
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            return web.Response(status=415)
        body = await _body(request)
        if body is None:
            return web.Response(status=413)
        try:
            update = json.loads(body)
        except (ValueError, RecursionError):
            return web.Response(status=400)
        try:
            await self._take(update)
        except self._busy:
            return web.Response(status=429, headers={"Retry-After": str(int(BUSY_SECONDS))})
        except Exception as error:  # noqa: BLE001 - whatever it was: the platform must learn that the update is not kept
            log.error("update not kept", channel=self.name, error=type(error).__name__)
            return web.Response(status=500)
        return web.Response()

    async def _poll(self) -> None:
        await _until_done("webhook not taken away", self._bot.delete_webhook)
        self._spawn(self._introduce())
        offset, trouble, pauses = 0, "", _pauses()
        while True:
            try:
                asked = time.monotonic()
                updates = await self._http.call(
                    f"{self._methods}/getUpdates",
                    {"offset": str(offset), "timeout": str(POLL_SECONDS), "allowed_updates": json.dumps(UPDATES)},
                    waits=POLL_SECONDS,
                )
                offset, failure = await self._take_all(updates)
                if failure is not None:
                    raise failure
                if not offset and time.monotonic() - asked < PAUSES[0]:
                    await asyncio.sleep(PAUSES[0])  # a server that does not wait for updates is not to be asked without end
            except Exception as error:  # noqa: BLE001 - no fault, of the network or of ours, may end the polling
                if type(error).__name__ != trouble:
                    trouble = type(error).__name__
                    log.warning("updates not received, trying again", channel=self.name, error=trouble)
                if isinstance(error, Conflict):
                    await _once("webhook not taken away", self._bot.delete_webhook())
                await asyncio.sleep(max(next(pauses), _seconds(error)))
            else:
                if trouble:
                    log.info("updates received again", channel=self.name)
                trouble, pauses = "", _pauses()

    async def _take_all(self, updates: object) -> tuple[int, Exception | None]:
        """Keep updates, in order within each chat: the offset that confirms all before the first that was not kept, and why it was not.

        The offset is 0 when there is nothing to confirm: after a week of silence the platform may go on with smaller numbers.
        """
        if not isinstance(updates, list):
            raise NotTheApi(200)
        lanes: dict[str, list[tuple[int, object]]] = {}
        numbers = [-1]
        for update in updates:
            update_id = number(update, "update_id") if isinstance(update, dict) else None
            if update_id is not None:
                numbers.append(update_id)
                inbound = read_update(update)
                if inbound is not None and update_id not in self._kept:
                    lanes.setdefault(inbound.address.chat, []).append((update_id, update))
        failures = [failure for failure in await asyncio.gather(*(self._take_lane(*lane) for lane in lanes.items())) if failure]
        if not failures:
            self._kept.clear()
            return max(numbers) + 1, None
        first, error = min(failures, key=lambda failure: failure[0])
        self._kept = {update_id for update_id in self._kept if update_id > first}
        return first, error

    async def _take_lane(self, chat: str, lane: Sequence[tuple[int, object]]) -> tuple[int, Exception] | None:
        """Keep one chat's updates; the first that could not be kept, with its error."""
        for update_id, update in lane:
            try:
                if chat in self._held:
                    self._hold(chat, update)
                else:
                    await self._take(update)
            except self._busy:
                self._hold(chat, update)
            except Exception as error:  # noqa: BLE001 - the other chats go on
                return update_id, error
            self._kept.add(update_id)
        return None

    def _hold(self, chat: str, update: object) -> None:
        """Keep an update of a chat that sends too much in memory: polling has no way to leave one chat's updates with the platform."""
        held = self._held.get(chat, [])
        if len(held) >= HELD_BACK or self._held_in_all >= HELD_IN_ALL:
            if not self._passed_over:
                log.warning("too many messages of busy chats, passed over", channel=self.name, held=self._held_in_all)
            self._passed_over = True
            return
        held.append(update)
        self._held_in_all += 1
        if chat not in self._held:
            self._held[chat] = held
            self._spawn(self._take_held(chat))

    async def _take_held(self, chat: str) -> None:
        held = self._held[chat]
        while held:
            await asyncio.sleep(BUSY_SECONDS)
            try:
                await self._take(held[0])
            except Exception as error:  # noqa: BLE001 - it is tried again
                log.debug("still held back", channel=self.name, error=type(error).__name__)
            else:
                held.pop(0)
                self._held_in_all -= 1
        del self._held[chat]
        self._passed_over = self._passed_over and bool(self._held)

    async def _take(self, update: object) -> None:
        """Keep one update; what it raises means that it was not kept. A press of a button is confirmed once it is kept."""
        inbound = read_update(update)
        if inbound is None or not isinstance(update, dict):
            return
        if self._receive is None:
            raise RuntimeError("not started")
        if not inbound.button:
            await self._receive(inbound)
            return
        chat = inbound.address.chat
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._presses.setdefault(chat, set()).add(confirmed)
        try:
            new = await self._receive(inbound)
        except BaseException:
            self._confirmed(chat, confirmed)
            raise
        if new:
            self._spawn(self._confirm(chat, confirmed, update["callback_query"]))
        else:
            self._confirmed(chat, confirmed)

    async def _confirm(self, chat: str, confirmed: asyncio.Future[None], query: Json) -> None:
        try:
            # A press that is too old to be confirmed was kept all the same.
            await self._quietly(self._bot.answer_callback_query(words(query, "id")))
        finally:
            self._confirmed(chat, confirmed)
        message = part(query, "message")
        now = time.monotonic()
        if number(message, "date") and now - self._tidied >= TIDY_SECONDS and now >= self._told_to_wait:
            self._tidied = now
            await self._quietly(self._bot.edit_message_reply_markup(int(chat), number(message, "message_id")))

    def _confirmed(self, chat: str, confirmed: asyncio.Future[None]) -> None:
        if not confirmed.done():
            confirmed.set_result(None)
        waiting = self._presses.get(chat, set())
        waiting.discard(confirmed)
        if not waiting:
            self._presses.pop(chat, None)

    @staticmethod
    async def _quietly(request: Awaitable[object]) -> None:
        try:
            await request
        except Exception as error:  # noqa: BLE001 - the message counts, not this
            log.debug("done without", channel="telegram", error=type(error).__name__)

    # --- sending ---------------------------------------------------------------------------------------------------------------------

    async def send(self, address: Address, outbound: Outbound) -> Sequence[str]:
        """Send one message, in several texts where it is long; the ids of all of them. Raises `SendError`.

        After an error that asks for another attempt the same message goes on after the texts that were sent.
        """
        texts = self._drawn(outbound)
        if presses := self._presses.get(address.chat):
            await asyncio.wait(set(presses), timeout=PRESS_SECONDS)
        before, sent = self._partly.pop(address.chat, (outbound, []))
        if before != outbound:
            sent = []
        for text in texts[len(sent) :]:
            try:
                sent.append(await (self._send(address.chat, text) if outbound.many else self._reply(address.chat, text)))
            except SendError as error:
                if error.again and sent:
                    self._partly[address.chat] = (outbound, sent)
                raise
        if outbound.secret:
            self._spawn(self._vanish(address, list(sent)))
        return sent

    async def _vanish(self, address: Address, message_ids: Sequence[str]) -> None:
        """Delete a message with a receipt code after some minutes. It is not kept over a restart: then "hapus jejak" deletes it."""
        await asyncio.sleep(SECRET_SECONDS)
        with contextlib.suppress(SendError):
            await self.forget(address, message_ids)

    def _drawn(self, outbound: Outbound) -> Sequence[str]:
        """The texts of a message as `sendMessage` takes them, encoded, without the chat; of a message to many the last ones are kept."""
        for known, texts in self._kept_drawn:
            if known is outbound:
                return texts
        laid = lay_out(outbound, self.limits)
        shown = [text for text in laid.texts if "".join(span.text for span in text).strip()]
        keyboard = _keyboard(laid.buttons) if laid.shown_as == "buttons" else ""
        drawn = [_form(text, outbound, keyboard if index == len(shown) else "") for index, text in enumerate(shown, start=1)]
        if outbound.many:
            self._kept_drawn.append((outbound, drawn))
        return drawn

    async def _reply(self, chat: str, form: str) -> str:
        """Send one text of a reply. A chat that is written to too fast waits here, so that the others need not.

        A request that was not answered is repeated, since nobody can ask Telegram what became of it: a reply that is said twice harms
        nobody, one that is lost leaves a person waiting. Messages to many are never repeated in doubt.
        """
        doubts = iter(DOUBT_PAUSES)
        for _ in range(PATIENT_TIMES):
            await self._pace.turn(chat)
            try:
                return await self._send(chat, form)
            except SendError as error:
                if error.trouble == "unknown_outcome" and (pause := next(doubts, None)) is not None:
                    await asyncio.sleep(pause)
                elif error.trouble != "throttled" or error.seconds > PATIENT_SECONDS or not self._pace.refused(chat, error.seconds):
                    raise
        return await self._send(chat, form)

    async def _send(self, chat: str, form: str) -> str:
        for last in (False, True):
            try:
                # By hand: the library's way costs half a millisecond a message, most of it for an answer that nobody reads.
                message = await self._http.call(f"{self._methods}/sendMessage", f"chat_id={_chat_id(chat)}&{form}")
                self._pace.sent(chat)
                return str(message["message_id"])
            except ChatMigrated as moved:
                trouble = SendError("stopped", code="moved")
                chat = str(moved.new_chat_id)
                if last:
                    break
            except (TelegramError, KeyError, TypeError, ValueError, AttributeError) as error:
                trouble = send_error(error)
                if trouble.trouble == "throttled":
                    self._told_to_wait = time.monotonic() + trouble.seconds
                break
        raise trouble  # out of the `except`: the library's errors stay inside

    async def forget(self, address: Address, message_ids: Sequence[str]) -> None:
        """Delete these messages, whoever wrote them; those that are gone or older than 48 hours are passed over. Raises `SendError`."""
        chat = _chat_id(address.chat)
        ids = list(dict.fromkeys(int(given) for given in message_ids if given.isascii() and given.isdigit()))
        for start in range(0, len(ids), DELETE_AT_ONCE):
            batch = ids[start : start + DELETE_AT_ONCE]
            if not await self._deleted(chat, batch) and len(batch) > 1:
                for one in batch:
                    await self._deleted(chat, [one])

    async def _deleted(self, chat: int, ids: Sequence[int]) -> bool:
        """Whether the platform took the request; False when it refuses these messages. In doubt it is asked again: that does no harm."""
        pauses = iter(FORGET_PAUSES)
        while True:
            try:
                return await self._bot.delete_messages(chat, ids)
            except (TelegramError, KeyError, TypeError) as error:
                trouble = send_error(error)
            if trouble.trouble == "bad_request":
                return False
            pause = next(pauses, None)
            if pause is None or trouble.seconds > PATIENT_SECONDS or trouble.trouble not in ("down", "throttled", "unknown_outcome"):
                raise trouble
            await asyncio.sleep(max(pause, trouble.seconds))

    # --- files ------------------------------------------------------------------------------------------------------------------------

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a photo, from the platform's own host alone. Raises `FetchError`: large, gone, down."""
        return await fetched(lambda: self._fetch(attachment.source.partition(":")[2]))

    async def _fetch(self, file_id: str) -> bytes:
        try:
            known = await self._http.call(f"{self._methods}/getFile", {"file_id": file_id})
        except BadRequest as error:
            reason = "large" if "too big" in error.message else "gone"
        except TelegramError:
            reason = "down"
        else:
            path, size = (words(known, "file_path"), number(known, "file_size") or 0) if isinstance(known, dict) else ("", 0)
            if size > FILE_BYTES:
                reason = "large"
            elif not path or path.startswith("/") or ".." in path.split("/"):
                reason = "gone"
            else:
                return await self._download(path, size)
        raise FetchError(reason)

    async def _download(self, path: str, size: int) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS, connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
        url = URL(f"{self._files}/{quote(path)}", encoded=True)
        try:
            async with self._http.session().get(url, timeout=timeout, allow_redirects=False) as response:
                reason = "gone" if response.status == 404 else "down"
                if response.status == 200:
                    data = bytearray()
                    async for piece in response.content.iter_any():
                        data += piece
                        if len(data) > FILE_BYTES:
                            break
                    reason = "large" if len(data) > FILE_BYTES else "down" if len(data) < size else ""
        except (aiohttp.ClientError, TelegramError, OSError, ValueError):
            reason = "down"
        if reason:
            raise FetchError(reason)
        return bytes(data)

    # --- doctor -----------------------------------------------------------------------------------------------------------------------

    async def check(self) -> str:
        """One line on what is wrong and what to do; empty when all is well."""
        if not self._token_looks_right:
            return "telegram: TELEGRAM_TOKEN does not look like a token (123456:ABC...); copy it again from @BotFather"
        try:
            await self._bot.get_me()
            known = await self._http.call(f"{self._methods}/getWebhookInfo", {})
        except InvalidToken:
            return "telegram: the platform refuses TELEGRAM_TOKEN; copy it again from @BotFather"
        except TelegramError as error:
            return f"telegram: the Bot API does not answer as it should ({send_error(error)}); check the network and TELEGRAM_API_URL"
        wrong = self._http.clock.trouble()
        return (f"telegram: {wrong}" if wrong else "") or self._webhook_trouble(known if isinstance(known, dict) else {})

    def _webhook_trouble(self, known: Json) -> str:
        url = words(known, "url")
        if self._mode == "polling":
            if url:
                return "telegram: a webhook is registered while TELEGRAM_MODE is polling; start Netra, it takes the webhook away"
            return ""
        if not re.fullmatch(r"[\w-]{1,256}", self._secret, re.ASCII):
            return "telegram: TELEGRAM_WEBHOOK_SECRET may hold 1 to 256 of A-Z, a-z, 0-9, _ and - only"
        wanted = urlsplit(self._public_url)
        if wanted.scheme != "https" and wanted.hostname not in ("127.0.0.1", "::1", "localhost"):
            return "telegram: the webhook needs NETRA_PUBLIC_URL with https"
        if url != self._public_url + WEBHOOK:
            return (
                "telegram: the registered webhook is another address than NETRA_PUBLIC_URL; start Netra to register it, on one server alone"
            )
        failed = number(known, "last_error_date")
        if failed and time.time() + self._http.clock.ahead.total_seconds() - failed < NEWS_SECONDS:
            return f"telegram: the last delivery to the webhook failed: {words(known, 'last_error_message')}"
        pending = number(known, "pending_update_count") or 0
        if pending > PENDING_MANY:
            return f"telegram: {pending} updates wait for delivery; the webhook is slow or was down"
        return ""


async def _body(request: web.Request) -> bytes | None:
    """The body of a request; None when it is too large."""
    if (request.content_length or 0) > BODY_BYTES:
        return None
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > BODY_BYTES:
            return None
    return bytes(body)


# --- messages -----------------------------------------------------------------------------------------------------------------------------

TAGS = {
    "": ("", ""),
    "bold": ("<b>", "</b>"),
    "italic": ("<i>", "</i>"),
    "code": ("<code>", "</code>"),
    "hidden": ("<tg-spoiler>", "</tg-spoiler>"),
}


def to_html(spans: Sequence[Span], secret: bool = False) -> str:
    """The spans as the Bot API's HTML. In a secret message code is hidden until it is tapped.

    Hidden instead of code, not both: the platform shows code inside a spoiler openly (tdesktop issue 26056).
    """
    pieces = []
    for span in spans:
        before, after = TAGS["hidden" if secret and span.style == "code" else span.style]
        pieces.append(before + span.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") + after)
    return "".join(pieces)


def _form(spans: Sequence[Span], outbound: Outbound, keyboard: str) -> str:
    parameters = {"text": to_html(spans, outbound.secret), "parse_mode": "HTML", "link_preview_options": NO_PREVIEW}
    parameters |= {"protect_content": "true"} if outbound.secret else {}
    parameters |= {"allow_paid_broadcast": "true"} if outbound.paid else {}
    parameters |= {"reply_markup": keyboard} if keyboard else {}
    return urlencode(parameters)


def _keyboard(buttons: Sequence[Button]) -> str:
    row = 1 if any(len(button.label) > LONG_LABEL for button in buttons) else 2
    keys = [{"text": button.label, "callback_data": button.token} for button in buttons]
    return json.dumps({"inline_keyboard": [keys[start : start + row] for start in range(0, len(keys), row)]})


def _chat_id(chat: str) -> int:
    if not re.fullmatch(r"-?\d{1,19}", chat, re.ASCII):
        raise SendError("bad_request", code="chat")
    return int(chat)


# --- errors -------------------------------------------------------------------------------------------------------------------------------

GONE = ("chat not found", "user not found", "user is deactivated", "peer_id_invalid", "input_user_deactivated", "have no rights to send")
LONG = ("message is too long", "message_too_long")


def send_error(error: Exception) -> SendError:
    """What an error of the library means for the sender. Its code holds nothing of the message, the URL or the token."""
    if isinstance(error, Throttled):
        return SendError("throttled", seconds=error.seconds, code="429")
    if isinstance(error, Forbidden):
        return SendError("stopped", code="403")
    if isinstance(error, InvalidToken):
        return SendError("auth", code="401")
    if isinstance(error, TooLarge):
        return SendError("too_large", code="413")
    if isinstance(error, BadRequest):
        said = error.message.lower()
        if any(words in said for words in GONE):
            return SendError("stopped", code="400")
        # The start of a description is the platform's own; after a colon or a quotation mark it may quote the message.
        return SendError("too_large" if any(words in said for words in LONG) else "bad_request", code=_start_of(error.message))
    if isinstance(error, NotTheApi):
        return SendError("down", code=str(error.status))
    if isinstance(error, Unreached):
        return SendError("down", code=error.message)
    if isinstance(error, Conflict):
        return SendError("down", code="409")
    return SendError("unknown_outcome", code=error.message if isinstance(error, Unanswered) else "answer")


def _start_of(description: str) -> str:
    words = re.match(r"[A-Za-z_' ]*", description)
    return f"400 {words[0][:60]}".strip() if words else "400"


def _seconds(error: Exception) -> float:
    """The pause that the platform asks for; else none."""
    return error.seconds if isinstance(error, Throttled) else 0.0


def _pauses() -> Iterator[float]:
    yield from PAUSES
    while True:
        yield PAUSES[-1]


async def _until_done(otherwise: str, work: Callable[[], Awaitable[object]]) -> None:
    """Try until it is done; one line in the log when it fails in a new way."""
    trouble = ""
    for pause in _pauses():
        try:
            await work()
            return
        except Exception as error:  # noqa: BLE001 - a channel that cannot start yet stops nobody else
            said = str(send_error(error))
            if said != trouble:
                trouble = said
                log.warning(f"{otherwise}, trying again", channel="telegram", error=said)
            await asyncio.sleep(max(pause, _seconds(error)))


async def _once(otherwise: str, work: Awaitable[object]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - as above
        log.warning(otherwise, channel="telegram", error=str(send_error(error)))
