"""The way in: what the bot can do, and where a person's first words lead."""

from __future__ import annotations

import re

from bot.chat import Chat, Go, Reader, Rejected
from bot.messages import Answer, Option
from bot.questions import either
from storage.subscribers import CHANNELS

MISTYPED = re.compile(r"\d(?:[\s.\-]{0,3}\d){14,23}")
"""Digits that are nearly a receipt code; a code without a mistake was recognised at the door."""

TOPICS = ("self_check", "tip", "follow_up", "quiz", "pledge", "subscribe", "privacy", "language")


def _anything() -> Reader[Answer]:
    def read(answer: Answer) -> Answer:
        if answer.photos or answer.text.strip():
            return answer
        if answer.refused:
            raise Rejected(f"errors.file_{answer.refused[0]}")
        raise Rejected("errors.choose_one")

    return Reader(read, free_text=True)


async def menu(chat: Chat) -> Go:
    """What would you like? A photo is the start of a tip; free words are a question."""
    topics = tuple(Option(topic) for topic in TOPICS if topic != "subscribe" or chat.channel in CHANNELS)
    if chat.parked:
        topics = (Option("resume"), *topics)
    wish = await chat.ask("wish", either(topics, _anything()))
    if isinstance(wish, str):
        return Go(wish)
    if wish.photos:
        return Go("tip", {"photos": Answer(photos=wish.photos, text=wish.text)})
    if MISTYPED.fullmatch(wish.text.strip()):
        return Go("follow_up", {"code": Answer(text=wish.text)})
    return Go("self_check", {"question": Answer(text=wish.text)})
