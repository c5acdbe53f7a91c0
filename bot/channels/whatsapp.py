"""WhatsApp through Twilio: signed webhooks in, one REST request per message out, and Twilio's copies deleted afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from multidict import MultiDictProxy
from yarl import URL

from bot.channels import Receive
from bot.channels.clock import WORTH_TELLING
from bot.channels.fetching import fetched
from bot.channels.limits import LIMITS, SendError, lay_out, length
from bot.channels.twilio_rest import LIVE_API, LOOPBACK, TwilioRest, as_error, trouble_of
from bot.channels.whatsapp_erasures import DELAYS, Erasure, Erasures, Note, nowhere
from bot.channels.whatsapp_templates import Synced, Templates, filled_in, shape_of, variables
from bot.logs import log
from bot.messages import Address, Attachment, Button, Inbound, Outbound, Span

if TYPE_CHECKING:
    from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

NAME = "whatsapp"
PREFIX = "whatsapp:"
WEBHOOK, STATUS = "/whatsapp/webhook", "/whatsapp/status"
BODY_BYTES, FIELDS, BODY_SECONDS = 1 << 20, 1000, 10.0
RECEIVED = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
MEDIA_PER_MESSAGE = 10
OURS = re.compile(r"[0-9a-z]{2,16}\.\d{1,9}\.\d{1,4}|/[a-z_]{1,32}(?: [\w.:-]{1,64})?")
"""A token that we gave to a button: a conversation's, or a command. Other payloads (of templates made elsewhere) are read as text."""
MEDIUM = re.compile(r"/Messages/([A-Za-z0-9]{2,64})/Media/([A-Za-z0-9]{2,64})(?:\.json)?$")
MARKS = {"bold": "*", "italic": "_", "code": "```"}
NOT_DELIVERED = frozenset({"failed", "undelivered"})
FATE_KNOWN = NOT_DELIVERED | {"delivered", "read", "canceled"}
ERASE_AFTER, ERASE_FETCHED_AFTER, ERASE_UNFETCHED_AFTER = 60.0, 300.0, 7200.0
"""Twilio's copy goes when we have kept the message, but not at once: a photo that was fetched must have been cleaned and stored. One
that was not fetched by then is refused (too many, disk full) or given up."""
SWEEP_EVERY = 300.0
SWEEP_SETTLE, SWEEP_OVERLAP, SWEEP_REACH = timedelta(seconds=60), timedelta(minutes=15), timedelta(hours=23)
"""A sweep leaves to the webhook what is younger than a minute, looks back over its last run, and never beyond what `receive` still
knows to be a second delivery (24 h) or we could still answer."""
SWEEP_PAGES = 50
LOOK_AFTER, LOOK_BACK = 1.5, timedelta(seconds=5)
"""A message whose request was not answered is looked for after so many seconds; its time at Twilio may be a little before ours."""
SENT_KEPT = 5000
"""The ids of so many messages are remembered, so that an earlier one with the same words is not taken for it."""
SECOND = timedelta(seconds=1)
"""Twilio's times are whole seconds."""
PROGRESS, PROGRESS_SECONDS, RECENT = 1000, 3600.0, 50_000

OnStatus = Callable[[str, str, str], Awaitable[None]]


# --- what came in -------------------------------------------------------------------------------------------------------------------


def understood(form: Mapping[str, str]) -> Inbound | None:
    """The message that a webhook's parameters stand for; None when they are no WhatsApp message.

    Names, numbers, places and what else Twilio tells of a person are not taken over.
    """
    sender = form.get("From", "")
    sid = form.get("MessageSid") or form.get("SmsMessageSid") or form.get("SmsSid") or ""
    if not sid or not sender.startswith(PREFIX) or len(sender) == len(PREFIX):
        return None
    payload = form.get("ButtonPayload") or form.get("ListId") or ""
    text = form.get("Body", "")
    attachments = _attachments(form)
    if not text and not payload and not attachments:
        attachments = (Attachment(refused="other"),)
    return Inbound(
        Address(NAME, sender),
        platform_id=sid,
        text=text or (payload if not OURS.fullmatch(payload) else ""),
        button=payload if OURS.fullmatch(payload) else "",
        attachments=attachments,
        message_id=sid,
    )


def _attachments(form: Mapping[str, str]) -> tuple[Attachment, ...]:
    found = [
        _attachment(url, form.get(f"MediaContentType{number}", ""))
        for number in range(MEDIA_PER_MESSAGE)
        if (url := form.get(f"MediaUrl{number}", ""))
    ]
    if not found and form.get("NumMedia", "0") not in ("0", ""):
        found.append(Attachment(refused="other"))
    if form.get("Latitude"):
        found.append(Attachment(refused="location"))
    return tuple(found)


def _attachment(url: str, content_type: str) -> Attachment:
    kind, _, detail = content_type.partition(";")[0].strip().lower().partition("/")
    if kind == "image":
        return Attachment(source=url)
    if kind == "video":
        return Attachment(refused="video")
    if kind == "audio" or detail == "ogg":
        return Attachment(refused="voice")
    if detail in ("vcard", "x-vcard", "directory"):
        return Attachment(refused="contact")
    return Attachment(refused="document" if kind in ("application", "text") else "other")


def media_of(inbound: Inbound) -> tuple[str, ...]:
    """The ids of the media that a message brought, for `WhatsApp.clean_up`."""
    found = (MEDIUM.search(urlsplit(attachment.source).path) for attachment in inbound.attachments)
    return tuple(named[2] for named in found if named is not None)


# --- what goes out ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One message as WhatsApp shows it: its text with marks, and the choices under it, if they can be tapped."""

    text: str
    buttons: tuple[Button, ...] = ()


def rendered(spans: Sequence[Span]) -> str:
    """The text with WhatsApp's marks. A mark hugs its words and never runs over the end of a line, else it would be shown."""
    return "".join(span.text if span.style not in MARKS else _marked(span.text, MARKS[span.style]) for span in spans)


def _marked(text: str, mark: str) -> str:
    lines = []
    for line in text.split("\n"):
        words = line.strip()
        start = line.find(words)
        hugged = f"{mark}{words}{mark}" if words and mark[0] not in words else words
        lines.append(line[:start] + hugged + line[start + len(words) :])
    return "\n".join(lines)


def parts_of(outbound: Outbound) -> list[Part]:
    """The messages that show `outbound` within WhatsApp's limits, marks included; the choices belong to the last one.

    Lengths are counted in UTF-16 units, the stricter of the two ways in which Twilio may count.
    """
    spare = 0
    while True:
        limits = replace(LIMITS[NAME], unit="utf16")
        limits = replace(limits, text=limits.text - spare, interactive_text=limits.interactive_text - spare)
        laid = lay_out(outbound, limits)
        tapped = laid.shown_as in ("buttons", "list")
        texts = [rendered(text) for text in laid.texts]
        roofs = [LIMITS[NAME].text] * (len(texts) - 1) + [LIMITS[NAME].interactive_text if tapped else LIMITS[NAME].text]
        over = max(length(text, "utf16") - roof for text, roof in zip(texts, roofs, strict=True))
        if over <= 0:
            break
        spare += over
        if spare > 400:  # nothing but marks: better plain words than many small messages
            outbound, spare = replace(outbound, spans=tuple(Span(span.text) for span in outbound.spans)), 0
    last = Part(texts[-1], laid.buttons if tapped else ())
    return [Part(text) for text in texts[:-1] if text.strip()] + ([last] if last.text.strip() else [])


# --- the channel --------------------------------------------------------------------------------------------------------------------


class WhatsApp:
    """The WhatsApp channel.

    `remember` and `forget_erasure` keep what is still to be deleted at Twilio across a restart; `on_status` learns a message's fate.
    `list_button` is the word on a list's button (at most 20 characters); without it the button shows the numbers of the rows.
    """

    name = NAME
    limits = LIMITS[NAME]

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        *,
        public_url: str,
        templates_file: Path,
        api_url: str = LIVE_API,
        content_url: str = "",
        media_hosts: Collection[str] = ("api.twilio.com",),
        signing_keys: Sequence[str] = (),
        list_button: str = "",
        on_status: OnStatus | None = None,
        remember: Note = nowhere,
        forget_erasure: Note = nowhere,
        erase_after: float = ERASE_AFTER,
        erase_fetched_after: float = ERASE_FETCHED_AFTER,
        erase_unfetched_after: float = ERASE_UNFETCHED_AFTER,
        erase_delays: Sequence[float] = DELAYS,
        sweep_every: float = SWEEP_EVERY,
        look_after: float = LOOK_AFTER,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.sender = sender if sender.startswith(PREFIX) or not sender else PREFIX + sender
        self.public_url = public_url.rstrip("/")
        self.media_hosts = frozenset(host.lower() for host in media_hosts)
        self.rest = TwilioRest(account_sid, auth_token, api_url)
        content_url = content_url or ("https://content.twilio.com" if self.rest.api_url == LIVE_API else api_url)
        self.templates = Templates(self.rest, content_url, templates_file)
        self.erasures = Erasures(self.rest, remember=remember, forget=forget_erasure, delays=erase_delays)
        self._keys = (auth_token, *signing_keys)
        self._validators: list[RequestValidator] = []
        self._list_button, self._on_status = list_button, on_status
        self._erase_after, self._erase_fetched_after = erase_after, erase_fetched_after
        self._erase_unfetched_after = erase_unfetched_after
        self._sweep_every, self._look_after, self._now = sweep_every, look_after, now
        self._receive: Receive | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._progress: OrderedDict[tuple[Address, Outbound], tuple[float, list[str]]] = OrderedDict()

    def routes(self) -> Sequence[web.RouteDef]:
        """The webhooks of messages and of their fate."""
        return [web.post(WEBHOOK, self._message_came), web.post(STATUS, self._status_came)]

    async def start(self, receive: Receive) -> None:
        """Begin to receive, to sweep for missed messages, and to delete what is due. Never raises for a platform that is down."""
        self._receive = receive
        self.erasures.start()
        if self._sweep_every > 0 and self._sweeper is None:
            self._sweeper = asyncio.create_task(self._keep_sweeping(), name="whatsapp-sweep")

    async def stop(self) -> None:
        """Stop receiving and close every connection."""
        self._receive = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
            self._sweeper = None
        await self.erasures.stop()
        await self.rest.close()

    # --- webhooks -------------------------------------------------------------------------------------------------------------------

    async def _message_came(self, request: web.Request) -> web.Response:
        form = await self._verified(request)
        inbound = understood(form)
        if inbound is not None:
            if self._receive is None:
                return web.Response(status=503)
            try:
                await self._received(inbound, self._receive)
            except Exception as error:  # noqa: BLE001 - whatever it was: Twilio must learn that the message is not kept
                log.error("message not kept", channel=NAME, error=type(error).__name__)
                return web.Response(status=500)
        return web.Response(text=RECEIVED, content_type="text/xml")

    async def _received(self, inbound: Inbound, receive: Receive) -> None:
        await receive(inbound)
        self._recent[inbound.platform_id] = None
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        photos = any(attachment.source for attachment in inbound.attachments)
        # One with photos has to stay until they are fetched, which says it again; but those that nobody wants are deleted as well.
        await self.erasures.later(
            Erasure(inbound.message_id, media_of(inbound)), self._erase_unfetched_after if photos else self._erase_after
        )

    async def _status_came(self, request: web.Request) -> web.Response:
        form = await self._verified(request)
        sid = form.get("MessageSid") or form.get("SmsSid") or ""
        status = (form.get("MessageStatus") or form.get("SmsStatus") or "").lower()
        try:
            if sid and status and self._on_status is not None:
                await self._on_status(sid, status, form.get("ErrorCode", ""))
            if status in NOT_DELIVERED and self._receive is not None and (gone := _gone(form, sid)) is not None:
                await self._receive(gone)
            if status in FATE_KNOWN:
                await self.erasures.later(Erasure(sid), self._erase_after)
        except Exception as error:  # noqa: BLE001 - as above
            log.error("fate not noted", channel=NAME, error=type(error).__name__)
            return web.Response(status=500)
        return web.Response(status=204)

    async def _verified(self, request: web.Request) -> MultiDictProxy[str]:
        """The parameters of a request that Twilio signed; any other is refused with 400, 403, 408, 413 or 415."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPUnsupportedMediaType
        if any(name.strip().lower() != "identity" for name in request.headers.getall("Content-Encoding", [])):
            raise web.HTTPUnsupportedMediaType
        signatures = request.headers.getall("X-Twilio-Signature", [])
        if len(signatures) != 1 or not signatures[0]:
            raise web.HTTPForbidden
        body = await _body(request)
        if body.count(b"&") >= FIELDS:
            raise web.HTTPBadRequest
        try:
            form = URL.build(query_string=body.decode(), encoded=True).query
        except ValueError:
            raise web.HTTPBadRequest from None
        settings = request.headers.getall("X-Twilio-Webhooks-Signature-Settings", [])
        query = request.raw_path.partition("?")[2]
        url = self.public_url + request.path + (f"?{query}" if query else "")
        if len(settings) > 1 or not self._signed(url, form, signatures[0], "".join(settings)):
            raise web.HTTPForbidden
        return form

    def _signed(self, url: str, form: MultiDictProxy[str], signature: str, settings: str) -> bool:
        """Whether one of our keys signed all the parameters and the public address (with or without the usual port)."""
        from twilio.request_validator import RequestValidator, get_signature_algorithm

        if not self._validators:
            self._validators = [RequestValidator(key) for key in self._keys]
        algorithm = get_signature_algorithm(settings)
        try:
            given = signature.encode()
            return any(
                hmac.compare_digest(validator.compute_signature(address, form, algorithm).encode(), given)
                for validator in self._validators
                for address in _addresses(url)
            )
        except ValueError:  # an algorithm that nobody knows, or bytes that are no text
            return False

    # --- sending --------------------------------------------------------------------------------------------------------------------

    async def send(self, address: Address, outbound: Outbound) -> Sequence[str]:
        """Send one message; Twilio's ids of what was sent. Raises `SendError`.

        A message of several parts that stopped in the middle goes on from there when it is sent again.
        """
        if outbound.template:
            sid, *values = outbound.template
            return [await self._post(address, {"ContentSid": sid, "ContentVariables": filled_in(values)})]
        key = (address, outbound)
        now = time.monotonic()
        started, done = self._progress.pop(key, (now, []))
        if now - started > PROGRESS_SECONDS:
            started, done = now, []
        try:
            for part in parts_of(outbound)[len(done) :]:
                done.append(await self._deliver(address, part))
        except SendError as error:
            if error.again and done:
                self._progress[key] = (started, done)
                if len(self._progress) > PROGRESS:
                    self._progress.popitem(last=False)
            raise
        return done

    async def _deliver(self, address: Address, part: Part) -> str:
        shape = shape_of(part.text, part.buttons) if part.buttons else None
        sid = await self.templates.sid(shape) if shape is not None else ""
        if shape is None or not sid:
            return await self._post(address, {"Body": part.text}, part.text)
        words = variables(shape, part.text, part.buttons, self._list_button)
        try:
            return await self._post(address, {"ContentSid": sid, "ContentVariables": words}, part.text)
        except SendError as error:
            if error.trouble != "bad_request":
                raise
            # Refused, so certainly not sent; the numbers in the text do the same without the template.
            found = await self._post(address, {"Body": part.text}, part.text)
            self.templates.refused(shape, error.code)
            log.warning("template refused", channel=NAME, shape=shape.name, code=error.code)
            return found

    async def _post(self, address: Address, what: Mapping[str, str], text: str = "") -> str:
        """Send one request; Twilio's id of the message. With its `text` a request without an answer is looked for at Twilio."""
        form = {"From": self.sender, "To": address.chat, **what}
        if callback := self._callback():
            form["StatusCallback"] = callback
        begun = self._there()
        try:
            answer = await self.rest.call("POST", f"{self.rest.account_url}/Messages.json", form=form)
            sid = str(answer.data.get("sid") or "")
            lost = answer.data.get("status") in ("failed", "undelivered") and answer.code
            if not answer.well or not sid or lost:
                raise as_error(answer, self._there())
        except SendError as error:
            if error.trouble != "unknown_outcome" or not text:
                raise
            sid = await self._found(address, "" if "ContentSid" in what else text, begun, error)
        self._sent[sid] = None
        if len(self._sent) > SENT_KEPT:
            self._sent.popitem(last=False)
        return sid

    async def _found(self, address: Address, text: str, begun: datetime, doubt: SendError) -> str:
        """The id of the message that a request without an answer made; raises `down` when there is none, so that it may be repeated.

        Twilio may list what a template made with other words than ours: then any message to the chat that we did not know of is it.
        """
        await asyncio.sleep(self._look_after)
        query = urlencode({"To": address.chat, "From": self.sender, "PageSize": "50"})
        try:
            answer = await self.rest.call("GET", f"{self.rest.account_url}/Messages.json?{query}")
        except SendError:
            raise doubt from None
        listed = answer.data.get("messages")
        if not answer.well or not isinstance(listed, list):
            raise doubt
        for item in listed:
            sid, made = str(item.get("sid") or ""), _date(item.get("date_created"))
            new = sid not in self._sent and made is not None and made >= begun - LOOK_BACK
            if new and item.get("direction") != "inbound" and (not text or text.split() == str(item.get("body") or "").split()):
                return sid
        raise SendError("down", code=f"not there after {doubt.code}")

    def _callback(self) -> str:
        """Where Twilio reports a message's fate; nowhere when it could not reach us there, which it would refuse."""
        host = urlsplit(self.public_url).hostname or ""
        if not host or "_" in host or (host in LOOPBACK and urlsplit(self.rest.api_url).hostname not in LOOPBACK):
            return ""
        return self.public_url + STATUS

    async def forget(self, address: Address, message_ids: Sequence[str]) -> None:
        """Delete these messages at Twilio, soon. On the person's phone nothing can be deleted."""
        for sid in message_ids:
            await self.erasures.later(Erasure(sid), 0.0)

    # --- media ----------------------------------------------------------------------------------------------------------------------

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a photo. Raises `FetchError`.

        Twilio's copy is deleted some minutes later, when this process has long stored the photo; `clean_up` does it at once.
        """
        found = await fetched(lambda: self.rest.download(attachment.source, self.media_hosts))
        if (named := MEDIUM.search(urlsplit(attachment.source).path)) is not None:
            await self.erasures.later(Erasure(named[1], (named[2],)), self._erase_fetched_after)
        return found

    async def clean_up(self, message_sid: str, media_sids: Sequence[str] = ()) -> None:
        """Delete a message and its media at Twilio, when everything of it is stored; what fails is tried again later."""
        await self.erasures.erase(Erasure(message_sid, tuple(media_sids)))

    async def delete_soon(self, message_sid: str, media_sids: Sequence[str] = ()) -> None:
        """Take up a deletion that was remembered: not at once, since a turn that a crash took away may still need the photo."""
        await self.erasures.later(Erasure(message_sid, tuple(media_sids)), self._erase_fetched_after if media_sids else self._erase_after)

    # --- missed messages ------------------------------------------------------------------------------------------------------------

    async def sweep(self, since: datetime, until: datetime | None = None) -> AsyncIterator[Inbound]:
        """The messages that Twilio holds for us since then (and until then), oldest first. Raises `SendError`.

        Twilio does not keep what was tapped: a tap comes as the words on the button.
        """
        query = urlencode({"To": self.sender, "DateSent>": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "PageSize": "500"})
        url = f"{self.rest.account_url}/Messages.json?{query}"
        found: list[tuple[datetime, Mapping[str, Any]]] = []
        for _ in range(SWEEP_PAGES):
            answer = await self.rest.call("GET", url)
            if not answer.well:
                raise as_error(answer, self._there())
            for item in answer.data.get("messages") or ():
                sent = _date(item.get("date_sent") or item.get("date_created"))
                if item.get("direction") == "inbound" and sent is not None and since - SECOND <= sent and (until is None or sent <= until):
                    found.append((sent, item))
            onward = str(answer.data.get("next_page_uri") or "")
            if "?" not in onward:
                break
            # Only the query is taken over: the credentials stay with the address that the operator set.
            url = f"{self.rest.account_url}/Messages.json?{onward.partition('?')[2]}"
        found.reverse()  # Twilio lists the newest first; the sort is stable
        for _, item in sorted(found, key=lambda pair: pair[0]):
            form = {"MessageSid": str(item.get("sid") or ""), "From": str(item.get("from") or ""), "Body": str(item.get("body") or "")}
            if str(item.get("num_media") or "0") != "0":
                form |= await self._listed_media(form["MessageSid"])
            inbound = understood(form)
            if inbound is not None:
                yield inbound

    async def _listed_media(self, sid: str) -> dict[str, str]:
        answer = await self.rest.call("GET", f"{self.rest.account_url}/Messages/{sid}/Media.json")
        if not answer.well:
            raise as_error(answer, self._there())
        form: dict[str, str] = {}
        for number, item in enumerate(answer.data.get("media_list") or ()):
            form[f"MediaUrl{number}"] = f"{self.rest.account_url}/Messages/{sid}/Media/{item.get('sid')}"
            form[f"MediaContentType{number}"] = str(item.get("content_type") or "")
        return form

    async def _keep_sweeping(self) -> None:
        since = self._there() - SWEEP_REACH
        while True:
            begun, ahead = self._there(), self.rest.clock.ahead
            try:
                if await self._swept(since, begun - SWEEP_SETTLE):
                    since = begun - SWEEP_OVERLAP
            except SendError as error:
                log.warning("sweep failed", channel=NAME, trouble=error.trouble, code=error.code)
            if abs(self.rest.clock.ahead - ahead) > WORTH_TELLING:
                since = self._there() - SWEEP_REACH  # what was asked for was another time than was meant
            await asyncio.sleep(self._sweep_every)
            since = max(since, self._there() - SWEEP_REACH)

    def _there(self) -> datetime:
        """What time it is at Twilio: messages are listed by its clock."""
        return self._now() + self.rest.clock.ahead

    async def _swept(self, since: datetime, until: datetime) -> bool:
        """Receive what was missed; False when something could not be kept, so that the next sweep looks for it again."""
        whole = True
        async for inbound in self.sweep(since, until):
            if self._receive is None or inbound.platform_id in self._recent:
                continue
            try:
                await self._received(inbound, self._receive)
            except Exception as error:  # noqa: BLE001 - one chat that is refused must not cost another its message
                log.error("message not kept", channel=NAME, error=type(error).__name__)
                whole = False
        return whole

    # --- for the operator -----------------------------------------------------------------------------------------------------------

    async def sync_templates(self) -> Synced:
        """See that every template is there, and make what is missing. Raises `SendError`."""
        return await self.templates.sync()

    async def check(self) -> str:
        """One line for `netra doctor`: empty when all is well, else what is wrong and what to do."""
        if not re.fullmatch(r"whatsapp:\+\d{6,15}", self.sender):
            return "TWILIO_WHATSAPP_FROM is not a WhatsApp sender: write it as whatsapp:+62..., as the Twilio console shows it"
        try:
            answer = await self.rest.call("GET", f"{self.rest.account_url}.json")
        except SendError as error:
            return f"Twilio cannot be reached ({error.code}): check the network and TWILIO_API_URL"
        if answer.status in (401, 403, 404):
            return f"Twilio refuses the credentials ({answer.code or answer.status}): check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
        if not answer.well:
            return f"Twilio answers {answer.status}: see status.twilio.com"
        if answer.data.get("status", "active") != "active":
            return f"the Twilio account is {answer.data['status']}: see the Twilio console"
        if wrong := self.rest.clock.trouble():
            return wrong
        public = urlsplit(self.public_url)
        if not public.hostname or "_" in public.hostname or (public.scheme != "https" and public.hostname not in LOOPBACK):
            return f"NETRA_PUBLIC_URL must be https and reachable: Twilio posts to <public address>{WEBHOOK}#rc=3&rp=all"
        if self.templates.count == 0:
            return "no templates for buttons yet, choices are shown as numbers: run netra whatsapp templates sync"
        return ""


async def _body(request: web.Request) -> bytes:
    """The body, as far as it is of a size and speed that Twilio's are."""
    if (request.content_length or 0) > BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES, request.content_length or 0)
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                found += chunk
                if len(found) > BODY_BYTES:
                    raise web.HTTPRequestEntityTooLarge(BODY_BYTES, len(found))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest from None
    return bytes(found)


def _gone(form: Mapping[str, str], sid: str) -> Inbound | None:
    """The news that a person cannot be written to any more, when a message's fate says so: blocked, opted out, not on WhatsApp."""
    code, to = form.get("ErrorCode", ""), form.get("To", "")
    if not code.isdecimal() or trouble_of(int(code)) != "stopped" or not to.startswith(PREFIX):
        return None
    return Inbound(Address(NAME, to), platform_id=f"{sid}.fate", control="stopped")


def _addresses(url: str) -> tuple[str, str]:
    """An address without and with its port: Twilio signs now one, now the other."""
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    rest = url.partition("://")[2]
    rest = rest[len(parts.netloc) :]
    return f"{parts.scheme}://{host}{rest}", f"{parts.scheme}://{host}:{parts.port or usual}{rest}"


def _date(value: Any) -> datetime | None:
    try:
        return parsedate_to_datetime(str(value))
    except ValueError:
        return None
