"""A whole tip, a question and the return with the code on a platform's fake, printed as the person saw it.

    python -m tests.platforms.transcript telegram
    python -m tests.platforms.transcript whatsapp

The program is the real one, over HTTP; the fake platform is as strict as the tests know it, and what it refused stands at the end. The code
is not printed, here as anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from tests.channels.fake_telegram import FakeTelegram
from tests.channels.fake_twilio import FakeTwilio
from tests.platforms.test_whole import CODE, STORY, picture, started

BOT, PERSON = "Netra", "Warga"
HIDDEN = "[kode]"
SKIPS, ENDS = ("Lewati", "Tidak"), "Kirim"


@dataclass(frozen=True)
class Seen:
    """One message of the bot: its words, and what can be tapped."""

    text: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Phone:
    """What a person can do on either platform; each returns what the bot answers."""

    say: Callable[[str], Awaitable[Seen]]
    tap: Callable[[str], Awaitable[Seen]]
    photo: Callable[[bytes], Awaitable[Seen]]
    more: Callable[[], Awaitable[Seen]]


def shown(by: str, text: str, choices: tuple[str, ...] = ()) -> None:
    """Print one message, without the code."""
    print(f"{by}: " + CODE.sub(HIDDEN, text).replace("\n", "\n    "))
    if choices:
        print("    [" + "] [".join(choices) + "]")


async def walk(phone: Phone) -> None:
    """The whole way of a tip, then a question, then back with the code."""
    seen = Seen("", ())

    async def step(does: str, act: Awaitable[Seen]) -> None:
        nonlocal seen
        shown(PERSON, does)
        seen = await act
        shown(BOT, seen.text, seen.choices)

    await step("/start", phone.say("/start"))
    await step("boleh ga sy like postingan cabup?", phone.say("boleh ga sy like postingan cabup?"))
    for words in ("lapor", "kampanye", "atribut", "lamtim", "kemarin", STORY, "Camat Way Jepara"):
        await step(words, phone.say(words))
    await step("[foto]", phone.photo(picture(90)))
    await step("selesai", phone.say("selesai"))
    while not any(choice.startswith(ENDS) for choice in seen.choices):
        label = next((choice for skip in SKIPS for choice in seen.choices if choice.startswith(skip)), "")
        await step(f"[{label}]" if label else "lewati", phone.tap(label) if label else phone.say("lewati"))
    await step(f"[{ENDS}]", phone.tap(next(choice for choice in seen.choices if choice.startswith(ENDS))))
    code = CODE.search(seen.text)
    assert code, "no code was given"
    seen = await phone.more()
    shown(BOT, seen.text, seen.choices)
    await step(HIDDEN, phone.say(code[0][-4:]))
    seen = await phone.more()
    shown(BOT, seen.text, seen.choices)
    await step(HIDDEN, phone.say(code[0]))


async def telegram(folder: Path) -> list[str]:
    """Walk on Telegram; what it refused."""
    async with FakeTelegram.running() as fake, started(folder, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url):
        person = fake.person(4711)

        async def heard() -> Seen:
            message = await person.hears()
            return Seen(message.text, tuple(message.labels))

        async def say(words: str) -> Seen:
            await person.says(words)
            return await heard()

        async def tap(label: str) -> Seen:
            await person.taps(label)
            return await heard()

        async def photo(data: bytes) -> Seen:
            await person.sends_photo(data)
            return await heard()

        await walk(Phone(say, tap, photo, heard))
        return fake.refusals


async def whatsapp(folder: Path) -> list[str]:
    """Walk on WhatsApp; what Twilio refused."""
    async with (
        FakeTwilio() as fake,
        started(
            folder,
            TWILIO_ACCOUNT_SID=fake.account_sid,
            TWILIO_AUTH_TOKEN=fake.auth_token,
            TWILIO_WHATSAPP_FROM=fake.sender,
            TWILIO_API_URL=fake.url,
            TWILIO_MEDIA_HOSTS="127.0.0.1",
            NETRA_PUBLIC_URL="http://bot.example",
        ) as (_, public),
    ):
        fake.listen(public, public_url="http://bot.example")
        person = fake.person("whatsapp:+6281234567890")

        async def heard() -> Seen:
            message = await person.sees()
            return Seen(message.text, message.labels)

        async def say(words: str) -> Seen:
            await person.says(words)
            return await heard()

        async def tap(label: str) -> Seen:
            await person.taps(label)
            return await heard()

        async def photo(data: bytes) -> Seen:
            await person.sends_photo(data)
            return await heard()

        await walk(Phone(say, tap, photo, heard))
        return [str(refused) for refused in fake.refusals]


PLATFORMS = {"telegram": telegram, "whatsapp": whatsapp}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platform", choices=PLATFORMS)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as name:
        refused = asyncio.run(PLATFORMS[given.platform](Path(name)))
    print(f"\nRefused by the platform: {len(refused)}" + "".join(f"\n  {line}" for line in refused))
