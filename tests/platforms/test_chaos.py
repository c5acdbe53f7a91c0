"""What goes wrong between us and the platforms, in the whole program: nothing is lost, and nothing is said twice that we could know of."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from bot.channels import twilio_rest
from bot.channels.whatsapp import WhatsApp
from tests.channels.fake_telegram import FakeTelegram, Fault
from tests.channels.fake_twilio import FakeTwilio
from tests.channels.fake_twilio import Fault as TwilioFault
from tests.platforms.test_whole import anyio_backend, started

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio

LINES = ["/lapor", "3", "1", "lamtim", "kembali", "lamtim", "kemarin", "kembali"]
LAST = "Kapan kejadiannya?"
FINE = TwilioFault(delay=0.0, act=True)


@pytest.mark.parametrize("day", [-86400, 86400], ids=["a day behind", "a day ahead"])
async def test_telegram_refuses_for_a_while_and_delivers_twice(tmp_path: Path, day: int) -> None:
    """Too fast, out of order, a proxy's page: every line is answered once, in order, though each update comes twice; any clock will do."""
    async with (
        FakeTelegram.running() as fake,
        started(
            tmp_path,
            TELEGRAM_TOKEN=fake.token,
            TELEGRAM_API_URL=fake.url,
            TELEGRAM_MODE="webhook",
            TELEGRAM_WEBHOOK_SECRET="satu-dua-tiga-empat-lima",
            NETRA_PUBLIC_URL="https://bot.example",
        ) as (netra, public),
    ):
        fake.now = lambda: time.time() + day
        await fake.until(lambda: fake.webhook)
        fake.webhook["url"] = f"{public}/telegram/webhook"
        fake.repeat = 2
        wait = Fault("status", 429, "Too Many Requests: retry after 1", {"retry_after": 1})
        fine, page, broken = Fault("delay"), Fault("html", 502), Fault("status", 500, "Internal Server Error")
        fake.fail("sendMessage", fine, page, fine, broken, wait, fine, fine, broken, page, fine, fine, Fault("html", 504))
        people = [fake.person(7000 + number) for number in range(2)]
        for line in LINES:
            await asyncio.gather(*(person.says(line).acknowledged for person in people))
        await netra.worker.idle()
        for person in people:
            said = [message.text for message in person.sees() if message.by == "bot"]
            assert len(said) == len(LINES) and said[-1].startswith(LAST)
        assert not fake.refusals


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/telegram/webhook", "X-Telegram-Bot-Api-Secret-Token: satu-dua-tiga-empat-lima\r\nContent-Type: application/json"),
        ("/whatsapp/webhook", "X-Twilio-Signature: abc\r\nContent-Type: application/x-www-form-urlencoded"),
        ("/api/chat", "Content-Type: application/json"),
    ],
)
async def test_half_a_request_leaves_no_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, headers: str) -> None:
    """A connection that ends in the middle of a request, in either way, is no error of ours: nothing is logged, the next one is served."""
    async with (
        FakeTelegram.running() as fake,
        FakeTwilio() as twilio,
        started(
            tmp_path,
            TELEGRAM_TOKEN=fake.token,
            TELEGRAM_API_URL=fake.url,
            TELEGRAM_MODE="webhook",
            TELEGRAM_WEBHOOK_SECRET="satu-dua-tiga-empat-lima",
            TWILIO_ACCOUNT_SID=twilio.account_sid,
            TWILIO_AUTH_TOKEN=twilio.auth_token,
            TWILIO_WHATSAPP_FROM=twilio.sender,
            TWILIO_API_URL=twilio.url,
            NETRA_PUBLIC_URL="https://bot.example",
        ) as (_, public),
    ):
        host, port = public.removeprefix("http://").split(":")
        for ends_well in (True, False):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\nContent-Length: 500\r\n\r\n".encode() + b'{"update_id": 1, "mess'
            )
            await writer.drain()
            if ends_well:
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 5)
                writer.close()
            else:
                writer.transport.abort()
        async with aiohttp.ClientSession() as browser, browser.get(f"{public}/healthz") as page:
            assert page.status == 200
    assert not [record for record in caplog.records if record.name == "aiohttp.server"]


async def test_twilio_breaks_in_every_way_and_delivers_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that are lost, late, or no answers: Twilio's own list says what was done, so each line is answered once."""
    monkeypatch.setattr(twilio_rest, "TIMEOUT", aiohttp.ClientTimeout(total=0.4))
    async with (
        FakeTwilio() as fake,
        started(
            tmp_path,
            TWILIO_ACCOUNT_SID=fake.account_sid,
            TWILIO_AUTH_TOKEN=fake.auth_token,
            TWILIO_WHATSAPP_FROM=fake.sender,
            TWILIO_API_URL=fake.url,
            TWILIO_MEDIA_HOSTS="127.0.0.1",
            NETRA_PUBLIC_URL="http://bot.example",
        ) as (netra, public),
    ):
        channel = netra.channels["whatsapp"]
        assert isinstance(channel, WhatsApp)
        channel._look_after = 0.3
        fake.listen(public, public_url="http://bot.example")
        lost, done, late = TwilioFault(drop=True), TwilioFault(drop=True, act=True), TwilioFault(delay=0.6, act=True)
        page, broken = TwilioFault(status=502, html="<html>502</html>"), TwilioFault(status=500, code=20500)
        wait = TwilioFault(status=429, code=20429, headers={"Retry-After": "1"})
        fake.faults.extend([FINE, lost, done, FINE, late, page, FINE, done, broken, wait, lost, FINE, done, FINE, page])
        people = [fake.person(f"whatsapp:+6281200{number:04d}") for number in range(2)]
        for line in LINES:
            delivered = await asyncio.gather(*(person.says(line) for person in people))
            again = await asyncio.gather(*(fake.post(f"{public}/whatsapp/webhook", one.form) for one in delivered))
            assert {one.status for one in (*delivered, *again)} == {200}
        await netra.worker.idle()
        for person in people:
            assert len(person.messages) == len(LINES) and person.messages[-1].text.startswith(LAST)
        assert not fake.refusals
