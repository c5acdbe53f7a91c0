"""Many chats at once, each message answered, in order, none lost, none twice; and platforms that misbehave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.channels.fake_telegram import FakeTelegram, Fault
from tests.platforms.test_whole import started

pytestmark = pytest.mark.anyio

CHATS, MESSAGES = 12, 12


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, as the program."""
    return "asyncio"


async def test_every_message_of_many_chats_is_answered_in_order(tmp_path: Path) -> None:
    """Twelve chats write twelve messages each at once through the webhook; every chat walks its own way to the same question."""
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
        lines = ["/lapor", "3", "1", "lamtim", "kembali", "lamtim", "kemarin", "kembali", "kemarin", "kembali", "kembali", "metro"]
        assert len(lines) == MESSAGES
        people = [fake.person(9000 + number) for number in range(CHATS)]
        deliveries = [person.says(line) for line in lines for person in people]
        await asyncio.gather(*(delivery.acknowledged for delivery in deliveries))
        await netra.worker.idle()
        for person in people:
            said = [message for message in person.sees() if message.by == "bot"]
            assert len(said) == MESSAGES
            assert said[-1].text.startswith("Kapan kejadiannya?")
        assert not fake.refusals


async def test_no_reply_is_lost_on_the_way(tmp_path: Path) -> None:
    """A request that breaks off before Telegram acts is repeated, and so is one whose answer is lost, which nobody can tell apart."""
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url) as (netra, _):
        person = fake.person(1)
        fake.fail("sendMessage", Fault("reset"))
        await person.says("/start")
        await person.hears()
        fake.fail("sendMessage", Fault("drop"))
        await person.says("/privasi")
        await person.hears()
        await netra.worker.idle()
        said = [message.text for message in person.sees() if message.by == "bot"]
        assert len(said) == 3 and said[1] == said[2] != said[0]
        fake.fail("sendMessage", Fault("status", 429, "Too Many Requests: retry after 1", {"retry_after": 1}))
        await person.says("/bahasa")
        await person.hears()
        await netra.worker.idle()
        assert len([message for message in person.sees() if message.by == "bot"]) == 4
