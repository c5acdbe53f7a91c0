"""A stop word in the middle of a running broadcast, as the chats saw it: `python -m tests.broadcast.transcript`.

The program is the real one, over HTTP, at Telegram's pace of 30 a second; the fake Bot API says in which order it got what.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from textwrap import indent

import structlog
from sqlalchemy import Connection

from bot.messages import Address
from storage.broadcasts import Results
from storage.drafts import Audience, Draft, When
from storage.subscribers import Wish
from tests.channels.fake_telegram import FakeTelegram, Shown
from tests.platforms.test_whole import started

DAY = date(2024, 11, 18)
FIRST, MANY, PUSHED = 7001, 150, 40
WORDS = "*Besok masa tenang.*\n\nLepas stiker di mobil Anda sebelum tengah malam."
Say = Callable[[str], None]


async def run(folder: Path, say: Say = print) -> tuple[Results, FakeTelegram, int, int]:
    """Play it: the results, the platform, who stopped by word before being reached, and who stopped by button after."""
    async with FakeTelegram.running() as fake, started(folder, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url) as (netra, _):
        desk = netra.desk
        everybody = range(FIRST, FIRST + MANY)
        for chat in everybody:
            fake.person(chat).chat.started = True

        def prepare(connection: Connection) -> int:
            for chat in everybody:
                desk.subscribers.subscribe(connection, Address("telegram", str(chat)), Wish("asn", "18.07", "id", ("stages",)), DAY)
            draft = Draft("Masa tenang", "stages", When(DAY, DAY), Audience(channels=("telegram",)), telegram={"id": WORDS})
            number = desk.broadcasts.save(connection, draft, "rina")
            desk.broadcasts.propose(connection, number)
            desk.broadcasts.approve(connection, number, "budi", draft.digest)
            return number

        def reached() -> list[int]:
            return [int(call["chat_id"]) for call in fake.called("sendMessage") if "Besok masa tenang" in str(call["text"])]

        def state() -> str:
            found = netra.store.read_now(lambda connection: desk.broadcasts.get(connection, number))
            return found.state if found else ""

        number = netra.store.write_now(prepare)
        say(f"broadcast {number}: written by rina, approved by budi, {MANY} subscribers; ten minutes pass")
        settings = netra.settings
        settings.now = settings.clock() + timedelta(minutes=11)
        await fake.until(lambda: len(reached()) >= PUSHED, 60)

        before = reached()
        by_button = before[0]
        by_word = next(chat for chat in _order(netra.desk.subscribers.name, reversed(everybody)) if chat not in before)
        say(f"\n--- running: {len(before)} of {MANY} reached ---")
        say(f"chat {by_word}, not reached yet: BERHENTI")
        word = fake.person(by_word)
        await word.says("berhenti")
        say(f"Netra: {(await word.hears()).text}")
        button = fake.person(by_button)
        shown = next(message for message in button.chat.messages.values() if message.by == "bot")
        say(f"\nchat {by_button}, reached: [{shown.labels[0]}] under")
        say(f"    {_indented(shown)}")
        await button.taps(shown.labels[0])
        say(f"Netra: {(await button.hears()).text}")
        say(f"\n--- {state()}: {len(reached())} of {MANY} reached; it goes on ---")
        async with asyncio.timeout(60):
            while state() == "running":
                await netra.broadcaster.idle()
                await asyncio.sleep(0.01)  # between two runs nothing is being sent, and `idle` returns at once
        results = netra.store.read_now(lambda connection: desk.broadcasts.results(connection, number))
        say(f"\n{state()}: " + ", ".join(f"{how} {reason} {many}".replace("  ", " ") for (_, how, reason), many in results.counts.items()))
        say(f"reminders to chat {by_word}: {reached().count(by_word)}; to chat {by_button}: {reached().count(by_button)}")
        say(f"chats that got it twice: {len(reached()) - len(set(reached()))}")
        left = netra.store.read_now(desk.subscribers.size)
        say(f"subscribers left: {left['telegram']} of {MANY}")
        return results, fake, by_word, by_button


def _order(name: Callable[[Address], bytes], chats: reversed[int]) -> list[int]:
    """The chats with those first whose turn comes last."""
    return sorted(chats, key=lambda chat: name(Address("telegram", str(chat))), reverse=True)


def _indented(message: Shown) -> str:
    return indent(message.text, "    ").lstrip()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))
