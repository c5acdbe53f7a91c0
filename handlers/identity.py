"""A warning before words leave the chat in which their writer may have named themselves."""

from __future__ import annotations

from typing import Protocol

from bot.chat import Chat, Name
from bot.messages import Option
from bot.questions import NO, YES, choice

REMOVE = Option("remove", keywords=("hapus", "hapus saja", *YES.keywords))
KEEP = Option("keep", keywords=("biarkan saja", *NO.keywords))


class Identity(Protocol):
    """Finds the writer's own identity in a text: the kinds that were found, and the text without them."""

    def __call__(self, words: str) -> tuple[list[str], str]: ...


async def without_identity(chat: Chat, identity: Identity, *texts: str) -> tuple[str, ...]:
    """The texts as they may go: where one holds what may be the writer's own identity, they are asked whether it is taken out."""
    found = [identity(words) for words in texts]
    kinds = sorted({kind for kinds, _ in found for kind in kinds})
    if not kinds:
        return texts
    names = [Name(f"tip.identity_kinds.{kind}") for kind in kinds]
    without = [words for _, words in found]
    if await chat.confirm("identity", choice(REMOVE, KEEP), kinds=names, without=without) == "remove":
        return tuple(without)
    return texts
