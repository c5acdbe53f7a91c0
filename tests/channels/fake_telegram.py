"""A Bot API server for tests, over real HTTP, as strict as the real one or stricter.

It refuses unknown methods, unknown or malformed parameters, broken HTML, texts and keyboards over the limits, dead callback queries and
edits that change nothing, and writes every refusal down (`refusals`). It delivers updates like the real one: one after another for each
chat, again until they are acknowledged, callback queries in a queue of their own. It can misbehave on demand (`fail`, `hold`, `repeat`).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Literal

import aiohttp
from aiohttp import web

Json = dict[str, Any]
Kind = Literal["text", "id", "number", "flag", "object", "list"]

TOKEN = "123456789:AAF-fake_token-of-the-tests_0123456789"

KINDS: dict[Kind, str] = {
    "id": "chat_id",
    "number": "offset limit timeout max_connections message_id message_thread_id direct_messages_topic_id cache_time",
    "flag": "drop_pending_updates disable_notification protect_content allow_paid_broadcast show_alert",
    "object": "certificate link_preview_options suggested_post_parameters reply_parameters reply_markup scope menu_button",
    "list": "allowed_updates entities message_ids commands",
}
"""Parameters by what they hold; all others hold text."""

REPLY = (
    "business_connection_id message_thread_id direct_messages_topic_id parse_mode disable_notification protect_content "
    "allow_paid_broadcast message_effect_id suggested_post_parameters reply_parameters reply_markup"
)
EDIT = "business_connection_id chat_id message_id inline_message_id reply_markup"
METHODS = {
    "getMe": "",
    "getUpdates": "offset limit timeout allowed_updates",
    "setWebhook": "url! certificate ip_address max_connections allowed_updates drop_pending_updates secret_token",
    "deleteWebhook": "drop_pending_updates",
    "getWebhookInfo": "",
    "sendMessage": f"chat_id! text! entities link_preview_options {REPLY}",
    "sendChatAction": "business_connection_id chat_id! message_thread_id action!",
    "editMessageText": f"text! parse_mode entities link_preview_options {EDIT}",
    "editMessageReplyMarkup": EDIT,
    "answerCallbackQuery": "callback_query_id! text show_alert url cache_time",
    "deleteMessage": "chat_id! message_id!",
    "deleteMessages": "chat_id! message_ids!",
    "getFile": "file_id!",
    "setMyCommands": "commands! scope language_code",
    "getMyCommands": "scope language_code",
    "deleteMyCommands": "scope language_code",
    "setMyName": "name language_code",
    "getMyName": "language_code",
    "setMyDescription": "description language_code",
    "getMyDescription": "language_code",
    "setMyShortDescription": "short_description language_code",
    "getMyShortDescription": "language_code",
    "setChatMenuButton": "chat_id menu_button",
    "getChatMenuButton": "chat_id",
}
"""The methods with their parameters, the required ones marked (Bot API 10)."""

TEXT_UNITS, ENTITIES = 4096, 100
BUTTONS, BUTTONS_IN_A_ROW, DATA_BYTES = 100, 8, 64
FILE_BYTES = 20 << 20
DELETE_SECONDS = 48 * 3600
KEY_KINDS = (
    "callback_data url web_app login_url switch_inline_query switch_inline_query_current_chat switch_inline_query_chosen_chat copy_text "
    "callback_game pay"
)
KEY_DRESS = {"text", "style", "icon_custom_emoji_id"}
ACTIONS = (
    "typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker find_location "
    "record_video_note upload_video_note"
)
TAGS = {
    tag: kind
    for kind, tags in {
        "bold": "b strong",
        "italic": "i em",
        "underline": "u ins",
        "strikethrough": "s strike del",
        "spoiler": "tg-spoiler",
        "code": "code",
        "pre": "pre",
        "blockquote": "blockquote",
        "text_link": "a",
    }.items()
    for tag in tags.split(" ")
}


class Refusal(Exception):
    """The server says no."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    - ``status``: an error of the Bot API with this status (and `parameters`), nothing is done.
    - ``html``: a proxy's page with this status, nothing is done.
    - ``redirect``: a redirect to `description`, nothing is done.
    - ``drop``: everything is done, then the connection ends without an answer.
    - ``reset``: the connection ends before anything is done.
    - ``delay``: everything is done and answered after `seconds`.
    - ``hang``: everything is done, and the answer waits until `release_hangs`.
    - ``half``: everything is done, and half of the answer is sent.
    """

    kind: Literal["status", "html", "redirect", "drop", "reset", "delay", "hang", "half"]
    status: int = 500
    description: str = "Internal Server Error"
    parameters: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Shown:
    """A message as a person in the chat sees it."""

    message_id: int
    by: Literal["bot", "person"]
    text: str
    entities: list[Json] = field(default_factory=list)
    keyboard: list[list[Json]] = field(default_factory=list)
    protected: bool = False
    date: float = 0.0
    html: str = ""

    @property
    def labels(self) -> list[str]:
        """The labels of its buttons, in order."""
        return [key["text"] for row in self.keyboard for key in row]

    def styled(self, kind: str) -> list[str]:
        """The pieces of its text in one style."""
        units = self.text.encode("utf-16-le")
        return [
            units[2 * entity["offset"] : 2 * (entity["offset"] + entity["length"])].decode("utf-16-le")
            for entity in self.entities
            if entity["type"] == kind
        ]


@dataclass
class Chat:
    """One private chat with the bot."""

    id: int
    messages: dict[int, Shown] = field(default_factory=dict)
    started: bool = False
    blocked: bool = False
    moved_to: int = 0


@dataclass
class Delivery:
    """An update on its way; awaiting it waits until the bot has acknowledged it."""

    update: Json
    acknowledged: asyncio.Future[None]
    attempts: list[int] = field(default_factory=list)
    """The statuses that the bot's webhook answered; 0 for none."""

    @property
    def update_id(self) -> int:
        """Its number."""
        return int(self.update["update_id"])

    def __await__(self) -> Any:
        return asyncio.wait_for(asyncio.shield(self.acknowledged), 20).__await__()


@dataclass(frozen=True)
class Call:
    """One request, as the server understood it."""

    method: str
    parameters: Json
    at: float
    status: int


class FakeTelegram:
    """The server. `start`, then give `url` and `token` to the bot; `person(chat_id)` acts in a chat."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token, self.url = token, ""
        self.chats: dict[int, Chat] = {}
        self.calls: list[Call] = []
        self.refusals: list[str] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.files: dict[str, bytes] = {}
        self.webhook: Json = {}
        self.commands: dict[str, list[Json]] = {}
        self.profile: dict[tuple[str, str], str] = {}
        self.menu_button: Json = {"type": "default"}
        self.repeat = 1
        """How often each update is delivered to the webhook."""
        self.retry_seconds = 0.05
        self.per_second = 0
        """Messages that the bot may send in a second; 0: any number."""
        self.chat_burst = 0
        """Messages that the bot may send to one chat at once, and then one a second; 0: any number."""
        self._chat_left: dict[int, tuple[float, float]] = {}
        self.changed = asyncio.Condition()
        self.now: Callable[[], float] = time.time
        self.queries: dict[str, bool] = {}
        """Callback queries, and whether they can still be answered."""
        self.pending: dict[int, Delivery] = {}
        self._held: list[Delivery] | None = None
        self._lanes: dict[str, deque[Delivery]] = defaultdict(deque)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._next_update, self._next_message, self._next_file = 700_000_001, 10, 1
        self._poller: asyncio.Event | None = None
        self._hangs = asyncio.Event()
        self._sent_at: deque[float] = deque()
        self._last_error: tuple[int, str] = (0, "")
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    # --- life ----------------------------------------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; the server's address."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/bot{token}/{method}", self._method)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), connector=aiohttp.TCPConnector(limit=0))
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening and delivering."""
        self._hangs.set()
        for worker in list(self._workers.values()):
            worker.cancel()
        await asyncio.gather(*list(self._workers.values()), return_exceptions=True)
        if self._poller is not None:
            self._poller.set()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[FakeTelegram]:
        """A started server."""
        fake = cls()
        await fake.start()
        try:
            yield fake
        finally:
            await fake.stop()

    # --- what tests do ---------------------------------------------------------------------------------------------------------

    def person(self, chat_id: int = 4001, *, language: str = "id", name: str = "Siti") -> Person:
        """Somebody with a private chat."""
        chat = self.chats.setdefault(chat_id, Chat(chat_id))
        return Person(self, chat, language, name)

    def fail(self, method: str, *faults: Fault) -> None:
        """The next requests of this method go wrong like this, one fault each; `file` means downloads, `*` any method."""
        self.faults[method].extend(faults)

    def release_hangs(self) -> None:
        """Answer the requests that hang."""
        self._hangs.set()
        self._hangs = asyncio.Event()

    def hold(self) -> None:
        """Keep new updates back until `release`."""
        self._held = []

    def release(self, *, reverse: bool = False) -> None:
        """Deliver what was held back, in order or in the opposite one."""
        held, self._held = self._held or [], None
        for delivery in reversed(held) if reverse else held:
            self._queue(delivery)

    def wake_poller(self) -> None:
        """End the poll that waits."""
        if self._poller is not None:
            self._poller.set()

    def expire_queries(self) -> None:
        """No button press so far can be answered any more."""
        self.queries = dict.fromkeys(self.queries, False)

    def called(self, method: str) -> list[Json]:
        """The parameters of all successful calls of a method."""
        return [call.parameters for call in self.calls if call.method == method and call.status == 200]

    async def until(self, met: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until something is so."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: bool(met())), seconds)

    def deliver(self, update: Json) -> Delivery:
        """Put an update on its way; without a number it gets the next one."""
        if "update_id" not in update:
            update = {"update_id": self._next_update} | update
            self._next_update += 1
        delivery = Delivery(update, asyncio.get_running_loop().create_future())
        allowed = self.webhook.get("allowed_updates") or None
        if allowed is not None and not set(update) & set(allowed):
            delivery.acknowledged.set_result(None)
        elif self._held is not None:
            self._held.append(delivery)
        else:
            self._queue(delivery)
        return delivery

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Post something to the bot's webhook as anybody could; the status."""
        assert self._session is not None
        async with self._session.post(self.webhook["url"], data=io.BytesIO(body), headers=headers) as answer:
            return answer.status

    # --- deliveries --------------------------------------------------------------------------------------------------------------

    def _queue(self, delivery: Delivery) -> None:
        self.pending[delivery.update_id] = delivery
        if self.webhook.get("url"):
            self._push(delivery)
        elif self._poller is not None:
            self._poller.set()

    def _push(self, delivery: Delivery) -> None:
        update = delivery.update
        query = update.get("callback_query")
        message = update.get("message") or update.get("edited_message") or update.get("my_chat_member") or {}
        lane = f"press {query['from']['id']}" if query else f"chat {message.get('chat', {}).get('id', 0)}"
        self._lanes[lane].append(delivery)
        if lane not in self._workers:
            self._workers[lane] = asyncio.get_running_loop().create_task(self._work(lane))

    async def _work(self, lane: str) -> None:
        queue = self._lanes[lane]
        while queue and self.webhook.get("url"):
            delivery = queue[0]
            pause = self.retry_seconds
            while self.webhook.get("url"):
                statuses = [await self._post_update(delivery.update) for _ in range(self.repeat)]
                delivery.attempts.extend(statuses)
                if any(200 <= status <= 299 for status in statuses):
                    await self._acknowledge(delivery)
                    break
                self._last_error = (int(time.time()), f"Wrong response from the webhook: {statuses[-1]}")
                await self._notify()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            queue.popleft()
        del self._workers[lane]

    async def _post_update(self, update: Json) -> int:
        assert self._session is not None
        headers = {"Content-Type": "application/json"}
        if self.webhook.get("secret_token"):
            headers["X-Telegram-Bot-Api-Secret-Token"] = self.webhook["secret_token"]
        try:
            async with self._session.post(self.webhook["url"], data=json.dumps(update).encode(), headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    async def _acknowledge(self, delivery: Delivery) -> None:
        self.pending.pop(delivery.update_id, None)
        if not delivery.acknowledged.done():
            delivery.acknowledged.set_result(None)
        await self._notify()

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    # --- requests ------------------------------------------------------------------------------------------------------------------

    async def _method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        fault = self._fault(method)
        if fault is not None and fault.kind in ("reset", "html", "status", "redirect"):
            self._note(method, {}, 0)
            return await self._misbehave(request, fault)
        parameters: Json = {}
        try:
            if request.match_info["token"] != self.token:
                well_formed = re.fullmatch(r"\d+:[\w-]+", request.match_info["token"])
                raise Refusal(401, "Unauthorized") if well_formed else Refusal(404, "Not Found")
            if method not in METHODS:
                raise Refusal(404, "Not Found")
            parameters = self._checked(method, await _sent(request))
            self._limit(method, parameters)
            handler: Callable[[Json], Any] = getattr(self, "_" + re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), method))
            result = handler(parameters)
            if asyncio.iscoroutine(result):
                result = await result
            status, answer = 200, {"ok": True, "result": result}
        except Refusal as refusal:
            status = refusal.status
            answer = {"ok": False, "error_code": status, "description": refusal.description}
            if refusal.parameters:
                answer["parameters"] = refusal.parameters
            self.refusals.append(f"{method}: {refusal.description}")
        self._note(method, parameters, status)
        await self._notify()
        if fault is not None:
            return await self._misbehave(request, fault, json.dumps(answer).encode())
        return web.json_response(answer, status=status)

    def _fault(self, method: str) -> Fault | None:
        for name in (method, "*"):
            if self.faults[name]:
                return self.faults[name].popleft()
        return None

    def _note(self, method: str, parameters: Json, status: int) -> None:
        self.calls.append(Call(method, parameters, time.monotonic(), status))

    async def _misbehave(self, request: web.Request, fault: Fault, answer: bytes = b"") -> web.StreamResponse:
        await self._notify()
        if fault.kind == "status":
            body: Json = {"ok": False, "error_code": fault.status, "description": fault.description}
            if fault.parameters:
                body["parameters"] = dict(fault.parameters)
            return web.json_response(body, status=fault.status)
        if fault.kind == "html":
            page = f"<html><head><title>{fault.status}</title></head><body>{request.path}</body></html>"
            return web.Response(status=fault.status, text=page, content_type="text/html")
        if fault.kind == "redirect":
            return web.Response(status=302, headers={"Location": fault.description})
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "hang":
            await self._hangs.wait()
        if fault.kind == "half":
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(answer))})
            await response.prepare(request)
            await response.write(answer[: len(answer) // 2])
        if fault.kind in ("drop", "reset", "half"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(body=answer, content_type="application/json")

    def _checked(self, method: str, sent: Json) -> Json:
        """The parameters in their types; refuses what the method does not know."""
        parameters = METHODS[method].split()
        known = {name.rstrip("!") for name in parameters}
        checked: Json = {}
        for name, value in sent.items():
            if name not in known:
                raise Refusal(400, f"Bad Request: unknown parameter {name}")
            checked[name] = _typed(name, value)
        for name in [name.rstrip("!") for name in parameters if name.endswith("!")]:
            if name not in checked:
                raise Refusal(400, f"Bad Request: parameter {name} is required")
        return checked

    def _limit(self, method: str, parameters: Json) -> None:
        if method not in ("sendMessage", "editMessageText"):
            return
        now = time.monotonic()
        if self.chat_burst:
            left, at = self._chat_left.get(parameters["chat_id"], (float(self.chat_burst), now))
            left = min(float(self.chat_burst), left + now - at)
            if left < 1:
                self._chat_left[parameters["chat_id"]] = left, now
                raise Refusal(429, "Too Many Requests: retry after 1", retry_after=1)
            self._chat_left[parameters["chat_id"]] = left - 1, now
        if not self.per_second:
            return
        while self._sent_at and now - self._sent_at[0] >= 1.0:
            self._sent_at.popleft()
        if len(self._sent_at) >= self.per_second:
            raise Refusal(429, "Too Many Requests: retry after 1", retry_after=1)
        self._sent_at.append(now)

    # --- methods: receiving --------------------------------------------------------------------------------------------------------

    def _get_me(self, _: Json) -> Json:
        return {"id": int(self.token.split(":")[0]), "is_bot": True, "first_name": "Netra", "username": "netra_test_bot"}

    async def _get_updates(self, parameters: Json) -> list[Json]:
        if self.webhook.get("url"):
            raise Refusal(
                409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        if self._poller is not None:
            self._poller.set()
        mine = self._poller = asyncio.Event()
        if "allowed_updates" in parameters:
            self.webhook["allowed_updates"] = parameters["allowed_updates"]
        offset = parameters.get("offset", 0)
        for update_id in sorted(self.pending):
            if update_id < offset:
                await self._acknowledge(self.pending[update_id])
        ends = time.monotonic() + min(parameters.get("timeout", 0), 50)
        while not self.pending and time.monotonic() < ends and self._poller is mine:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(mine.wait(), ends - time.monotonic())
            mine.clear()
        if self._poller is not mine:
            raise Refusal(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
        self._poller = None
        limit = parameters.get("limit", 100)
        return [delivery.update for _, delivery in sorted(self.pending.items())][:limit]

    def _set_webhook(self, parameters: Json) -> bool:
        url = parameters["url"]
        if url and not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise Refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", parameters.get("secret_token", "")):
            raise Refusal(400, "Bad Request: secret token contains unallowed characters")
        if not 1 <= parameters.get("max_connections", 40) <= 100:
            raise Refusal(400, "Bad Request: bad max_connections")
        if parameters.get("drop_pending_updates"):
            self.pending.clear()
        self.webhook = dict(parameters)
        for _, delivery in sorted(self.pending.items()):
            self._push(delivery)
        return True

    def _delete_webhook(self, parameters: Json) -> bool:
        self.webhook = {}
        if parameters.get("drop_pending_updates"):
            self.pending.clear()
        return True

    def _get_webhook_info(self, _: Json) -> Json:
        info: Json = {"url": self.webhook.get("url", ""), "has_custom_certificate": False, "pending_update_count": len(self.pending)}
        if self._last_error[0]:
            info["last_error_date"], info["last_error_message"] = self._last_error
        return info

    def _answer_callback_query(self, parameters: Json) -> bool:
        if len(parameters.get("text", "")) > 200:
            raise Refusal(400, "Bad Request: MESSAGE_TOO_LONG")
        query = parameters["callback_query_id"]
        if not self.queries.get(query):
            raise Refusal(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.queries[query] = False
        return True

    # --- methods: messages ---------------------------------------------------------------------------------------------------------

    def _chat(self, parameters: Json) -> Chat:
        chat = self.chats.get(parameters.get("chat_id", 0))
        if chat is None:
            raise Refusal(400, "Bad Request: chat not found")
        if chat.moved_to:
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refusal(400, description, migrate_to_chat_id=chat.moved_to)
        return chat

    def _writable(self, parameters: Json) -> Chat:
        chat = self._chat(parameters)
        if chat.blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        if not chat.started:
            raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
        return chat

    def _send_message(self, parameters: Json) -> Json:
        chat = self._writable(parameters)
        text, entities = parsed(parameters["text"], parameters.get("parse_mode", ""), parameters.get("entities", []))
        keyboard = self._keyboard(parameters)
        message = self.show(
            chat, "bot", text, entities, keyboard, protected=parameters.get("protect_content", False), html=parameters["text"]
        )
        return self._as_json(chat, message)

    def _edit_message_text(self, parameters: Json) -> Json:
        chat, message = self._editable(parameters)
        text, entities = parsed(parameters["text"], parameters.get("parse_mode", ""), parameters.get("entities", []))
        keyboard = self._keyboard(parameters)
        if (text, entities, keyboard) == (message.text, message.entities, message.keyboard):
            raise Refusal(400, NOT_MODIFIED)
        message.text, message.entities, message.keyboard = text, entities, keyboard
        return self._as_json(chat, message)

    def _edit_message_reply_markup(self, parameters: Json) -> Json:
        chat, message = self._editable(parameters)
        keyboard = self._keyboard(parameters)
        if keyboard == message.keyboard:
            raise Refusal(400, NOT_MODIFIED)
        message.keyboard = keyboard
        return self._as_json(chat, message)

    def _editable(self, parameters: Json) -> tuple[Chat, Shown]:
        chat = self._chat(parameters)
        message = chat.messages.get(parameters.get("message_id", 0))
        if message is None:
            raise Refusal(400, "Bad Request: message to edit not found")
        if message.by != "bot":
            raise Refusal(400, "Bad Request: message can't be edited")
        return chat, message

    def _delete_message(self, parameters: Json) -> bool:
        chat = self._chat(parameters)
        message = chat.messages.get(parameters["message_id"])
        if message is None:
            raise Refusal(400, "Bad Request: message to delete not found")
        if self.now() - message.date > DELETE_SECONDS:
            raise Refusal(400, "Bad Request: message can't be deleted for everyone")
        del chat.messages[message.message_id]
        return True

    def _delete_messages(self, parameters: Json) -> bool:
        chat, ids = self._chat(parameters), parameters["message_ids"]
        if not 1 <= len(ids) <= 100 or any(not isinstance(one, int) for one in ids) or len(set(ids)) != len(ids):
            raise Refusal(400, "Bad Request: 1-100 different message identifiers must be given")
        found = [chat.messages[one] for one in ids if one in chat.messages]
        if any(self.now() - message.date > DELETE_SECONDS for message in found):
            raise Refusal(400, "Bad Request: message can't be deleted for everyone")
        for message in found:
            del chat.messages[message.message_id]
        return True

    def _send_chat_action(self, parameters: Json) -> bool:
        self._writable(parameters)
        if parameters["action"] not in ACTIONS.split():
            raise Refusal(400, "Bad Request: wrong parameter action in request")
        return True

    def show(
        self,
        chat: Chat,
        by: Literal["bot", "person"],
        text: str,
        entities: list[Json] | None = None,
        keyboard: list[list[Json]] | None = None,
        *,
        protected: bool = False,
        html: str = "",
    ) -> Shown:
        """Put a message into a chat."""
        message = Shown(self._next_message, by, text, entities or [], keyboard or [], protected, self.now(), html)
        self._next_message += 1
        chat.messages[message.message_id] = message
        return message

    def _as_json(self, chat: Chat, message: Shown) -> Json:
        answer: Json = {
            "message_id": message.message_id,
            "date": int(message.date),
            "chat": {"id": chat.id, "type": "private", "first_name": "Siti"},
            "from": self._get_me({}) if message.by == "bot" else {"id": chat.id, "is_bot": False, "first_name": "Siti"},
            "text": message.text,
        }
        if message.entities:
            answer["entities"] = message.entities
        if message.keyboard:
            answer["reply_markup"] = {"inline_keyboard": message.keyboard}
        return answer

    def _keyboard(self, parameters: Json) -> list[list[Json]]:
        markup = parameters.get("reply_markup")
        if not markup:
            return []
        rows = markup.get("inline_keyboard")
        if set(markup) != {"inline_keyboard"} or not isinstance(rows, list) or any(not isinstance(row, list) for row in rows):
            raise Refusal(400, "Bad Request: object expected as reply markup")
        keys = [key for row in rows for key in row]
        if len(keys) > BUTTONS or any(not 1 <= len(row) <= BUTTONS_IN_A_ROW for row in rows):
            raise Refusal(400, "Bad Request: reply markup is too long")
        for key in keys:
            kinds = set(key) & set(KEY_KINDS.split())
            if set(key) - set(KEY_KINDS.split()) - KEY_DRESS or len(kinds) != 1:
                raise Refusal(400, "Bad Request: can't parse inline keyboard button: exactly one kind of known button is allowed")
            if not isinstance(key.get("text"), str) or not key["text"].strip():
                raise Refusal(400, "Bad Request: text buttons are allowed only with a text")
            if "callback_data" in key and not 1 <= len(str(key["callback_data"]).encode()) <= DATA_BYTES:
                raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
        return [list(row) for row in rows]

    # --- methods: files --------------------------------------------------------------------------------------------------------------

    def keep_file(self, data: bytes) -> str:
        """Put a file on the server; its id."""
        file_id = f"AgACAgUAAxkBAAI{self._next_file:08d}-fake"
        self._next_file += 1
        self.files[file_id] = data
        return file_id

    def _get_file(self, parameters: Json) -> Json:
        file_id = parameters["file_id"]
        data = self.files.get(file_id)
        if data is None:
            raise Refusal(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if len(data) > FILE_BYTES:
            raise Refusal(400, "Bad Request: file is too big")
        return {"file_id": file_id, "file_unique_id": file_id[-13:], "file_size": len(data), "file_path": f"photos/file {file_id}.jpg"}

    async def _file(self, request: web.Request) -> web.StreamResponse:
        fault = self._fault("file")
        path = request.match_info["path"]
        data = self.files.get(path.removeprefix("photos/file ").removesuffix(".jpg"))
        status = 200 if data is not None else 404
        if request.match_info["token"] != self.token:
            data, status = None, 401
        self._note("file", {"path": path}, status)
        if fault is not None:
            return await self._misbehave(request, fault, data or b"")
        if data is None:
            return web.json_response({"ok": False, "error_code": status, "description": "Not Found"}, status=status)
        return web.Response(body=data, content_type="application/octet-stream")

    # --- methods: the bot's face -----------------------------------------------------------------------------------------------------

    def _set_my_commands(self, parameters: Json) -> bool:
        commands = parameters["commands"]
        if len(commands) > 100:
            raise Refusal(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if set(command) != {"command", "description"} or not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise Refusal(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise Refusal(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[_language(parameters)] = commands
        return True

    def _get_my_commands(self, parameters: Json) -> list[Json]:
        return self.commands.get(_language(parameters), [])

    def _delete_my_commands(self, parameters: Json) -> bool:
        self.commands.pop(_language(parameters), None)
        return True

    def _set_face(self, name: str, at_most: int, parameters: Json) -> bool:
        words = parameters.get(name, "")
        if len(words) > at_most:
            raise Refusal(400, f"Bad Request: {name} is too long")
        self.profile[name, _language(parameters)] = words
        return True

    def _set_my_name(self, parameters: Json) -> bool:
        return self._set_face("name", 64, parameters)

    def _get_my_name(self, parameters: Json) -> Json:
        return {"name": self.profile.get(("name", _language(parameters)), "Netra")}

    def _set_my_description(self, parameters: Json) -> bool:
        return self._set_face("description", 512, parameters)

    def _get_my_description(self, parameters: Json) -> Json:
        return {"description": self.profile.get(("description", _language(parameters)), "")}

    def _set_my_short_description(self, parameters: Json) -> bool:
        return self._set_face("short_description", 120, parameters)

    def _get_my_short_description(self, parameters: Json) -> Json:
        return {"short_description": self.profile.get(("short_description", _language(parameters)), "")}

    def _set_chat_menu_button(self, parameters: Json) -> bool:
        button = parameters.get("menu_button", {"type": "default"})
        if button.get("type") not in ("commands", "web_app", "default"):
            raise Refusal(400, "Bad Request: can't parse menu button: Unsupported type")
        self.menu_button = button
        return True

    def _get_chat_menu_button(self, _: Json) -> Json:
        return self.menu_button


class Person:
    """Somebody in a private chat with the bot."""

    def __init__(self, fake: FakeTelegram, chat: Chat, language: str, name: str) -> None:
        self.fake, self.chat, self.language, self.name = fake, chat, language, name
        self._read = max(chat.messages, default=0)

    # --- acting ----------------------------------------------------------------------------------------------------------------

    def says(self, text: str, **more: Any) -> Delivery:
        """Write a text."""
        return self.sends(text, text=text, **more)

    def sends(self, shown: str = "", **content: Any) -> Delivery:
        """Send a message with any content."""
        self.chat.started = True
        message = self.fake.show(self.chat, "person", shown)
        return self.fake.deliver({"message": self._envelope(message) | content})

    def sends_photo(self, data: bytes, *, caption: str = "", group: str = "", name: str = "", mime: str = "image/jpeg") -> Delivery:
        """Send a picture: as a photo, or with a `name` as a file; `group` makes it part of an album."""
        file_id = self.fake.keep_file(data)
        content: Json = {}
        if name:
            document = {"file_id": file_id, "file_unique_id": file_id[-13:], "file_name": name, "mime_type": mime, "file_size": len(data)}
            content["document"] = document
        else:
            small = self.fake.keep_file(data[: len(data) // 10])
            content["photo"] = [
                {"file_id": small, "file_unique_id": small[-13:], "width": 90, "height": 67, "file_size": len(data) // 10},
                {"file_id": file_id, "file_unique_id": file_id[-13:], "width": 1280, "height": 960, "file_size": len(data)},
            ]
        if caption:
            content["caption"] = caption
        if group:
            content["media_group_id"] = group
        return self.sends(f"[{name or 'photo'}] {caption}".strip(), **content)

    def edits(self, message_id: int, text: str) -> Delivery:
        """Change an own text."""
        message = self.chat.messages[message_id]
        message.text = text
        return self.fake.deliver({"edited_message": self._envelope(message) | {"edit_date": int(self.fake.now()), "text": text}})

    def taps(self, label: str) -> Delivery:
        """Press a button of the newest message that has it."""
        for message in reversed(self.chat.messages.values()):
            for row in message.keyboard:
                for key in row:
                    if message.by == "bot" and key["text"] == label:
                        return self.presses(message, key["callback_data"])
        raise AssertionError(f"no button {label!r}; the last message is {list(self.chat.messages.values())[-1:]}")

    def presses(self, message: Shown, data: str) -> Delivery:
        """Press the button with this data under a message, which may be gone by now."""
        query = f"{self.chat.id}00{len(self.fake.queries)}"
        self.fake.queries[query] = True
        under = self.fake._as_json(self.chat, message)
        if message.message_id not in self.chat.messages:
            under = {"message_id": message.message_id, "chat": under["chat"], "date": 0}
        press: Json = {"id": query, "from": self._me(), "message": under, "chat_instance": "-42", "data": data}
        return self.fake.deliver({"callback_query": press})

    def blocks(self) -> Delivery:
        """Block the bot."""
        self.chat.blocked = True
        return self._changes("member", "kicked")

    def unblocks(self) -> Delivery:
        """Unblock it."""
        self.chat.blocked = False
        return self._changes("kicked", "member")

    # --- seeing ------------------------------------------------------------------------------------------------------------------

    def sees(self) -> list[Shown]:
        """Everything in the chat now, in order."""
        return list(self.chat.messages.values())

    async def hears(self, seconds: float = 10.0) -> Shown:
        """The bot's next message that was not heard before."""
        await self.fake.until(self._unread, seconds)
        message = self._unread()[0]
        self._read = message.message_id
        return message

    def _unread(self) -> list[Shown]:
        return [message for message in self.chat.messages.values() if message.by == "bot" and message.message_id > self._read]

    def transcript(self) -> str:
        """The chat as text, for people."""
        lines = []
        for message in self.chat.messages.values():
            lines.append(("Netra" if message.by == "bot" else self.name) + ": " + message.text.replace("\n", "\n    "))
            lines.extend("    [" + "] [".join(key["text"] for key in row) + "]" for row in message.keyboard)
        return "\n".join(lines)

    def _me(self) -> Json:
        return {"id": self.chat.id, "is_bot": False, "first_name": self.name, "language_code": self.language}

    def _envelope(self, message: Shown) -> Json:
        return {
            "message_id": message.message_id,
            "from": self._me(),
            "chat": {"id": self.chat.id, "first_name": self.name, "type": "private"},
            "date": int(message.date),
        }

    def _changes(self, before: str, after: str) -> Delivery:
        bot = self.fake._get_me({})
        change: Json = {
            "chat": {"id": self.chat.id, "first_name": self.name, "type": "private"},
            "from": self._me(),
            "date": int(self.fake.now()),
            "old_chat_member": {"user": bot, "status": before},
            "new_chat_member": {"user": bot, "status": after} | ({"until_date": 0} if after == "kicked" else {}),
        }
        return self.fake.deliver({"my_chat_member": change})


NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)


# --- parameters and texts -------------------------------------------------------------------------------------------------------------


async def _sent(request: web.Request) -> Json:
    """All parameters of a request, however they came: query, form, multipart or JSON."""
    sent: Json = dict(request.query)
    if request.content_type == "application/json":
        body = json.loads(await request.read() or b"{}")
        if not isinstance(body, dict):
            raise Refusal(400, "Bad Request: can't parse request JSON object")
        return sent | body
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.post()
        if len(form) != len(set(form)):
            raise Refusal(400, "Bad Request: a parameter is given twice")
        return sent | dict(form)
    if request.method == "POST" and request.can_read_body and await request.read():
        raise Refusal(400, "Bad Request: unsupported content type")
    return sent


def _typed(name: str, value: Any) -> Any:
    kind: Kind = next((kind for kind, names in KINDS.items() if name in names.split()), "text")
    wrong = Refusal(400, f"Bad Request: wrong parameter {name}")
    if kind == "text":
        if not isinstance(value, str):
            raise wrong
        return value
    if kind in ("id", "number"):
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,19}", str(value)):
            raise wrong
        return int(value)
    if kind == "flag":
        if str(value).lower() not in ("true", "false", "0", "1"):
            raise wrong
        return str(value).lower() in ("true", "1")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Refusal(400, f"Bad Request: can't parse {name} JSON object") from None
    if not isinstance(value, dict if kind == "object" else list):
        raise wrong
    return value


def _language(parameters: Json) -> str:
    language = str(parameters.get("language_code", ""))
    if not re.fullmatch(r"(?:[a-z]{2})?", language):
        raise Refusal(400, "Bad Request: invalid language code specified")
    return language


def units(text: str) -> int:
    """The length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parsed(text: str, mode: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """A text with its entities; refuses what the real server refuses, and ends of lines that it would cut off silently."""
    if mode not in ("", "HTML"):
        raise Refusal(400, "Bad Request: unsupported parse_mode")
    if mode == "HTML":
        text, entities = parse_html(text)
    if not text.strip():
        raise Refusal(400, "Bad Request: message text is empty")
    if units(text) > TEXT_UNITS:
        raise Refusal(400, "Bad Request: message is too long")
    return text, entities[:ENTITIES]


def parse_html(source: str) -> tuple[str, list[Json]]:
    """The text and entities of the Bot API's HTML."""
    text, entities = "", []
    open_tags: list[tuple[str, int, str]] = []
    for piece in re.finditer(r"<(/?)([a-zA-Z][\w-]*)((?:\s[^<>]*)?)>|(<)|&(#\d+|#x[0-9a-fA-F]+|lt|gt|amp|quot);|([^<&]+|&)", source):
        end, tag, attributes, stray, entity, plain = piece.groups()
        at = len(source[: piece.start()].encode())
        if stray:
            raise Refusal(400, f'Bad Request: can\'t parse entities: Unsupported start tag "" at byte offset {at}')
        if entity:
            text += unescape(f"&{entity};")
        elif plain:
            text += plain
        elif end:
            if not open_tags or open_tags[-1][0] != tag.lower():
                raise Refusal(400, f"Bad Request: can't parse entities: Unmatched end tag at byte offset {at}")
            name, offset, kind = open_tags.pop()
            if units(text) > offset:
                entities.append({"type": kind, "offset": offset, "length": units(text) - offset})
        else:
            name = tag.lower()
            kind = "spoiler" if name == "span" and attributes.strip() == 'class="tg-spoiler"' else TAGS.get(name, "")
            if not kind:
                raise Refusal(400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}" at byte offset {at}')
            if any(outer[2] in ("code", "pre") for outer in open_tags) or (kind in ("code", "pre") and open_tags):
                # The real server takes these and drops one of the two styles: who asks for both does not get it.
                raise Refusal(400, f"Bad Request: can't parse entities: code within other entities at byte offset {at}")
            open_tags.append((name, units(text), kind))
    if open_tags:
        raise Refusal(400, f"Bad Request: can't parse entities: Can't find end tag corresponding to start tag {open_tags[-1][0]}")
    return text, sorted(entities, key=lambda entity: entity["offset"])
