"""People who do anything at any time: whatever they do, the program asks the platforms for nothing that they refuse."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from bot import quotas
from bot.channels.whatsapp import WhatsApp
from tests.channels import fake_telegram, fake_twilio
from tests.channels.fake_telegram import FakeTelegram
from tests.channels.fake_twilio import FakeTwilio
from tests.platforms.test_whole import anyio_backend, picture, started

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio

STEPS = 25
BLOCKED = "Forbidden: bot was blocked by the user"
WORDS = (
    "/lapor", "/tanya", "/cek", "/kuis", "/pakta", "/langganan", "/berhenti", "/privasi", "/hapus", "/bahasa", "/bantuan", "/batal",
    "/start", "/start lapor", "/start tanya-x", "menu", "kembali", "lewati", "ya", "tidak", "1", "2", "3", "99", "kirim", "selesai",
    "lamtim", "kemarin",
    "<b>halo</b> & <script> &amp; &#60;", "\U0001f642" * 300, "a" * 1600, "\u202eabc", "*bold* _it_ `x` ```y```", "{{1}} it's", "x\x00y",
    "1234 5678 9012 3456 7890", "boleh tidak saya like postingan calon bupati?", "Camat membagikan stiker " * 40, "\n\n\n", "'; DROP TABLE",
    "english",
)  # fmt: skip


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is held back for writing a lot."""
    monkeypatch.setattr(quotas, "BURST", 10_000)


async def test_anything_on_telegram(tmp_path: Path) -> None:
    """Words, presses of old and new buttons, twice too, photos, files, stickers, edits, blocks; each update comes twice."""
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
        await fake.until(lambda: fake.webhook)
        fake.webhook["url"] = f"{public}/telegram/webhook"
        fake.repeat = 2

        async def walk(person: fake_telegram.Person, chance: random.Random) -> None:
            for _ in range(STEPS):
                await act(person, chance)

        async def act(person: fake_telegram.Person, chance: random.Random) -> None:
            said = [message for message in person.sees() if message.by == "bot" and message.keyboard]
            own = [message for message in person.sees() if message.by == "person"]
            kind = chance.random()
            if kind < 0.55 and said:
                message = chance.choice(said[-3:])
                data = chance.choice([key["callback_data"] for row in message.keyboard for key in row])
                await asyncio.gather(*(person.presses(message, data).acknowledged for _ in range(chance.choice((1, 1, 1, 2)))))
            elif kind < 0.6:
                await person.sends_photo(picture(chance.randrange(255)), name=chance.choice(("", "", "x.png")))
            elif kind < 0.64:
                await person.sends(**chance.choice(({"sticker": {"file_id": "x"}}, {"location": {"latitude": 1.0, "longitude": 2.0}})))
            elif kind < 0.68 and own:
                await person.edits(chance.choice(own).message_id, chance.choice(WORDS))
            elif kind < 0.7:
                await person.blocks()
                await person.unblocks()
            else:
                await person.says(chance.choice(WORDS))

        await asyncio.gather(*(walk(fake.person(100 + number), random.Random(number)) for number in range(3)))
        await netra.worker.idle()
        assert not [refusal for refusal in fake.refusals if BLOCKED not in refusal]


async def test_anything_on_whatsapp(tmp_path: Path) -> None:
    """The same with words, taps of buttons and lists, photos, files and places, with templates and for a hidden number."""
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
        fake.listen(public, public_url="http://bot.example")
        channel = netra.channels["whatsapp"]
        assert isinstance(channel, WhatsApp)
        await channel.sync_templates()

        async def walk(person: fake_twilio.Person, chance: random.Random) -> None:
            for _ in range(STEPS):
                last = next((message for message in reversed(person.messages) if message.choices), None)
                kind = chance.random()
                if kind < 0.55 and last is not None:
                    delivered = await person.taps(chance.choice(last.choices).label)
                elif kind < 0.6:
                    [delivered] = await person.sends_photo(picture(chance.randrange(255)))
                elif kind < 0.64:
                    delivered = await (person.shares_location() if chance.random() < 0.5 else person.sends("application/pdf", b"x"))
                else:
                    delivered = await person.says(chance.choice(WORDS))
                assert delivered.status == 200

        people = [fake.person("whatsapp:+6281200000001"), fake.person("whatsapp:ID.9f2c77ab01")]
        await asyncio.gather(*(walk(person, random.Random(number)) for number, person in enumerate(people)))
        await netra.worker.idle()
        assert not fake.refusals
