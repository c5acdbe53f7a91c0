"""What is kept of whom and for how long, in plain words; and the choice of language."""

from __future__ import annotations

from bot.chat import Chat
from bot.messages import Option
from bot.questions import NO, YES, choice
from bot.turn import Turn


async def privacy(chat: Chat) -> None:
    """Say what we promise, what nobody can promise, and how to remove traces."""
    chat.say("promise")
    chat.say("limits")
    chat.say("traces")


async def language(chat: Chat) -> str:
    """Choose the language of this conversation."""
    return await chat.ask("which", choice(Option("id"), Option("en")))


def set_language(which: str, turn: Turn) -> None:
    """Speak the language from now on."""
    turn.language = which
    turn.say("language.set")


async def erase(chat: Chat) -> str | None:
    """Delete this conversation's messages as far as the platform allows, and say what only the person can delete."""
    sure = await chat.ask("sure", choice(Option("erase_yes", keywords=YES.keywords), Option("erase_no", keywords=NO.keywords)))
    return sure if sure == "erase_yes" else None


def keep_erase(_: str, turn: Turn) -> None:
    """Forget the chat: its messages on the platform, and its draft here."""
    turn.forget = True
    turn.say("erase.done")
