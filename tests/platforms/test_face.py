"""What Telegram shows of the bot before a word is said, and the links that open a conversation, in the whole program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.main import start_command
from bot.platforms import COMMANDS
from faq.entries import load_entries
from tests.channels.fake_telegram import FakeTelegram
from tests.platforms.test_whole import anyio_backend, started, tell

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio

LINK = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What Telegram takes after `?start=` (features, deep linking)."""


async def test_the_bot_introduces_itself_in_two_languages(tmp_path: Path) -> None:
    """Commands, the menu button, the texts before /start: Indonesian by default, English beside it; the name stays the operator's."""
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url):
        await fake.until(lambda: ("short_description", "en") in fake.profile)
        for language in ("", "en"):
            assert [command["command"] for command in fake.commands[language]] == list(COMMANDS)
            assert "/priva" in fake.profile["description", language]
        assert fake.profile["short_description", ""] != fake.profile["short_description", "en"]
        assert fake.menu_button == {"type": "commands"}
        assert not fake.called("setMyName") and not fake.refusals


async def test_links_open_their_conversation(tmp_path: Path) -> None:
    """The link of a shared answer gives that answer, the others begin their flow, and one that is none shows the menu."""
    async with FakeTelegram.running() as fake, started(tmp_path, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url):
        entry = next(iter(load_entries().values()))
        person = fake.person(1)
        assert entry.title in await tell(person, f"/start tanya-{entry.id.replace('.', '__')}")
        assert "Pelanggaran apa" in await tell(fake.person(2), "/start lapor")
        assert "kode" in (await tell(fake.person(3), "/start cek")).lower()
        assert "Netra" in await tell(fake.person(4), "/start tanya-tidak__ada")
        assert not fake.refusals


def test_every_answer_has_a_link() -> None:
    """The name of every entry fits into a link and leads back to the entry."""
    for entry in load_entries().values():
        payload = f"tanya-{entry.id.replace('.', '__')}"
        assert LINK.fullmatch(payload)
        started_by = start_command(f"/start {payload}")
        assert started_by is not None and started_by[1]["question"].choice == f"entry:{entry.id}"
