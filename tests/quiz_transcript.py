"""A quiz as a person sees it, printed: `python -m tests.quiz_transcript console|telegram`.

The program is the real one: on the console as `netra chat`, on Telegram over HTTP with the fake Bot API. Cards are drawn anew each time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import indent

import structlog

from tests.channels.fake_telegram import FakeTelegram
from tests.platforms.test_whole import started

ROOT = Path(__file__).parent.parent
CARDS = 10
BEGIN = ("kuis", "1", "guru", "lewati")
ANSWERS = ("dilarang", "1", "boleh", "2", "DILARANG", "b", "3", "dilarang", "boleh", "2")
"""By word, letter and number, as people do."""


def console(folder: Path) -> str:
    """A quiz in the terminal; everything that was shown, with what was typed behind each prompt."""
    settings = {f"NETRA_{name}_DIR": str(folder / name.lower()) for name in ("DATA", "KEYS", "RUN")}
    typed = [*BEGIN, *ANSWERS, "cukup"]
    done = subprocess.run(
        [sys.executable, "-m", "bot", "chat"],
        input="\n".join(typed) + "\n",
        env=os.environ | settings | {"NETRA_ENV": "test", "NETRA_NOW": "2024-11-18T10:00:00+07:00"},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=True,
    )
    shown, turns = done.stdout.split("\n> "), [*typed, ""]
    return "\n".join(f"{text}\n> {words}" for text, words in zip(shown, turns, strict=False))


async def telegram(folder: Path) -> str:
    """The same on Telegram, with a finger on the buttons."""
    lines: list[str] = []
    async with FakeTelegram.running() as fake, started(folder, TELEGRAM_TOKEN=fake.token, TELEGRAM_API_URL=fake.url):
        person = fake.person(4711)
        labels: list[str] = []

        async def hear() -> None:
            message = await person.hears()
            labels[:] = message.labels
            lines.append("Netra: " + indent(message.text, "    ").lstrip())
            if labels:
                lines.append("    [" + "] [".join(labels) + "]")

        async def say(words: str) -> None:
            lines.append(f"Warga: {words}")
            await person.says(words)
            await hear()

        async def tap(label: str) -> None:
            lines.append(f"Warga: [{label}]")
            await person.taps(label)
            await hear()

        await say("/kuis")
        await tap(labels[0])
        await tap(labels[0])
        await say("lewati")
        for card in range(CARDS):
            await tap(labels[card % 3])
        lines.append(f"\nRefused by the platform: {len(fake.refusals)}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", choices=("console", "telegram"))
    where = parser.parse_args().where
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        print(console(Path(name)) if where == "console" else asyncio.run(telegram(Path(name))))
