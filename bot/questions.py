"""Readers: small functions without effects that turn a raw answer into a value or raise `Rejected`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from bot.chat import Chat, Reader, Rejected
from bot.messages import Answer, Option

T = TypeVar("T")

SKIP = Option("skip", keywords=("lewati", "lewat", "skip", "tidak ada", "kosong", "-"))
YES = Option("yes", keywords=("ya", "y", "iya", "yes", "ok", "oke", "betul", "benar", "setuju", "iy", "yoi"))
NO = Option("no", keywords=("tidak", "t", "no", "n", "gak", "ga", "nggak", "enggak", "tdk", "tak", "bukan", "g", "jangan"))
DONE = Option("done", keywords=("selesai", "sudah", "done", "cukup", "beres"))


def plain(words: str) -> str:
    """Lower case, single spaces, no mark at the end: how typed words are compared with a choice."""
    return re.sub(r"\s+", " ", words.strip().lower()).strip(" .!")


def text(*, at_least: int = 1, at_most: int = 2000, optional: bool = False) -> Reader[str]:
    """Words of the person's own, between two lengths; with `optional` the question can be skipped (empty answer)."""

    def read(answer: Answer) -> str:
        if optional and (answer.choice == SKIP.value or plain(answer.text) in SKIP.keywords):
            return ""
        words = answer.text.strip()
        if not words:
            raise Rejected("errors.words_please")
        if len(words) < at_least:
            raise Rejected("errors.too_short", at_least=at_least)
        if len(words) > at_most:
            raise Rejected("errors.too_long", at_most=at_most, length=len(words))
        return words

    return Reader(read, options=(SKIP,) if optional else (), free_text=True)


def choice(*options: Option | str) -> Reader[str]:
    """One of several things: by button, word or number; the value of the option that was chosen."""
    known = tuple(option if isinstance(option, Option) else Option(option) for option in options)

    def read(answer: Answer) -> str:
        words = plain(answer.text)
        for option in known:
            if answer.choice == option.value or (words and (words == option.value or words in option.keywords)):
                return option.value
        raise Rejected("errors.choose_one")

    return Reader(read, options=known, wants="choice")


def yes_no() -> Reader[str]:
    """`yes` or `no`."""
    return choice(YES, NO)


def either(options: Sequence[Option], reader: Reader[T]) -> Reader[T | str]:
    """One of the options, or else whatever the reader takes."""

    def read(answer: Answer) -> T | str:
        words = plain(answer.text)
        for option in options:
            if answer.choice == option.value or (words and words in option.keywords):
                return option.value
        return reader.read(answer)

    return Reader(read, options=(*options, *reader.options), wants=reader.wants, free_text=reader.free_text)


def photos(*, at_most: int) -> Reader[tuple[str, ...] | None]:
    """The photos of one message, or None when the person says that there are no more."""

    def read(answer: Answer) -> tuple[str, ...] | None:
        if answer.photos:
            return answer.photos[:at_most]
        if answer.choice in (DONE.value, SKIP.value) or plain(answer.text) in (*DONE.keywords, *SKIP.keywords):
            return None
        if answer.refused:
            raise Rejected(f"errors.file_{answer.refused[0]}")
        raise Rejected("errors.photo_please")

    return Reader(read, options=(DONE,), wants="photo")


async def collect(chat: Chat, name: str, *, at_most: int) -> list[str]:
    """Photos, one or several a message, until the person says "done" or the limit is reached."""
    found: list[str] = []
    while len(found) < at_most:
        reader = photos(at_most=at_most - len(found))
        step = name if not found else f"{name}.{len(found)}"
        sent = await chat.ask(step, reader, text="" if not found else f"{name}_more", count=len(found), at_most=at_most)
        if sent is None:
            break
        found.extend(photo for photo in sent if photo not in found)
    return found


def captions(chat: Chat, name: str) -> str:
    """The words that came with the photos of a question."""
    words = [str(answer.get("text", "")) for known, answer in chat.answers.items() if known.split(".")[0] == name and answer.get("photos")]
    return " ".join(word for word in words if word)


# --- dates in words ---------------------------------------------------------------------------------------------------------------

DAYS = {"senin": 0, "selasa": 1, "rabu": 2, "kamis": 3, "jumat": 4, "jum'at": 4, "sabtu": 5, "minggu": 6, "ahad": 6}
DAYS |= {"monday": 0, "tuesday": 1, "wednesday": 2, "thursday": 3, "friday": 4, "saturday": 5, "sunday": 6}
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "januari jan january",
            "februari feb pebruari february",
            "maret mar march",
            "april apr",
            "mei may",
            "juni jun june",
            "juli jul july",
            "agustus agu agt ags aug august",
            "september sep sept",
            "oktober okt oct october",
            "november nov nopember nop",
            "desember des dec december",
        ),
        start=1,
    )
    for name in names.split()
}
SMALL = {"satu": 1, "se": 1, "dua": 2, "tiga": 3, "empat": 4, "lima": 5, "enam": 6, "tujuh": 7, "one": 1, "two": 2, "three": 3}
UNITS = {
    "hari": 1,
    "hr": 1,
    "day": 1,
    "days": 1,
    "minggu": 7,
    "mgg": 7,
    "pekan": 7,
    "week": 7,
    "weeks": 7,
    "bulan": 30,
    "bln": 30,
    "month": 30,
}
FIXED = {
    "hari ini": 0, "tadi": 0, "tadi pagi": 0, "tadi siang": 0, "tadi sore": 0, "tadi malam": 1, "semalam": 1, "barusan": 0, "sekarang": 0,
    "kemarin": 1, "kmrn": 1, "kemaren": 1, "kemarin dulu": 2, "kemarin lusa": 2, "today": 0, "yesterday": 1, "last night": 1,
    "besok": -1, "bsk": -1, "lusa": -2, "tomorrow": -1, "minggu lalu": 7, "minggu kemarin": 7, "pekan lalu": 7, "last week": 7,
    "seminggu lalu": 7, "sehari lalu": 1, "bulan lalu": 30, "sebulan lalu": 30, "last month": 30, "minggu depan": -7, "pekan depan": -7,
}  # fmt: skip


def read_date(words: str, today: dt.date) -> dt.date | None:
    """The day that is meant by "kemarin", "3 hari lalu", "Senin", "17/11", "17 Nov 2026"; None when none is recognised.

    A weekday is the last such day (today included); a day without a year is the nearest one that is not far ahead.
    """
    said = re.sub(r"\s+", " ", words.lower().replace("yang lalu", "lalu").replace("yg lalu", "lalu").replace("yll", "lalu")).strip(" .,!")
    said = re.sub(r"^(?:sejak|pada|tanggal|tgl|hari|sekitar|kira-kira|on)\s+(?=\S)", "", said) if said not in FIXED else said
    if said in FIXED:
        return today - dt.timedelta(days=FIXED[said])
    if match := re.search(
        r"\b(\d{1,3}|satu|dua|tiga|empat|lima|enam|tujuh|one|two|three) ?(" + "|".join(UNITS) + r")\w* (?:lalu|ago|kemarin)\b", said
    ):
        number = int(match[1]) if match[1].isdigit() else SMALL[match[1]]
        return today - dt.timedelta(days=number * UNITS[match[2]])
    if match := re.search(r"\b(20\d\d)-(\d{1,2})-(\d{1,2})\b", said):
        return _day(int(match[3]), int(match[2]), int(match[1]), today)
    if match := re.search(r"\b(\d{1,2}) ?[/.-] ?(\d{1,2})(?: ?[/.-] ?(\d{2,4}))?\b", said):
        return _day(int(match[1]), int(match[2]), _year(match[3]), today)
    if (match := re.search(r"\b(\d{1,2}) ([a-z]+)\.?(?: (20\d\d))?\b", said)) and match[2] in MONTHS:
        return _day(int(match[1]), MONTHS[match[2]], _year(match[3]), today)
    for name, weekday in DAYS.items():
        if re.search(rf"\b{name}\b", said) and said not in ("minggu lalu", "minggu kemarin", "minggu depan"):
            back = (today.weekday() - weekday) % 7
            return today - dt.timedelta(days=back or (7 if "lalu" in said or "kemarin" in said or "last" in said else 0))
    for phrase in sorted(FIXED, key=len, reverse=True):
        if not re.search(r"\d", said) and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", said):
            return today - dt.timedelta(days=FIXED[phrase])
    if match := re.fullmatch(r"(\d{1,2})", said):
        return _day(int(match[1]), None, None, today)
    return None


def _year(digits: str | None) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) == 4 else 2000 + int(digits) % 100


def _day(day: int, month: int | None, year: int | None, today: dt.date) -> dt.date | None:
    try:
        if year is not None and month is not None:
            return dt.date(year, month, day)
        if month is not None:
            found = dt.date(today.year, month, day)
            return found if found <= today + dt.timedelta(days=60) else dt.date(today.year - 1, month, day)
        found = today.replace(day=day)
        return found if found <= today else (today.replace(day=1) - dt.timedelta(days=1)).replace(day=day)
    except ValueError:
        return None


def past_day(today: dt.date, *, unsure: Option) -> Reader[dt.date | None]:
    """A day that is not ahead, in words or figures; None when the person is not sure."""

    def read(answer: Answer) -> dt.date | None:
        if answer.choice == unsure.value or plain(answer.text) in unsure.keywords:
            return None
        if answer.choice in ("today", "yesterday"):
            return today - dt.timedelta(days=answer.choice == "yesterday")
        day = read_date(answer.text, today)
        if day is None:
            raise Rejected("errors.day_unknown")
        if day > today:
            raise Rejected("errors.day_ahead")
        return day

    return Reader(read, options=(Option("today"), Option("yesterday"), unsure))


# --- places -------------------------------------------------------------------------------------------------------------------------


def found_by(search: Callable[[str], Sequence[T]], *, at_most: int = 80) -> Reader[Sequence[T]]:
    """Whatever a search finds for the words; rejects what it does not find."""

    def read(answer: Answer) -> Sequence[T]:
        words = answer.text.strip()
        if not words:
            raise Rejected("errors.words_please")
        found = search(words[:at_most])
        if not found:
            raise Rejected("errors.place_unknown")
        return found

    return Reader(read)


def case_code() -> Reader[str]:
    """A receipt code, as its keyed hash; the code itself was taken out of the message at the door."""

    def read(answer: Answer) -> str:
        if answer.receipt:
            return answer.receipt
        digits = re.sub(r"\D", "", answer.text)
        raise Rejected("errors.code_wrong_digit" if len(digits) == 20 else "errors.code_incomplete", count=len(digits))

    return Reader(read)
