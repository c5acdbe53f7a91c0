"""Role and region, as far as they are counted: both may be left out, and nothing finer than a regency is kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from bot.chat import Chat, Reader, Rejected
from bot.messages import Answer, Option
from bot.questions import SKIP, choice, plain
from faq.regions import Region

Search = Callable[[str], Sequence[Region]]

ROLES = ("guru", "kesehatan", "pimpinan", "pegawai", "honorer", "warga")
REGENCY = 5
"""Length of a regency's code."""

NAME_AT_LEAST, NAME_AT_MOST, WORDS_AT_MOST = 2, 60, 80


async def role_and_region(chat: Chat, search: Search) -> tuple[str, str]:
    """The person's role and the code of the regency or province, each empty when it is left out."""
    role = await chat.ask("role", choice(*ROLES, SKIP), text=".who.role")
    found = await chat.ask("where", _places(search), text=".who.where")
    if len(found) > 1:
        offered = [Option(region.code[:REGENCY], region.name, region.within) for region in found]
        code = await chat.ask("where_which", choice(*offered, SKIP), text=".who.where_which")
    else:
        code = found[0].code[:REGENCY] if found else ""
    return ("" if role == SKIP.value else role), ("" if code == SKIP.value else code)


def told(role: str, region: str) -> dict[str, Answer]:
    """The answers to give in advance when a flow follows that would ask the same again."""
    return {"role": Answer(choice=role or SKIP.value), "where": Answer(choice=f"region:{region}" if region else SKIP.value)}


def _places(search: Search) -> Reader[Sequence[Region]]:
    """The regions that fit, one for each regency; none when the question is skipped."""

    def read(answer: Answer) -> Sequence[Region]:
        if answer.choice == SKIP.value or plain(answer.text) in SKIP.keywords:
            return ()
        if answer.choice.startswith("region:"):
            code = answer.choice.removeprefix("region:")
            return (Region(code, code, ""),)
        if not answer.text.strip():
            raise Rejected("errors.words_please")
        found = {region.code[:REGENCY]: region for region in reversed(search(answer.text.strip()[:WORDS_AT_MOST]))}
        if not found:
            raise Rejected("errors.place_or_skip")
        return tuple(reversed(found.values()))

    return Reader(read, options=(SKIP,))


def person_name() -> Reader[str]:
    """A name as it is to stand on paper: Latin letters and what belongs to names; figures would be an employee number."""

    def read(answer: Answer) -> str:
        name = " ".join(unicodedata.normalize("NFC", answer.text).split())
        letters = [sign for sign in name if not (sign in " .,'’-`" or unicodedata.category(sign) in ("Mn", "Mc"))]
        if not all(unicodedata.name(sign, "").startswith("LATIN ") for sign in letters) or len(letters) < NAME_AT_LEAST:
            raise Rejected("errors.name_letters")
        if len(name) > NAME_AT_MOST:
            raise Rejected("errors.too_long", at_most=NAME_AT_MOST, length=len(name))
        return name

    return Reader(read, free_text=True)
