"""Twilio as it really behaves, over real HTTP on loopback: REST API, Content API, media host and signed webhooks.

It refuses what Twilio refuses (`refusals` lists each time) and can be told to be late, to answer wrongly, or to act and not answer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import web

SENDER = "whatsapp:+6281100000000"
WINDOW = timedelta(hours=24)
# fmt: off
CREATE = frozenset({
    "To", "StatusCallback", "ApplicationSid", "MaxPrice", "ProvideFeedback", "Attempt", "ValidityPeriod", "ForceDelivery",
    "ContentRetention", "AddressRetention", "SmartEncoded", "PersistentAction", "TrafficType", "ShortenUrls", "ScheduleType", "SendAt",
    "SendAsMms", "ContentVariables", "MessageIntent", "RiskCheck", "From", "FallbackFrom", "MessagingServiceSid", "Body", "MediaUrl",
    "ContentSid",
})
# fmt: on
UPDATE = frozenset({"Body", "Status"})
LIST = frozenset({"To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken"})
RECIPIENT = re.compile(r"whatsapp:(?:\+\d{6,15}|[A-Z]{2}\.[A-Za-z0-9]{1,128})")
VARIABLE = re.compile(r"{{(.*?)}}")
FINAL = frozenset({"delivered", "read", "failed", "undelivered", "canceled", "received"})
Signed = Literal["right", "wrong", "missing", "sha256"]


class Refused(Exception):
    """Twilio says no: the HTTP status, its own code, and why."""

    def __init__(self, status: int, code: int, why: str) -> None:
        super().__init__(f"{status} {code} {why}")
        self.status, self.code, self.why = status, code, why


@dataclass(frozen=True)
class Choice:
    """A button or a row as the person sees it; `id` comes back when it is tapped."""

    label: str
    id: str
    detail: str = ""


@dataclass(frozen=True)
class Seen:
    """One message on the person's phone."""

    text: str
    choices: tuple[Choice, ...] = ()
    kind: Literal["text", "buttons", "list"] = "text"
    list_button: str = ""
    sid: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """What can be tapped."""
        return tuple(choice.label for choice in self.choices)


@dataclass
class Fault:
    """What happens to a request: `delay` before it is acted on; then, unless `act`, the answer given here; or none at all."""

    method: str = "POST"
    path: str = "/Messages.json"
    status: int = 0
    code: int = 0
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    act: bool = False
    drop: bool = False


@dataclass
class Medium:
    """A file that a person sent."""

    sid: str
    message: str
    content_type: str
    data: bytes


@dataclass
class Webhook:
    """One delivery to the bot: its parameters, and the status that came back (0: nothing came back)."""

    form: Mapping[str, str]
    status: int
    body: str = ""


class Person:
    """Somebody with WhatsApp."""

    def __init__(self, fake: FakeTwilio, address: str) -> None:
        self.fake, self.address = fake, address
        self.last_wrote: datetime | None = None
        self.messages: list[Seen] = []
        self._unseen: asyncio.Queue[Seen] = asyncio.Queue()

    async def says(self, text: str, **more: str) -> Webhook:
        """Write a message; the delivery of it to the bot."""
        return await self.fake.deliver(self, {"Body": text, "MessageType": "text", **more})

    async def taps(self, choice: str | int) -> Webhook:
        """Tap a button or a row of the newest message that has some, by its label or its number; a number without any is typed."""
        last = next((message for message in reversed(self.messages) if message.choices), None)
        if last is None:
            return await self.says(str(choice))
        found = last.choices[choice - 1] if isinstance(choice, int) else next(one for one in last.choices if one.label == choice)
        replied = {"OriginalRepliedMessageSid": last.sid, "OriginalRepliedMessageSender": self.fake.sender}
        if last.kind == "buttons":
            tapped = {"ButtonText": found.label, "ButtonPayload": found.id, "ButtonType": "REPLY", "MessageType": "button"}
        else:
            tapped = {"ListId": found.id, "ListTitle": found.label, "ListDescription": found.detail, "MessageType": "interactive"}
        return await self.fake.deliver(self, {"Body": found.label, **tapped, **replied})

    async def sends_photo(self, *photos: bytes, caption: str = "", content_type: str = "image/jpeg") -> list[Webhook]:
        """Send photos: WhatsApp makes a message of each, the caption stands under the first."""
        return [
            await self.fake.deliver(self, {"Body": caption if number == 0 else "", "MessageType": "image"}, (content_type, photo))
            for number, photo in enumerate(photos)
        ]

    async def sends(self, content_type: str, data: bytes, caption: str = "") -> Webhook:
        """Send any other file."""
        return await self.fake.deliver(self, {"Body": caption, "MessageType": "document"}, (content_type, data))

    async def shares_location(self, latitude: str = "-6.2", longitude: str = "106.8") -> Webhook:
        """Share a place."""
        return await self.fake.deliver(self, {"Body": "", "Latitude": latitude, "Longitude": longitude, "MessageType": "location"})

    async def sees(self, seconds: float = 5.0) -> Seen:
        """The next message that was not looked at yet. Raises `TimeoutError` when none comes."""
        return await asyncio.wait_for(self._unseen.get(), seconds)

    def gets(self, seen: Seen) -> None:
        """A message arrives on the phone."""
        self.messages.append(seen)
        self._unseen.put_nowait(seen)


class FakeTwilio:
    """One Twilio account with one WhatsApp sender."""

    def __init__(self, *, sender: str = SENDER, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.account_sid = "AC" + secrets.token_hex(16)
        self.auth_token = secrets.token_hex(16)
        self.shared_key = secrets.token_hex(16)
        self.sender, self._now = sender, now
        self.ahead = timedelta()
        self.account_status = "active"
        self.messages: dict[str, dict[str, Any]] = {}
        self.media: dict[str, Medium] = {}
        self.contents: dict[str, dict[str, Any]] = {}
        self.people: dict[str, Person] = {}
        self.refusals: list[Refused] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.raw: list[tuple[str, str, str, bytes]] = []
        """Every request as it came: method, path with its query, content type, body."""
        self.webhooks: list[Webhook] = []
        self.faults: deque[Fault] = deque()
        self.leaks: list[str] = []
        """Requests that carried credentials to the storage host."""
        self.page_size = 50
        self.media_answer: Callable[[web.Request, Medium], Awaitable[web.StreamResponse]] | None = None
        self.reports = True
        self.fate: tuple[str, str] = ("delivered", "")
        self.late_window = False
        """Accept messages outside the window and report the failure afterwards, as Twilio may."""
        self.url = self.storage_url = ""
        self._to = self._signed_as = ""
        self._held: list[dict[str, str]] | None = None
        self._runners: list[web.AppRunner] = []
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life -------------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen on loopback: the API on one port, the media storage on another."""
        api = web.Application(client_max_size=32 << 20)
        account = f"/2010-04-01/Accounts/{self.account_sid}"
        api.add_routes(
            [
                web.post(f"{account}/Messages.json", self._api(self._create)),
                web.get(f"{account}/Messages.json", self._api(self._list)),
                web.post(f"{account}/Messages/{{sid}}.json", self._api(self._update)),
                web.delete(f"{account}/Messages/{{sid}}.json", self._api(self._delete)),
                web.get(f"{account}/Messages/{{sid}}/Media.json", self._api(self._list_media)),
                web.delete(f"{account}/Messages/{{sid}}/Media/{{medium}}.json", self._api(self._delete_medium)),
                web.get(f"{account}/Messages/{{sid}}/Media/{{medium}}", self._api(self._medium)),
                web.get(f"{account}.json", self._api(self._account)),
                web.post("/v1/Content", self._api(self._create_content)),
                web.get("/v1/Content", self._api(self._list_contents)),
                web.route("*", "/{other:.*}", self._api(self._nothing)),
            ]
        )
        storage = web.Application()
        storage.add_routes([web.get("/{medium}", self._stored)])
        self.url, self.storage_url = await self._listen(api), await self._listen(storage)
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def _listen(self, app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        for runner in self._runners:
            await runner.cleanup()

    async def __aenter__(self) -> FakeTwilio:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def listen(self, to: str, *, public_url: str = "") -> None:
        """Deliver to the bot at `to`, signed for the address that the world knows it by."""
        self._to, self._signed_as = to.rstrip("/"), (public_url or to).rstrip("/")

    def person(self, address: str) -> Person:
        """The person with this address: `whatsapp:+62...` or a business-scoped id."""
        return self.people.setdefault(address, Person(self, address))

    @property
    def now(self) -> datetime:
        """The time at Twilio."""
        return self._now() + self.ahead

    async def settled(self) -> None:
        """Wait until every report that is under way has been delivered."""
        while pending := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(pending)

    # --- what goes wrong ----------------------------------------------------------------------------------------------------------------

    def answers_next(
        self,
        status: int,
        code: int = 0,
        *,
        times: int = 1,
        html: str = "",
        path: str = "/Messages.json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The next requests are answered so and not acted upon."""
        self.faults.extend(Fault(path=path, status=status, code=code, html=html, headers=headers or {}) for _ in range(times))

    def drops_next(self, *, acting: bool, path: str = "/Messages.json") -> None:
        """The next request gets no answer; with `acting` it is done all the same."""
        self.faults.append(Fault(path=path, drop=True, act=acting))

    def delays_next(self, seconds: float, *, path: str = "/Messages.json") -> None:
        """The next request is done late."""
        self.faults.append(Fault(path=path, delay=seconds, act=True))

    def _fault(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            if fault.method == request.method and request.path.endswith(fault.path):
                self.faults.remove(fault)
                return fault
        return None

    # --- the API ------------------------------------------------------------------------------------------------------------------------

    def _api(self, act: Callable[[web.Request, dict[str, str]], Awaitable[web.StreamResponse]]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.raw.append((request.method, request.raw_path, request.headers.get("Content-Type", ""), await request.read()))
            fault = self._fault(request)
            if fault is not None and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault is not None and not fault.act:
                if fault.drop:
                    return _cut(request)
                if fault.html:
                    return web.Response(status=fault.status, text=fault.html, content_type="text/html", headers=fault.headers)
                return web.json_response(_error(fault.status, fault.code, "told to"), status=fault.status, headers=fault.headers)
            try:
                self._authorised(request)
                form = await self._form(request)
                self.requests.append((request.method, request.path, form))
                answer = await act(request, form)
            except Refused as refused:
                self.refusals.append(refused)
                answer = web.json_response(_error(refused.status, refused.code, refused.why), status=refused.status)
            answer.headers["Date"] = format_datetime(self.now, usegmt=True)
            return _cut(request) if fault is not None and fault.drop else answer

        return handle

    def _authorised(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        right = b"Basic " + base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode())
        if not hmac.compare_digest(given, right):
            raise Refused(401, 20003, "Authenticate")

    async def _form(self, request: web.Request) -> dict[str, str]:
        if request.method == "GET":
            pairs = list(request.query.items())
        elif request.path.startswith("/v1/") or request.method == "DELETE":
            pairs = []
        else:
            if request.content_type != "application/x-www-form-urlencoded":
                raise Refused(415, 20001, "form parameters only")
            pairs = [(name, str(value)) for name, value in (await request.post()).items()]
        if len(pairs) != len(dict(pairs)):
            raise Refused(400, 20001, "a parameter stands twice")
        return dict(pairs)

    async def _create(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        person, seen = self._checked(form)
        outside = person.last_wrote is None or self.now - person.last_wrote > WINDOW
        if outside and not self.late_window:
            raise Refused(400, 63016, "outside the window, and not an approved template")
        sid = "SM" + secrets.token_hex(16)
        message = self._keep(sid, "outbound-api", self.sender, person.address, seen.text, 0, "queued")
        fate = ("undelivered", "63016") if outside else self.fate
        if fate[0] not in ("failed", "undelivered"):
            person.gets(Seen(seen.text, seen.choices, seen.kind, seen.list_button, sid))
        if not self.reports:
            message["status"] = fate[0]
        else:
            self._later(self._report(message, form.get("StatusCallback", ""), fate))
        return web.json_response(dict(message) | {"status": "queued"}, status=201)

    def _checked(self, form: Mapping[str, str]) -> tuple[Person, Seen]:
        _known(form, CREATE)
        if not form.get("To"):
            raise Refused(400, 21604, "To is required")
        if not form.get("From") and not form.get("MessagingServiceSid"):
            raise Refused(400, 21603, "From is required")
        if form.get("From") != self.sender:
            raise Refused(400, 63007, "no channel with this From address")
        if not RECIPIENT.fullmatch(form["To"]):
            raise Refused(400, 21211, "invalid To")
        if "StatusCallback" in form:
            host = urlsplit(form["StatusCallback"]).hostname or ""
            if not form["StatusCallback"].startswith(("http://", "https://")) or not host or "_" in host:
                raise Refused(400, 21609, "invalid StatusCallback")
        if form.get("ContentVariables") and not form.get("ContentSid"):
            raise Refused(400, 21654, "ContentSid is required")
        person = self.person(form["To"])
        if form.get("ContentSid"):
            if "Body" in form:
                raise Refused(400, 21620, "Body beside ContentSid")
            return person, self._shown(form["ContentSid"], form.get("ContentVariables", "{}"))
        if not form.get("Body") or not form["Body"].strip():
            raise Refused(400, 21619, "Body is required")
        if _units(form["Body"]) > 1600:
            raise Refused(400, 21617, "Body over 1600 characters")
        return person, Seen(form["Body"])

    def _shown(self, sid: str, words: str) -> Seen:
        """The content as it is shown; refused when the variables do not fit, or when WhatsApp would not take the result."""
        content = self.contents.get(sid)
        if content is None:
            raise Refused(400, 21655, "ContentSid is invalid")
        try:
            values = json.loads(words)
        except ValueError:
            raise Refused(400, 21656, "ContentVariables is no JSON") from None
        if not isinstance(values, dict) or len(values) > 100 or "'" in words:
            raise Refused(400, 21656, "ContentVariables is invalid")
        if any(not isinstance(value, str) or not value.strip() or _units(value) > 1600 or "{{" in value for value in values.values()):
            raise Refused(400, 21656, "a variable is null, empty, too long or a placeholder")
        if set(values) != set(content["variables"]):
            raise Refused(400, 21656, "variables are missing or unknown")

        def filled(words: str) -> str:
            return VARIABLE.sub(lambda match: str(values[match[1]]), words)

        (kind, parts), *_ = content["types"].items()
        body = filled(parts["body"])
        if _units(body) > 1024:
            raise Refused(400, 63021, "body over 1024 characters")
        if kind == "twilio/quick-reply":
            choices = tuple(Choice(filled(one["title"]), filled(one.get("id", one["title"]))) for one in parts["actions"])
            if len(choices) > 3 or len({choice.label for choice in choices}) < len(choices):
                raise Refused(400, 63021, "more than three buttons in a session, or two alike")
            _fits((choice.label, 20) for choice in choices)
            _fits((choice.id, 200) for choice in choices)
            return Seen(body, choices, "buttons")
        choices = tuple(Choice(filled(one["item"]), filled(one["id"]), filled(one.get("description", ""))) for one in parts["items"])
        if len({choice.id for choice in choices}) < len(choices):
            raise Refused(400, 63021, "two rows with one id")
        _fits((choice.label, 24) for choice in choices)
        _fits((choice.id, 200) for choice in choices)
        _fits((filled(one["description"]), 72) for one in parts["items"] if "description" in one)
        button = filled(parts["button"])
        _fits([(button, 20)])
        return Seen(body, choices, "list", button)

    def _keep(self, sid: str, direction: str, sender: str, to: str, body: str, media: int, status: str) -> dict[str, Any]:
        uri = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{sid}"
        sent = format_datetime(self.now.replace(microsecond=0))
        self.messages[sid] = {
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "body": body,
            "date_created": sent,
            "date_sent": sent,
            "date_updated": sent,
            "direction": direction,
            "error_code": None,
            "error_message": None,
            "from": sender,
            "messaging_service_sid": None,
            "num_media": str(media),
            "num_segments": "1",
            "price": None,
            "price_unit": None,
            "sid": sid,
            "status": status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": to,
            "uri": f"{uri}.json",
        }
        return self.messages[sid]

    async def _report(self, message: dict[str, Any], callback: str, fate: tuple[str, str]) -> None:
        for status, code in (("sent", ""), fate):
            message["status"], message["error_code"] = status, int(code) if code else None
            if callback:
                form = {
                    "AccountSid": self.account_sid,
                    "ApiVersion": "2010-04-01",
                    "ChannelPrefix": "whatsapp",
                    "ChannelToAddress": message["to"],
                    "From": message["from"],
                    "MessageSid": message["sid"],
                    "MessageStatus": status,
                    "SmsSid": message["sid"],
                    "SmsStatus": status,
                    "To": message["to"],
                } | ({"ErrorCode": code, "ChannelStatusMessage": "told to"} if code else {})
                await self.post(callback.replace(self._signed_as, self._to, 1), form, signed_url=callback)

    async def _list(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        _known(form, LIST)
        found = list(reversed(self.messages.values()))
        if "To" in form:
            found = [one for one in found if one["to"] == form["To"]]
        if "DateSent>" in form:
            since = datetime.fromisoformat(form["DateSent>"])
            found = [one for one in found if datetime.strptime(one["date_sent"], "%a, %d %b %Y %H:%M:%S %z") >= since]
        size, page = min(int(form.get("PageSize", "50")), self.page_size), int(form.get("Page", "0"))
        more = len(found) > size * (page + 1)
        onward = f"{request.path}?{urlencode(form | {'Page': page + 1, 'PageToken': 'PA1'})}" if more else None
        return web.json_response({"messages": found[size * page : size * (page + 1)], "next_page_uri": onward, "page": page})

    def _message(self, request: web.Request) -> dict[str, Any]:
        message = self.messages.get(request.match_info["sid"])
        if message is None:
            raise Refused(404, 20404, "not found")
        return message

    async def _update(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        _known(form, UPDATE)
        message = self._message(request)
        if form.get("Body") != "":
            raise Refused(400, 20001, "Body can only be emptied")
        message["body"] = ""
        return web.json_response(message)

    async def _delete(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        message = self._message(request)
        if message["status"] not in FINAL:
            raise Refused(409, 20009, "the message is still on its way")
        del self.messages[message["sid"]]
        self.media = {sid: medium for sid, medium in self.media.items() if medium.message != message["sid"]}
        return web.Response(status=204)

    async def _list_media(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        message = self._message(request)
        found = [
            {"sid": one.sid, "content_type": one.content_type, "parent_sid": one.message}
            for one in self.media.values()
            if one.message == message["sid"]
        ]
        return web.json_response({"media_list": found, "next_page_uri": None})

    def _one_medium(self, request: web.Request) -> Medium:
        medium = self.media.get(request.match_info["medium"])
        if medium is None or medium.message != request.match_info["sid"]:
            raise Refused(404, 20404, "not found")
        return medium

    async def _medium(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        medium = self._one_medium(request)
        if self.media_answer is not None:
            return await self.media_answer(request, medium)
        return web.Response(status=307, headers={"Location": f"{self.storage_url}/{medium.sid}?Signature=a%2Fb%3D"})

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.leaks.append(request.path)
            return web.Response(status=400, text="<Error><Code>InvalidArgument</Code></Error>", content_type="application/xml")
        if request.raw_path.partition("?")[2] != "Signature=a%2Fb%3D":
            return web.Response(status=403)
        medium = self.media.get(request.match_info["medium"])
        if medium is None:
            return web.Response(status=404)
        return web.Response(body=medium.data, content_type=medium.content_type)

    async def _delete_medium(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        del self.media[self._one_medium(request).sid]
        return web.Response(status=204)

    async def _account(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        return web.json_response({"sid": self.account_sid, "status": self.account_status, "type": "Full"})

    async def _nothing(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        raise Refused(404, 20404, f"nothing at {request.method} {request.path}")

    # --- Content API --------------------------------------------------------------------------------------------------------------------

    async def _create_content(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise Refused(415, 20001, "JSON only")
        content = await request.json()
        _content(content)
        sid = "HX" + secrets.token_hex(16)
        self.contents[sid] = {**content, "sid": sid, "account_sid": self.account_sid}
        return web.json_response(self.contents[sid], status=201)

    async def _list_contents(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        _known(form, {"PageSize", "Page", "PageToken"})
        size, page = min(int(form.get("PageSize", "50")), self.page_size), int(form.get("Page", "0"))
        found = list(self.contents.values())
        more = len(found) > size * (page + 1)
        onward = f"https://content.twilio.com/v1/Content?PageSize={size}&Page={page + 1}&PageToken=DN1" if more else None
        return web.json_response({"contents": found[size * page : size * (page + 1)], "meta": {"next_page_url": onward, "page": page}})

    # --- webhooks -----------------------------------------------------------------------------------------------------------------------

    async def deliver(
        self, person: Person, form: Mapping[str, str], medium: tuple[str, bytes] | None = None, *, to_bot: bool = True
    ) -> Webhook:
        """A message from a person: kept at Twilio, then posted to the bot (unless the webhook is lost or held back)."""
        sid = ("MM" if medium else "SM") + secrets.token_hex(16)
        person.last_wrote = self.now
        self._keep(sid, "inbound", person.address, self.sender, form.get("Body", ""), 1 if medium else 0, "received")
        whole = self._whole(person.address, sid, form)
        if medium is not None:
            kept = Medium("ME" + secrets.token_hex(16), sid, *medium)
            self.media[kept.sid] = kept
            url = f"{self.url}/2010-04-01/Accounts/{self.account_sid}/Messages/{sid}/Media/{kept.sid}"
            whole |= {"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": kept.content_type}
        if self._held is not None:
            self._held.append(whole)
            return Webhook(whole, 0)
        return await self.post(f"{self._to}/whatsapp/webhook", whole) if to_bot else Webhook(whole, 0)

    def _whole(self, address: str, sid: str, form: Mapping[str, str]) -> dict[str, str]:
        phone = address.removeprefix("whatsapp:")
        return {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "ChannelMetadata": json.dumps({"type": "whatsapp", "data": {"context": {"ProfileName": "Budi 🙂"}}}),
            "ExternalUserId": "whatsapp:ID.1234567890123456",
            "From": address,
            "MessageSid": sid,
            "NumMedia": "0",
            "NumSegments": "1",
            "ProfileName": "Budi 🙂",
            "SmsMessageSid": sid,
            "SmsSid": sid,
            "SmsStatus": "received",
            "To": self.sender,
            **({"WaId": phone.removeprefix("+")} if phone.startswith("+") else {}),
            **form,
        }

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[list[dict[str, str]]]:
        """Hold deliveries back; afterwards those left in the list are posted in its order (reverse or double them as you like)."""
        held: list[dict[str, str]] = []
        self._held = held
        try:
            yield held
        finally:
            self._held = None
        for form in held:
            await self.post(f"{self._to}/whatsapp/webhook", form)

    async def post(
        self,
        url: str,
        form: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        signed: Signed = "right",
        signed_url: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Webhook:
        """Post parameters to the bot as Twilio does: signed, once more after a connection that failed, and never after that."""
        assert self._http is not None
        pairs = list(form.items()) if isinstance(form, Mapping) else list(form)
        signature = self.signature(signed_url or url.replace(self._to, self._signed_as, 1), pairs, signed)
        for attempt in (1, 2):
            try:
                async with self._http.post(
                    url,
                    data=urlencode(pairs),
                    headers={
                        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
                        "User-Agent": "TwilioProxy/1.1",
                        "I-Twilio-Idempotency-Token": secrets.token_hex(16),
                        **signature,
                        **(headers or {}),
                    },
                    timeout=aiohttp.ClientTimeout(total=15, sock_connect=5),
                ) as response:
                    webhook = Webhook(dict(pairs), response.status, await response.text())
                    break
            except aiohttp.ClientError:
                webhook = Webhook(dict(pairs), 0)
                if attempt == 2:
                    break
        self.webhooks.append(webhook)
        return webhook

    def signature(self, url: str, pairs: Iterable[tuple[str, str]], signed: Signed = "right") -> dict[str, str]:
        """The headers that sign these parameters for this address."""
        if signed == "missing":
            return {}
        signed_words = url + "".join(name + value for name, value in sorted(set(pairs)))
        key, digest = (self.shared_key, hashlib.sha256) if signed == "sha256" else (self.auth_token, hashlib.sha1)
        if signed == "wrong":
            key = "not the token"
        found = {"X-Twilio-Signature": base64.b64encode(hmac.new(key.encode(), signed_words.encode(), digest).digest()).decode()}
        if signed == "sha256":
            found["X-Twilio-Webhooks-Signature-Settings"] = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
        return found

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _error(status: int, code: int, why: str) -> dict[str, Any]:
    return {"code": code or None, "message": why, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}


def _known(form: Iterable[str], names: Iterable[str]) -> None:
    if unknown := set(form) - set(names):
        raise Refused(400, 20001, f"unknown parameters {sorted(unknown)}")


def _fits(words: Iterable[tuple[str, int]]) -> None:
    for word, roof in words:
        if not word.strip() or len(word) > roof or "\n" in word:
            raise Refused(400, 63021, f"empty, over {roof} characters, or with a line break")


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _content(content: Any) -> None:
    """Refuses what the published schema of a ContentCreateRequest does not allow."""
    if not isinstance(content, dict):
        raise Refused(400, 20001, "no object")
    _known(content, {"friendly_name", "variables", "language", "types"})
    types, samples = content.get("types"), content.get("variables", {})
    if not re.fullmatch(r"[a-z]{2}(?:_[A-Z]{2})?", content.get("language", "")) or not isinstance(types, dict) or len(types) != 1:
        raise Refused(400, 20001, "language and types are required")
    if not isinstance(samples, dict) or len(samples) > 100 or not all(isinstance(one, str) and one for one in samples.values()):
        raise Refused(400, 20001, "variables are names and sample words")
    used: set[str] = set()
    (kind, parts), *_ = types.items()
    if kind == "twilio/quick-reply":
        rows, shape, limit = "actions", ({"body", "actions"}, {"type", "title"}, {"type", "title", "id"}), 10
    elif kind == "twilio/list-picker":
        rows, shape, limit = "items", ({"body", "button", "items"}, {"item", "id"}, {"item", "id", "description"}), 10
    else:
        raise Refused(400, 20001, f"unexpected type {kind}")
    whole, needed, allowed = shape
    if set(parts) != whole or not 1 <= len(parts[rows]) <= limit:
        raise Refused(400, 20001, "parts are missing, unknown, too few or too many")
    words = [parts["body"], parts.get("button", "x")]
    for row in parts[rows]:
        if not needed <= set(row) <= allowed or row.get("type", "QUICK_REPLY") != "QUICK_REPLY":
            raise Refused(400, 20001, "a row with parts that are missing or unknown")
        words += row.values()
    for word in words:
        if not isinstance(word, str) or not word:
            raise Refused(400, 20001, "an empty word")
        used |= set(VARIABLE.findall(word))
    if used != set(samples) or any(not re.fullmatch(r"\w{1,16}", name) for name in used):
        raise Refused(400, 20001, "variables without sample, samples without variable, or a bad name")
