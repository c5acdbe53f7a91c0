"""The WhatsApp channel against a strict Twilio on loopback: what it takes in, what it sends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web

from bot.channels import Channel, fetching, twilio_rest
from bot.channels.limits import FetchError, SendError, Trouble
from bot.channels.twilio_rest import Answer, as_error
from bot.channels.whatsapp import WhatsApp, media_of, understood
from bot.channels.whatsapp_erasures import Erasure
from bot.channels.whatsapp_templates import GENERIC, Shape, Templates, content
from bot.messages import Address, Attachment, Button, Inbound, Outbound
from tests.channels.fake_twilio import FakeTwilio, Fault, Medium, Person
from tests.channels.whatsapp_payloads import BUDI, FIVE, IN, OUT, SENTENCE, YES_NO, Asked, form, says, tapped

pytestmark = pytest.mark.anyio

ADDRESS = Address("whatsapp", BUDI)
JPEG = b"\xff\xd8\xff\xe0" + b"photo" * 100


@pytest.fixture
def anyio_backend() -> str:
    """The loop that the bot runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between attempts to fetch."""
    monkeypatch.setattr(fetching, "PAUSES", (0.01, 0.01))


class Bot:
    """The channel on a listener of its own, with what it received."""

    def __init__(self, fake: FakeTwilio, channel: WhatsApp) -> None:
        self.fake, self.channel = fake, channel
        self.received: list[Inbound] = []
        self.failing = False
        self.url = ""

    async def receive(self, inbound: Inbound) -> bool:
        """Keep a message once."""
        if self.failing:
            raise RuntimeError("disk full: whatsapp:+6281234567890")
        if any(one.platform_id == inbound.platform_id for one in self.received):
            return False
        self.received.append(inbound)
        return True

    async def send(self, outbound: Outbound, address: Address = ADDRESS) -> list[str]:
        """Send, as the outbox does."""
        return list(await self.channel.send(address, outbound))


@contextlib.asynccontextmanager
async def running(fake: FakeTwilio, folder: Path, *, public_url: str = "", start: bool = True, **options: Any) -> AsyncIterator[Bot]:
    """The channel, listening, with a person who has just written."""
    given: dict[str, Any] = {
        "api_url": fake.url,
        "sweep_every": 0.0,
        "look_after": 0.0,
        "templates_file": folder / "templates.json",
    } | options
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, lingering_time=0.1)
    channel = WhatsApp(fake.account_sid, given.pop("auth_token", fake.auth_token), fake.sender, public_url="", **given)
    app.add_routes(channel.routes())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bot = Bot(fake, channel)
    host, port = runner.addresses[0][:2]
    bot.url = f"http://{host}:{port}"
    channel.public_url = (public_url or bot.url).rstrip("/")
    fake.listen(bot.url, public_url=public_url)
    fake.person(BUDI).last_wrote = fake.now
    if start:
        await channel.start(bot.receive)
    try:
        yield bot
    finally:
        await channel.stop()
        await runner.cleanup()


@pytest.fixture
async def fake() -> AsyncIterator[FakeTwilio]:
    """Twilio."""
    async with FakeTwilio() as twilio:
        yield twilio


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that another task does, at most five seconds."""
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


# --- what comes in --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("posted", "expected"), [(row[1], row[2]) for row in IN], ids=[row[0] for row in IN])
def test_payload_is_understood(posted: dict[str, str], expected: Inbound | None) -> None:
    """Every form of Twilio's stands for one message, and nothing of a person but address and words is taken over."""
    assert understood(posted) == expected
    if expected is not None:
        kept = json.dumps(expected.to_json())
        assert not any(hidden in kept for hidden in ("Budi", "ID.1234567890123456", "Jakarta", "AfabcDEF")) or posted["From"] in kept


async def test_every_payload_over_http(fake: FakeTwilio, tmp_path: Path) -> None:
    """The same forms posted and signed are answered with an empty TwiML document, and received once each."""
    async with running(fake, tmp_path) as bot:
        for number, (name, posted, expected) in enumerate(IN):
            sid = f"SM{number:032x}"
            renamed = {key: sid if key in ("MessageSid", "SmsSid", "SmsMessageSid") else value for key, value in posted.items()}
            before = len(bot.received)
            webhook = await fake.post(f"{bot.url}/whatsapp/webhook", renamed)
            assert (webhook.status, webhook.body) == (200, '<?xml version="1.0" encoding="UTF-8"?><Response/>'), name
            assert len(bot.received) - before == (expected is not None), name


async def test_a_person_and_the_bot_talk(fake: FakeTwilio, tmp_path: Path) -> None:
    """Words, a tapped button, a picked row, a photo and a number make the round between a phone and the bot, without a refusal."""
    async with running(fake, tmp_path) as bot:
        for address in ("whatsapp:+6281234567890", "whatsapp:ID.abc123"):
            person, here = fake.person(address), Address("whatsapp", address)
            await person.says("Halo")
            await bot.send(says("Benar?", buttons=YES_NO), here)
            assert (await person.sees()).labels == ("Ya", "Tidak")
            await person.taps("Tidak")
            assert (bot.received[-1].button, bot.received[-1].text) == ("a1b2c3.1.1", "Tidak")
            await bot.send(says("Menu", buttons=FIVE), here)
            seen = await person.sees()
            assert (seen.kind, seen.list_button, seen.labels[0]) == ("list", "1-5", "Lapor")
            await person.taps(3)
            assert bot.received[-1] == Inbound(
                here, bot.received[-1].platform_id, "Kuis", "a1b2c3.1.2", message_id=bot.received[-1].message_id
            )
            await person.sends_photo(JPEG, JPEG + b"2", caption="di lapangan")
            assert [one.text for one in bot.received[-2:]] == ["di lapangan", ""]
            assert await bot.channel.fetch(bot.received[-1].attachments[0]) == JPEG + b"2"
            await person.shares_location()
            assert bot.received[-1].attachments == (Attachment(refused="location"),)
        assert not fake.refusals and not fake.leaks
        assert {webhook.status for webhook in fake.webhooks} == {200, 204}


async def test_channel_keeps_the_protocol(fake: FakeTwilio, tmp_path: Path) -> None:
    """It is a `Channel`, and twilio is not imported before the first webhook comes."""
    async with running(fake, tmp_path) as bot:
        channel: Channel = bot.channel
        assert (channel.name, channel.limits.buttons) == ("whatsapp", 3)
    script = "import sys, bot.channels.whatsapp; sys.exit('twilio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode == 0


# --- the door -------------------------------------------------------------------------------------------------------------------------


async def test_signature_is_of_the_public_address(fake: FakeTwilio, tmp_path: Path) -> None:
    """The configured address counts, with or without its port and with its query; the Host header and forwarded names never do."""
    async with running(fake, tmp_path, public_url="https://netra.example/bot/") as bot:
        url, path = f"{bot.url}/whatsapp/webhook", "/bot/whatsapp/webhook"
        for signed_url in (f"https://netra.example{path}", f"https://netra.example:443{path}"):
            assert (await fake.post(url, form(), signed_url=signed_url)).status == 200
        assert (await fake.post(f"{url}?a=%20b&c", form(), signed_url=f"https://netra.example{path}?a=%20b&c")).status == 200
        for signed_url in (url, f"https://evil.example{path}", f"http://netra.example{path}", f"https://netra.example:8443{path}"):
            headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
            assert (await fake.post(url, form(), signed_url=signed_url, headers=headers)).status == 403


async def test_signature_is_over_all_parameters(fake: FakeTwilio, tmp_path: Path) -> None:
    """A parameter that was added, taken out, changed or doubled after signing is noticed; unknown, empty and doubled ones can be signed."""
    async with running(fake, tmp_path) as bot:
        url = f"{bot.url}/whatsapp/webhook"
        signature = fake.signature(url, form().items())
        for posted in (form(New="1"), form(WaId=None), form(Body="Halo!"), [*form().items(), ("Body", "Tidak")]):
            assert (await fake.post(url, posted, signed="missing", headers=signature)).status == 403
        for good in (form(New="", Ünïcode="ß"), [*form().items(), ("Body", "Tidak"), ("Body", "Halo")]):
            assert (await fake.post(url, good)).status == 200
        assert [one.text for one in bot.received] == ["Halo"]


async def test_unsigned_and_odd_requests_are_refused(fake: FakeTwilio, tmp_path: Path) -> None:
    """Missing, wrong, doubled or garbled signatures give 403; other types, encodings and sizes 413 or 415; never 500, never a message."""
    async with running(fake, tmp_path) as bot, aiohttp.ClientSession() as http:
        good = "a=1&From=whatsapp%3A%2B1&MessageSid=SM1"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        for path in ("/whatsapp/webhook", "/whatsapp/status"):
            url = bot.url + path
            signed = kind | fake.signature(url, parse_qsl(good))
            cases: list[tuple[str | bytes, dict[str, str], int]] = [
                (good, kind, 403),
                (good, kind | {"X-Twilio-Signature": ""}, 403),
                (good, kind | {"X-Twilio-Signature": "wrong"}, 403),
                (good, kind | {"X-Twilio-Signature": "é\udcff" * 9}, 403),
                (good, signed | {"X-Twilio-Webhooks-Signature-Settings": "algorithm=MD5"}, 403),
                (good, signed | {"X-Twilio-Webhooks-Signature-Settings": "=,;,algorithm="}, 200),
                (good, {"X-Twilio-Signature": signed["X-Twilio-Signature"], "Content-Type": "application/json"}, 415),
                ('{"a": 1}', fake.signature(url, []) | {"Content-Type": "application/json"}, 415),
                (good, signed | {"Content-Type": "multipart/form-data; boundary=x"}, 415),
                (good, signed | {"Content-Type": "text/xml"}, 415),
                (good, signed | {"Content-Type": ";;="}, 415),
                (gzip.compress(good.encode()), signed | {"Content-Encoding": "gzip"}, 415),
                (good, signed | {"Content-Encoding": "zip"}, 415),
                (b"a=" + b"x" * (1 << 20), signed, 413),
                (b"a=\xff\xfe", signed, 400),
                ("a=%FF", signed, 403),
                ("&".join(f"a{number}=" for number in range(2000)), signed, 400),
                ("", signed, 403),
                ("=&=;&&&", signed, 403),
            ]
            for body, headers, status in cases:
                async with http.post(
                    url, data=io.BytesIO(body) if isinstance(body, bytes) else body, headers=headers, skip_auto_headers=["Content-Type"]
                ) as response:
                    assert response.status in ((200, 204) if status == 200 else (status,)), (path, body[:40], headers)
            doubled = [*kind.items(), *([("X-Twilio-Signature", signed["X-Twilio-Signature"])] * 2)]
            async with http.post(url, data=good, headers=doubled) as response:
                assert response.status == 403
            async with http.get(url) as response:
                assert response.status == 405
        assert [one.platform_id for one in bot.received] == ["SM1"]


async def test_no_request_makes_an_internal_error(fake: FakeTwilio, tmp_path: Path) -> None:
    """Bytes, parameters and headers by chance, signed and unsigned, are refused or taken, and never answered with 500."""
    chance = random.Random(5)
    names = ["From", "MessageSid", "Body", "NumMedia", "MediaUrl0", "MediaContentType0", "Latitude", "ButtonPayload", "ListId", "X", ""]
    values = ["", "0", "-1", "999999999999", "whatsapp:", "whatsapp:ID.x", "http://[", "\ud7ff", "\x00", "a/b/c;;", "é", "/", "x" * 3000]
    async with running(fake, tmp_path) as bot:
        for _ in range(150):
            pairs = [(chance.choice(names), chance.choice(values)) for _ in range(chance.randrange(12))]
            path = chance.choice(["/whatsapp/webhook", "/whatsapp/status"])
            webhook = await fake.post(bot.url + path, pairs, signed=chance.choice(["right", "right", "wrong"]))
            assert webhook.status in (200, 204, 403)


async def test_unchunked_body_is_capped_while_it_comes(fake: FakeTwilio, tmp_path: Path) -> None:
    """A body without a length is cut off at one MiB."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 16)

    async with running(fake, tmp_path) as bot, aiohttp.ClientSession() as http:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "x"}
        with contextlib.suppress(aiohttp.ClientError):
            async with http.post(f"{bot.url}/whatsapp/webhook", data=endless(), headers=headers) as response:
                assert response.status == 413
        assert not bot.received


async def test_shared_key_signatures(fake: FakeTwilio, tmp_path: Path) -> None:
    """A further signing key with HMAC-SHA256 is accepted when it was configured, and only then."""
    async with running(fake, tmp_path) as bot:
        assert (await fake.post(f"{bot.url}/whatsapp/webhook", form(), signed="sha256")).status == 403
    async with running(fake, tmp_path, signing_keys=(fake.shared_key,)) as bot:
        assert (await fake.post(f"{bot.url}/whatsapp/webhook", form(), signed="sha256")).status == 200
        assert (await fake.post(f"{bot.url}/whatsapp/webhook", form())).status == 200


async def test_not_kept_is_not_acknowledged(fake: FakeTwilio, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """When a message could not be kept Twilio gets 500, nothing of it is logged, and the message is taken when it comes again."""
    async with running(fake, tmp_path) as bot:
        bot.failing = True
        webhook = await fake.person(BUDI).says("rahasia saya")
        assert webhook.status == 500
        bot.failing = False
        assert (await fake.post(f"{bot.url}/whatsapp/webhook", webhook.form)).status == 200
        assert [one.text for one in bot.received] == ["rahasia saya"]
    logged = "".join(capfd.readouterr())
    assert "RuntimeError" in logged and "rahasia" not in logged and "6281234567890" not in logged


async def test_before_the_start_nothing_is_acknowledged(fake: FakeTwilio, tmp_path: Path) -> None:
    """A webhook that comes before the bot is ready, or after it stopped, is not answered with 200."""
    async with running(fake, tmp_path, start=False) as bot:
        assert (await fake.person(BUDI).says("Halo")).status == 503
        assert not bot.received


async def test_doubled_and_reordered_webhooks(fake: FakeTwilio, tmp_path: Path) -> None:
    """The same message delivered three times in any order is acknowledged each time and carries one id to be known by."""
    async with running(fake, tmp_path) as bot:
        async with fake.held() as held:
            for word in ("satu", "dua", "tiga"):
                await fake.person(BUDI).says(word)
            held[:] = [*reversed(held), *held]
        assert [webhook.status for webhook in fake.webhooks] == [200] * 6
        assert [one.text for one in bot.received] == ["tiga", "dua", "satu"]


async def test_status_callbacks(fake: FakeTwilio, tmp_path: Path) -> None:
    """Signed reports of a message's fate reach `on_status`, with the error's code; one who is gone is news of the chat, as on Telegram."""
    fates: list[tuple[str, str, str]] = []

    async def noted(sid: str, status: str, code: str) -> None:
        fates.append((sid, status, code))

    async with running(fake, tmp_path, on_status=noted) as bot:
        [sid] = await bot.send(says("Halo"))
        await fake.settled()
        fake.fate = ("undelivered", "63024")
        [other] = await bot.send(says("Halo"))
        await fake.settled()
        assert fates == [(sid, "sent", ""), (sid, "delivered", ""), (other, "sent", ""), (other, "undelivered", "63024")]
        assert [(one.address, one.control) for one in bot.received] == [(ADDRESS, "stopped")]
        fake.fate = ("undelivered", "63016")
        await bot.send(says("Halo"))
        await fake.settled()
        assert len(bot.received) == 1
        del fates[4:]
        posted = {"MessageSid": sid, "MessageStatus": "failed"}
        assert (await fake.post(f"{bot.url}/whatsapp/status", posted, signed="wrong")).status == 403
        assert len(fates) == 4


# --- what goes out --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outbound", "expected"), [(row[1], row[2]) for row in OUT], ids=[row[0] for row in OUT])
async def test_outbound_becomes_requests(fake: FakeTwilio, tmp_path: Path, outbound: Outbound, expected: list[Asked]) -> None:
    """Every message of the bot becomes the expected requests, and none that Twilio refuses."""
    async with running(fake, tmp_path) as bot:
        sids = await bot.send(outbound)
        asked = [request for method, path, request in fake.requests if path.endswith("/Messages.json")]
        assert not fake.refusals
        assert len(asked) == len(sids) == len(expected)
        for one, request in zip(expected, asked, strict=True):
            assert one.fits(request, fake.contents), request
            assert (request["From"], request["To"]) == (fake.sender, BUDI)
            assert request["StatusCallback"] == f"{bot.url}/whatsapp/status"


async def test_without_templates_choices_are_numbers(fake: FakeTwilio, tmp_path: Path) -> None:
    """When the Content API is down choices are written as numbered lines, and the next messages do not wait for it again."""
    async with running(fake, tmp_path) as bot:
        fake.answers_next(503, path="/v1/Content", times=1)
        for _ in range(2):
            await bot.send(says("Benar?", buttons=YES_NO))
            assert (await fake.person(BUDI).sees()).text == "Benar?\n\n1. Ya\n2. Tidak"
        await bot.send(says("Menu", buttons=FIVE))
        assert not fake.contents and not fake.person(BUDI).messages[-1].choices


async def test_a_refused_template_falls_back_to_numbers(fake: FakeTwilio, tmp_path: Path) -> None:
    """A template that Twilio does not take (any more) costs nobody their message; one that is gone is made again later."""
    now = [0.0]
    async with running(fake, tmp_path) as bot:
        bot.channel.templates = Templates(bot.channel.rest, fake.url, tmp_path / "other.json", monotonic=lambda: now[0])
        person = fake.person(BUDI)
        await bot.send(says("Benar?", buttons=YES_NO))
        fake.contents.clear()
        for _ in range(2):
            await bot.send(says("Benar?", buttons=YES_NO))
        assert [one.kind for one in person.messages] == ["buttons", "text", "text"]
        assert [refused.code for refused in fake.refusals] == [21655]
        now[0] = 301.0
        await bot.send(says("Benar?", buttons=YES_NO))
        assert person.messages[-1].kind == "buttons"


async def test_templates_are_made_once(fake: FakeTwilio, tmp_path: Path) -> None:
    """Sync makes every generic shape once; another run, another process and a lost file find them again."""
    fake.page_size = 5
    async with running(fake, tmp_path) as bot:
        done = await bot.channel.sync_templates()
        assert (done.there, done.made, done.refused) == (0, len(GENERIC), 0)
        done = await bot.channel.sync_templates()
        assert (done.there, done.made) == (len(GENERIC), 0)
    (tmp_path / "templates.json").write_text("damaged")
    async with running(fake, tmp_path) as bot:
        done = await bot.channel.sync_templates()
        assert (done.there, done.made) == (len(GENERIC), 0)
        await asyncio.gather(*(bot.send(says("Benar?", buttons=YES_NO)) for _ in range(5)))
        mixed = Shape("list_picker", (True, False, False, False))
        sids = await asyncio.gather(*(bot.channel.templates.sid(mixed) for _ in range(5)))
        assert len(set(sids)) == 1 and len(fake.contents) == len(GENERIC) + 1
        bot.channel.templates.at_most = len(GENERIC) + 1
        assert await bot.channel.templates.sid(Shape("list_picker", (False, True, False, False))) == ""
    assert not fake.refusals


async def test_command_makes_the_templates(fake: FakeTwilio, tmp_path: Path) -> None:
    """`netra whatsapp templates sync` says how many there are; refused credentials are one line that says what to do."""

    async def sync(token: str) -> tuple[int, str, str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "NETRA_DATA_DIR": str(tmp_path),
            "NETRA_PUBLIC_URL": "https://bot.example",
            "TWILIO_ACCOUNT_SID": fake.account_sid,
            "TWILIO_AUTH_TOKEN": token,
            "TWILIO_WHATSAPP_FROM": fake.sender,
            "TWILIO_API_URL": fake.url,
        }
        command = [sys.executable, "-m", "bot", "whatsapp", "templates", "sync"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    assert await sync(fake.auth_token) == (0, f"{len(GENERIC)} templates are ready, {len(GENERIC)} of them new.\n", "")
    assert await sync(fake.auth_token) == (0, f"{len(GENERIC)} templates are ready, 0 of them new.\n", "")
    code, out, err = await sync("wrong" * 6)
    assert code == 1 and not out and err.count("\n") == 1 and "refuses the credentials" in err


def test_templates_hold_no_words() -> None:
    """Every word in a template is a variable, so nothing of a conversation stays in the account; no shape needs more than 100."""
    for shape in GENERIC:
        made = content(shape)
        (parts,) = made["types"].values()
        rows = parts.get("actions") or parts["items"]
        shown = [parts["body"], parts.get("button", "{{0}}"), *(word for row in rows for name, word in row.items() if name != "type")]
        assert all(word.startswith("{{") and word.endswith("}}") for word in shown)
        assert len(made["variables"]) <= 32


TROUBLES: list[tuple[int, int, Trouble]] = [
    (400, 63016, "window_closed"),
    (429, 20429, "throttled"),
    (429, 0, "throttled"),
    (400, 63018, "throttled"),
    (400, 63017, "throttled"),
    (400, 63038, "throttled"),
    (400, 63003, "stopped"),
    (400, 63024, "stopped"),
    (400, 63014, "stopped"),
    (400, 21610, "stopped"),
    (400, 63033, "stopped"),
    (401, 20003, "auth"),
    (401, 0, "auth"),
    (403, 0, "auth"),
    (404, 20404, "auth"),
    (400, 63007, "auth"),
    (400, 63021, "bad_request"),
    (400, 63019, "bad_request"),
    (400, 63030, "bad_request"),
    (400, 21211, "bad_request"),
    (400, 0, "bad_request"),
    (400, 21617, "too_large"),
    (500, 0, "down"),
    (502, 0, "down"),
    (503, 20503, "down"),
]


@pytest.mark.parametrize(("status", "code", "trouble"), TROUBLES)
async def test_errors_are_named(fake: FakeTwilio, tmp_path: Path, status: int, code: int, trouble: Trouble) -> None:
    """Each of Twilio's errors becomes one of the closed list, after a single request, and says nothing of address or words."""
    async with running(fake, tmp_path) as bot:
        fake.answers_next(status, code)
        with pytest.raises(SendError) as caught:
            await bot.send(says("rahasia"))
        assert caught.value.trouble == trouble
        assert "rahasia" not in repr(caught.value) and "6281" not in repr(caught.value)
        assert not fake.person(BUDI).messages and not [one for one in fake.requests if one[0] == "POST"]


async def test_window_of_24_hours(fake: FakeTwilio, tmp_path: Path) -> None:
    """Outside the window a message is refused as such, and inside again once the person writes."""
    async with running(fake, tmp_path) as bot:
        fake.ahead = timedelta(hours=24, minutes=1)
        with pytest.raises(SendError) as caught:
            await bot.send(says("Halo"))
        assert caught.value.trouble == "window_closed"
        await fake.person(BUDI).says("masih ada?")
        assert await bot.send(says("Ya"))


async def test_window_that_is_found_closed_afterwards(fake: FakeTwilio, tmp_path: Path) -> None:
    """Twilio may accept a message and report later that it was not delivered; the report's code has the same name as the answer's."""
    troubles: list[Trouble | None] = []

    async def noted(sid: str, status: str, code: str) -> None:
        if code:
            troubles.append(twilio_rest.trouble_of(int(code)))

    async with running(fake, tmp_path, on_status=noted) as bot:
        fake.ahead, fake.late_window = timedelta(hours=25), True
        await bot.send(says("Halo"))
        await fake.settled()
        assert troubles == ["window_closed"] and not fake.person(BUDI).messages


async def test_waits_are_named(fake: FakeTwilio, tmp_path: Path) -> None:
    """Retry-After is passed on in seconds, as a number or a date; a full day means until tomorrow."""
    late = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
    async with running(fake, tmp_path, now=lambda: late) as bot:
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
        for wait, code, at_least, at_most in (("7", 20429, 7, 7), (soon, 0, 30, 40), ("soon", 20429, 1, 5), ("", 63038, 7200, 7200)):
            fake.answers_next(429, code, headers={"Retry-After": wait})
            with pytest.raises(SendError) as caught:
                await bot.send(says("Halo"))
            assert at_least <= caught.value.seconds <= at_most


async def test_pages_between_us_and_twilio(fake: FakeTwilio, tmp_path: Path) -> None:
    """HTML is no answer of Twilio's: after a 200 or a 5xx Twilio's list says that nothing was made, a 404 page that it was not reached."""
    async with running(fake, tmp_path) as bot:
        for status in (200, 502, 302, 404, 407):
            fake.answers_next(status, html="<html>proxy</html>")
            with pytest.raises(SendError) as caught:
                await bot.send(says("Halo"))
            assert caught.value.trouble == "down"
        assert not fake.person(BUDI).messages


@pytest.mark.parametrize("buttons", [(), YES_NO], ids=["text", "buttons"])
async def test_a_lost_answer_is_not_repeated(
    fake: FakeTwilio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buttons: tuple[Button, ...]
) -> None:
    """When the connection breaks after acting, or the answer is late, the message is found in Twilio's list: sent once, its id known."""
    monkeypatch.setattr(twilio_rest, "TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    async with running(fake, tmp_path) as bot:
        await bot.channel.sync_templates()
        before = await bot.send(says("putus", buttons=buttons))
        fake.drops_next(acting=True)
        fake.delays_next(0.5)
        bot.channel._look_after = 0.5
        sids = [await bot.send(says(word, buttons=buttons)) for word in ("putus", "lambat")]
        assert len({*before, *sids[0], *sids[1]}) == 3
        assert [one.text.partition("\n")[0] for one in fake.person(BUDI).messages] == ["putus", "putus", "lambat"]
        assert not fake.refusals


async def test_a_request_that_was_lost_may_be_repeated(fake: FakeTwilio, tmp_path: Path) -> None:
    """A connection that broke before anything was done is `down`: Twilio lists no such message. If it cannot be asked, nobody knows."""
    async with running(fake, tmp_path) as bot:
        fake.drops_next(acting=False)
        with pytest.raises(SendError) as caught:
            await bot.send(says("putus"))
        assert caught.value.trouble == "down" and caught.value.again
        fake.drops_next(acting=False)
        fake.faults.append(Fault("GET", status=503))
        with pytest.raises(SendError) as caught:
            await bot.send(says("putus"))
        assert caught.value.trouble == "unknown_outcome" and not caught.value.again
        assert not fake.person(BUDI).messages


async def test_an_unreachable_twilio_is_down(fake: FakeTwilio, tmp_path: Path) -> None:
    """A refused connection and a name that does not exist are `down`: the same message may be tried again without doubt."""
    for url in ("http://127.0.0.1:9", "http://name.invalid"):
        async with running(fake, tmp_path, api_url=url) as bot:
            with pytest.raises(SendError) as caught:
                await bot.send(says("Halo"))
            assert caught.value.trouble == "down" and caught.value.again


async def test_parts_go_on_where_they_stopped(fake: FakeTwilio, tmp_path: Path) -> None:
    """A message of two parts whose second part was throttled is sent again without its first part."""
    long = says((SENTENCE * 20).strip() + "\n\n" + (SENTENCE * 21).strip())
    async with running(fake, tmp_path) as bot:
        await bot.send(says("pemanasan"))
        fake.faults.clear()
        fake.delays_next(0.0)
        fake.answers_next(429, 20429)
        with pytest.raises(SendError):
            await bot.send(long)
        sids = await bot.send(long)
        texts = [one.text for one in fake.person(BUDI).messages]
        assert texts == ["pemanasan", (SENTENCE * 20).strip(), (SENTENCE * 21).strip()]
        assert len(sids) == 2
        await bot.send(long)
        assert len(fake.person(BUDI).messages) == 5


async def test_wrong_credentials(fake: FakeTwilio, tmp_path: Path) -> None:
    """A wrong token is `auth`, for text and for templates alike."""
    async with running(fake, tmp_path, auth_token="wrong") as bot:
        for outbound in (says("Halo"), says("Benar?", buttons=YES_NO)):
            with pytest.raises(SendError) as caught:
                await bot.send(outbound)
            assert caught.value.trouble == "auth"


async def test_no_callback_to_where_twilio_cannot_come(tmp_path: Path) -> None:
    """A host with an underscore, or loopback with the real Twilio, is not given as StatusCallback, because Twilio refuses such messages."""
    for public_url, api_url, expected in (
        ("https://a_b.example", "https://api.twilio.com", ""),
        ("http://127.0.0.1:8080", "https://api.twilio.com", ""),
        ("", "https://api.twilio.com", ""),
        ("https://netra.example", "https://api.twilio.com", "https://netra.example/whatsapp/status"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:1", "http://127.0.0.1:8080/whatsapp/status"),
    ):
        channel = WhatsApp("AC1", "x", "+62811", public_url=public_url, api_url=api_url, templates_file=tmp_path / "t.json")
        assert channel._callback() == expected
        assert channel.sender == "whatsapp:+62811"


# --- photos ---------------------------------------------------------------------------------------------------------------------------


async def photo_from(bot: Bot, data: bytes = JPEG) -> Attachment:
    """A photo that came in."""
    await bot.fake.person(BUDI).sends_photo(data)
    return bot.received[-1].attachments[0]


async def test_photo_is_fetched_without_leaking_credentials(fake: FakeTwilio, tmp_path: Path) -> None:
    """The API gets the credentials, the storage that it redirects to does not."""
    async with running(fake, tmp_path) as bot:
        assert await bot.channel.fetch(await photo_from(bot)) == JPEG
        assert not fake.leaks and not fake.refusals


async def test_foreign_addresses_are_never_asked(fake: FakeTwilio, tmp_path: Path) -> None:
    """An address elsewhere, with other ports, names or credentials in it, is refused without a request."""
    asked: list[str] = []

    async def trap(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", ""))
        return web.Response(body=JPEG)

    app = web.Application()
    app.add_routes([web.get("/{any:.*}", trap)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with running(fake, tmp_path) as bot:
        api = fake.url.removeprefix("http://")
        for url in (
            f"http://127.0.0.1:{port}/x",
            f"http://localhost:{port}/x",
            "http://api.twilio.com/x",
            "https://api.twilio.com:8443/x",
            "https://api.twilio.com.evil.example/x",
            f"http://evil@{api}/x",
            "https://169.254.169.254/latest",
            "file:///etc/passwd",
            "http://[",
            "",
        ):
            with pytest.raises(FetchError) as caught:
                await bot.channel.fetch(Attachment(source=url))
            assert caught.value.reason == "gone", url
    await runner.cleanup()
    assert not asked and not fake.requests


async def test_redirects_are_followed_by_hand(fake: FakeTwilio, tmp_path: Path) -> None:
    """At most three redirects, to trusted hosts only; a redirect within the API keeps the credentials."""
    hops: list[str] = []
    lead: list[str] = []

    async def answer(request: web.Request, medium: Medium) -> web.StreamResponse:
        hops.append(request.raw_path)
        return web.Response(status=302, headers={"Location": lead[0]}) if lead[0] else web.Response(status=302)

    async with running(fake, tmp_path) as bot:
        attachment = await photo_from(bot)
        fake.media_answer = answer
        for location, count in (
            ("https://evil.example/x", 1),
            ("//evil.example/x", 1),
            ("ftp://127.0.0.1/x", 1),
            ("http://s3.amazonaws.com/x", 1),
            ("https://user:secret@media.twiliocdn.com/x", 1),
            ("http://[", 1),
            ("", 1),
            (attachment.source, 4),
        ):
            hops.clear()
            lead[:] = [location]
            with pytest.raises(FetchError) as caught:
                await bot.channel.fetch(attachment)
            assert (caught.value.reason, len(hops)) == ("gone", count), location
        assert not fake.refusals


async def test_photos_that_cannot_be_had(fake: FakeTwilio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large by its own word or in the end, gone, broken off, refused for now: each has its reason, and no memory is filled."""
    monkeypatch.setattr(twilio_rest, "MEDIA_BYTES", 100_000)

    async def endless(request: web.Request, medium: Medium) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                await response.write(b"x" * 50_000)
        return response

    async def short(request: web.Request, medium: Medium) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b"x")
        assert request.transport is not None
        request.transport.abort()
        return response

    def plainly(status: int, body: bytes = b"") -> Any:
        async def answer(request: web.Request, medium: Medium) -> web.StreamResponse:
            return web.Response(status=status, body=body)

        return answer

    async with running(fake, tmp_path) as bot:
        attachment = await photo_from(bot)
        for answer, reason in (
            (plainly(200, b"x" * 100_001), "large"),
            (endless, "large"),
            (short, "down"),
            (plainly(404), "gone"),
            (plainly(410), "gone"),
            (plainly(500), "down"),
            (plainly(401), "down"),
        ):
            fake.media_answer = answer
            with pytest.raises(FetchError) as caught:
                await bot.channel.fetch(attachment)
            assert caught.value.reason == reason
        fake.media_answer = plainly(200, b"x" * 100_000)
        assert len(await bot.channel.fetch(attachment)) == 100_000


async def test_media_of_the_live_api_go_through_the_configured_address(fake: FakeTwilio, tmp_path: Path) -> None:
    """With an egress proxy as API address, photos at api.twilio.com are asked for there."""
    async with running(fake, tmp_path) as bot:
        attachment = await photo_from(bot)
        live = attachment.source.replace(fake.url, "https://api.twilio.com")
        assert await bot.channel.fetch(Attachment(source=live)) == JPEG


# --- what is deleted ------------------------------------------------------------------------------------------------------------------


async def test_clean_up_deletes_photo_words_and_message(fake: FakeTwilio, tmp_path: Path) -> None:
    """Media, then the words, then the message are deleted at Twilio; a second time does no harm."""
    async with running(fake, tmp_path) as bot:
        await photo_from(bot)
        inbound = bot.received[-1]
        fake.requests.clear()
        await bot.channel.clean_up(inbound.message_id, media_of(inbound))
        assert [(method, path.rpartition("/Messages/")[2][2:].count("/")) for method, path, _ in fake.requests] == [
            ("DELETE", 2),
            ("POST", 0),
            ("DELETE", 0),
        ]
        assert not fake.messages and not fake.media and not fake.refusals
        await bot.channel.clean_up(inbound.message_id, media_of(inbound))
        assert bot.channel.erasures.waiting == 0


async def test_clean_up_is_tried_again(fake: FakeTwilio, tmp_path: Path) -> None:
    """What Twilio cannot delete yet is remembered, tried again with growing delays, and forgotten when it is done."""
    remembered: list[Erasure] = []

    async def remember(erasure: Erasure) -> None:
        remembered.append(erasure)

    async def forgotten(erasure: Erasure) -> None:
        remembered.remove(erasure)

    options: dict[str, Any] = {"remember": remember, "forget_erasure": forgotten, "erase_delays": (0.01, 0.02, 0.05)}
    async with running(fake, tmp_path, erase_after=60.0, **options) as bot:
        webhook = await fake.person(BUDI).says("Halo")
        sid = webhook.form["MessageSid"]
        remembered.clear()
        fake.messages[sid]["status"] = "receiving"
        await bot.channel.clean_up(sid)
        assert remembered == [Erasure(sid)]
        await until(lambda: len([one for one in fake.refusals if one.status == 409]) >= 3)
        assert fake.messages[sid]["body"] == ""
        fake.messages[sid]["status"] = "received"
        await until(lambda: not remembered)
        assert sid not in fake.messages


async def test_copies_at_twilio_are_deleted_by_themselves(fake: FakeTwilio, tmp_path: Path) -> None:
    """Received words, fetched photos and delivered answers vanish from Twilio after their time."""
    async with running(fake, tmp_path, erase_after=0.01, erase_fetched_after=0.01, erase_delays=(0.01,)) as bot:
        await fake.person(BUDI).says("Halo")
        attachment = await photo_from(bot)
        await bot.send(says("rahasia"))
        await until(lambda: len(fake.messages) == 1)
        assert fake.media
        assert await bot.channel.fetch(attachment) == JPEG
        await until(lambda: not fake.messages and not fake.media)
        assert (await fake.person(BUDI).sees()).text == "rahasia"


async def test_forget_deletes_at_twilio(fake: FakeTwilio, tmp_path: Path) -> None:
    """Forgetting a chat deletes its messages at Twilio, those of both sides, and cares for no id that is none."""
    async with running(fake, tmp_path) as bot:
        inbound = (await fake.person(BUDI).says("Halo")).form["MessageSid"]
        [sent] = await bot.send(says("Halo juga"))
        await fake.settled()
        await bot.channel.stop()
        await bot.channel.start(bot.receive)
        await bot.channel.forget(ADDRESS, [sent, "../../x", ""])
        await bot.channel.clean_up(inbound)
        await until(lambda: sent not in fake.messages)
        assert not fake.messages


# --- missed messages ------------------------------------------------------------------------------------------------------------------


async def missed(fake: FakeTwilio, person: Person, words: str, medium: tuple[str, bytes] | None = None) -> str:
    """A message whose webhook never came."""
    return (await fake.deliver(person, {"Body": words}, medium, to_bot=False)).form["MessageSid"]


async def test_sweep_finds_what_the_webhook_missed(fake: FakeTwilio, tmp_path: Path) -> None:
    """Messages of the time asked for come oldest first, photos with their address, over several pages; our own are not among them."""
    fake.page_size = 2
    async with running(fake, tmp_path) as bot:
        person = fake.person(BUDI)
        fake.ahead = timedelta(hours=-3)
        await missed(fake, person, "terlalu lama")
        fake.ahead = timedelta(hours=-1)
        sids = [await missed(fake, person, f"pesan {number}") for number in range(4)]
        fake.ahead = timedelta()
        sids.append(await missed(fake, person, "foto", ("image/png", JPEG)))
        await bot.send(says("jawaban"))
        await fake.settled()
        found = [inbound async for inbound in bot.channel.sweep(datetime.now(UTC) - timedelta(hours=2))]
        assert [one.platform_id for one in found] == sids
        assert [one.text for one in found] == ["pesan 0", "pesan 1", "pesan 2", "pesan 3", "foto"]
        assert await bot.channel.fetch(found[-1].attachments[0]) == JPEG
        assert not fake.refusals


async def test_the_channel_sweeps_by_itself(fake: FakeTwilio, tmp_path: Path) -> None:
    """A message that was missed while the bot was away is received at its start, and once; what is quite new is left to the webhook."""
    async with running(fake, tmp_path, start=False, sweep_every=0.05) as bot:
        fake.ahead = timedelta(minutes=-5)
        sid = await missed(fake, fake.person(BUDI), "Halo?")
        fake.ahead = timedelta()
        await missed(fake, fake.person(BUDI), "baru saja")
        await bot.channel.start(bot.receive)
        await until(lambda: len([1 for method, path, _ in fake.requests if path.endswith("/Messages.json")]) >= 3)
        assert [(one.platform_id, one.text) for one in bot.received] == [(sid, "Halo?")]


@pytest.mark.parametrize("hours", [-26, 26])
async def test_a_wrong_clock_misses_nothing(fake: FakeTwilio, tmp_path: Path, hours: int) -> None:
    """On a machine whose clock is a day off the sweep asks for Twilio's time as soon as Twilio has said it; the doctor says so too."""
    day = timedelta(hours=hours)
    async with running(fake, tmp_path, start=False, sweep_every=0.05) as bot:
        fake.ahead = day - timedelta(minutes=5)
        sid = await missed(fake, fake.person(BUDI), "Halo?")
        fake.ahead = day
        await bot.channel.start(bot.receive)
        await until(lambda: len(bot.received) == 1)
        assert bot.received[0].platform_id == sid
        assert ("slow" if hours > 0 else "fast") in await bot.channel.check()


async def test_a_failing_sweep_stops_nothing(fake: FakeTwilio, tmp_path: Path) -> None:
    """A platform that is down, or a store that is, does not end the sweeping."""
    fake.ahead = timedelta(minutes=-5)
    await missed(fake, fake.person(BUDI), "Halo?")
    fake.ahead = timedelta()
    async with running(fake, tmp_path, start=False, sweep_every=0.02) as bot:
        bot.failing = True
        await bot.channel.start(bot.receive)
        await until(lambda: len(fake.requests) >= 2)
        bot.failing = False
        await until(lambda: len(bot.received) == 1)


# --- for the operator -----------------------------------------------------------------------------------------------------------------


async def test_doctor_says_what_is_wrong(fake: FakeTwilio, tmp_path: Path) -> None:
    """One line each: sender, network, credentials, account, public address, templates; empty when all is well."""
    async with running(fake, tmp_path) as bot:
        assert "templates sync" in await bot.channel.check()
        await bot.channel.sync_templates()
        assert await bot.channel.check() == ""
        bot.channel.public_url = "http://netra.example"
        assert "#rc=3&rp=all" in await bot.channel.check()
        fake.account_status = "suspended"
        assert "suspended" in await bot.channel.check()
        bot.channel.sender = "whatsapp:"
        assert "TWILIO_WHATSAPP_FROM" in await bot.channel.check()
    async with running(fake, tmp_path, auth_token="wrong") as bot:
        assert "TWILIO_AUTH_TOKEN" in await bot.channel.check()
    async with running(fake, tmp_path, api_url="http://127.0.0.1:9") as bot:
        line = await bot.channel.check()
        assert "TWILIO_API_URL" in line and "\n" not in line and fake.auth_token not in line


def test_unknown_answers_are_never_taken_for_success() -> None:
    """Whatever the status and code, `as_error` names a trouble, and only one that is certain is to be tried again."""
    now = datetime(2026, 11, 20, tzinfo=UTC)
    for status in (200, 201, 301, 400, 402, 404, 405, 408, 409, 413, 418, 429, 451, 500, 599):
        for code in (0, 20429, 99999):
            error = as_error(Answer(status, {"code": code} if code else {}), now)
            assert error.trouble
            if status >= 500 and code != 20429:
                assert not error.again


async def test_a_hidden_number_is_answered(fake: FakeTwilio, tmp_path: Path) -> None:
    """A tap whose number is hidden arrives under the business-scoped id, unread and unparsed, and is answered there."""
    async with running(fake, tmp_path) as bot:
        await fake.post(f"{bot.url}/whatsapp/webhook", tapped("a1b2c3.4.0", "Ya", From="whatsapp:ID.abc123", WaId=None))
        assert (bot.received[0].address, bot.received[0].button) == (Address("whatsapp", "whatsapp:ID.abc123"), "a1b2c3.4.0")
        fake.person("whatsapp:ID.abc123").last_wrote = fake.now
        await bot.send(says("Baik"), bot.received[0].address)
        assert (await fake.person("whatsapp:ID.abc123").sees()).text == "Baik"
