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
NO_PHOTO = ("habis", "tidak punya", "tidak punya foto", "tidak ada foto", "ga ada", "gak ada", "nggak ada", "belum ada", "no photo")
DONE = Option("done", keywords=("selesai", "sudah", "done", "cukup", "beres", *NO_PHOTO))


def plain(words: str) -> str:
    """Lower case, single spaces, no mark at the end: how typed words are compared with a choice."""
    return " ".join(words.lower().split()).strip(" .!")


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


def photos() -> Reader[tuple[str, ...] | None]:
    """The photos of one message, or None when the person says that there are no more."""

    def read(answer: Answer) -> tuple[str, ...] | None:
        if answer.photos:
            return answer.photos
        if answer.choice in (DONE.value, SKIP.value) or plain(answer.text) in (*DONE.keywords, *SKIP.keywords):
            return None
        if answer.refused:
            raise Rejected(f"errors.file_{answer.refused[0]}")
        raise Rejected("errors.photo_please")

    return Reader(read, options=(DONE,), wants="photo")


async def collect(chat: Chat, name: str, *, at_most: int) -> list[str]:
    """Photos, one or several a message, until the person says "done" or the limit is reached; says when some were too many."""
    found: list[str] = []
    while len(found) < at_most:
        step = name if not found else f"{name}.{len(found)}"
        sent = await chat.ask(step, photos(), text="" if not found else f"{name}_more", count=len(found), at_most=at_most)
        if sent is None:
            break
        found.extend(photo for photo in sent if photo not in found)
    if len(found) > at_most:
        chat.say(".errors.file_many")
    return found[:at_most]


def sent_photos(chat: Chat, name: str) -> list[str]:
    """The photos that have come for a question so far, also before it was asked."""
    return [photo for known, answer in chat.answers.items() if known.split(".")[0] == name for photo in answer.get("photos", ())]


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

AHEAD = dt.timedelta(days=60)
"""A day without a year that lies further ahead than this is one of last year."""
CLOCK = re.compile(r"\b(?:jam|pukul|pkl|at)\.? ?\d{1,2}(?: ?[.:] ?\d{2})?\b|\b\d{1,2}[.:]\d{2} ?(?:wib|wita|wit)\b")
AGO = re.compile(r"\b(\d{1,3}|" + "|".join(SMALL) + r") ?(" + "|".join(UNITS) + r")\w* (?:lalu|ago|kemarin)\b")
ISO = re.compile(r"\b(?P<year>20\d\d)-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b")
FIGURES = re.compile(r"\b(?P<day>\d{1,2}) ?[/.-] ?(?P<month>\d{1,2})(?: ?[/.-] ?(?P<year>\d{4}|\d{2}))?\b")
WORDED = re.compile(r"\b(?P<day>\d{1,2}) ?(?P<month>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?(?: (?P<year>20\d\d))?")
BARE = re.compile(r"(?:(?:pada|sejak|tanggal|tgl)\.? ?)*(?P<day>\d{1,2})")
WEEK = r"(?! (?:lalu|kemarin|depan|ini)\b)"
"""In "minggu lalu" a week is meant, in "hari minggu lalu" a Sunday."""


def read_date(words: str, today: dt.date) -> dt.date | None:
    """The day that is meant by "kemarin", "3 hari lalu", "Senin", "17/11", "17 Nov 2026"; None when none is recognised.

    A weekday is the last such day (today included); a day without a year is the nearest one that is not far ahead.
    """
    said = re.sub(r"\b(?:yang|yg) lalu\b|\byll\b", "lalu", words.lower())
    said = re.sub(r"\s+", " ", CLOCK.sub(" ", said)).strip(" .,!")
    if said in FIXED:
        return today - dt.timedelta(days=FIXED[said])
    if match := AGO.search(said):
        number = SMALL[match[1]] if match[1] in SMALL else int(match[1])
        return today - dt.timedelta(days=number * UNITS[match[2]])
    for pattern in (ISO, FIGURES, WORDED):
        for match in pattern.finditer(said):
            if day := _day(match.groupdict(), today):
                return day
    if match := BARE.fullmatch(said):
        return _day(match.groupdict(), today)
    for name, weekday in DAYS.items():
        if re.search(rf"\bhari {name}\b|\b{name}\b" + (WEEK if name == "minggu" else ""), said):
            back = (today.weekday() - weekday) % 7
            return today - dt.timedelta(days=back or (7 if re.search(r"\b(?:lalu|kemarin|last)\b", said) else 0))
    for phrase in sorted(FIXED, key=len, reverse=True):
        if re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", said):
            return today - dt.timedelta(days=FIXED[phrase])
    return None


def _day(found: dict[str, str | None], today: dt.date) -> dt.date | None:
    """The date of these parts; the latest that is not far ahead where the year, or month and year, are not said."""
    day, month, year = int(found["day"] or 0), found.get("month"), found.get("year")
    if month is None:
        months = [today.replace(day=1) - dt.timedelta(days=back) for back in (0, 1, 32)]
        return next((date for first in months if (date := _date(first.year, first.month, day)) and date <= today), None)
    number = MONTHS[month] if month in MONTHS else int(month)
    if year is not None:
        return _date(int(year) + (2000 if len(year) == 2 else 0), number, day)
    latest = today + AHEAD
    return next((date for year in range(latest.year, latest.year - 5, -1) if (date := _date(year, number, day)) and date <= latest), None)


def _date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def past_day(today: dt.date, *, unsure: Option) -> Reader[dt.date | None]:
    """A day that is not ahead, in words or figures, counted from the day of the answer; None when the person is not sure."""

    def read(answer: Answer) -> dt.date | None:
        if answer.choice == unsure.value or plain(answer.text) in unsure.keywords:
            return None
        said_on = dt.date.fromisoformat(answer.day) if answer.day else today
        if answer.choice in ("today", "yesterday"):
            return said_on - dt.timedelta(days=answer.choice == "yesterday")
        day = read_date(answer.text, said_on)
        if day is None:
            raise Rejected("errors.day_unknown")
        if day > said_on:
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
