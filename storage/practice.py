"""What practising leaves behind: counts by month, never a person; and codes that prove a score without naming anybody.

Role and region are counted apart from each other, each by month, so that no row describes one person.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from storage.counts import Counts
from storage.models import Count
from storage.statistics import SMALLEST_SHOWN, Cell, suppressed, suppressed_table, suppressed_within
from storage.vault import keyed

QUIZ, PLEDGE = "quiz", "pledge"
UNKNOWN = "unknown"
"""A role or region that was not told."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "U": "V"})
FIRST_DAY = dt.date(2024, 1, 1)
NONCE_BYTES, MAC_BYTES = 2, 5
CODE_BYTES = 3 + NONCE_BYTES + MAC_BYTES
"""Two bytes of day, one of score, a random number (so that two certificates never share a code), and 40 bits of proof: a guess has to
be tried here, one request at a time, since nobody else has the key."""


# --- what is counted ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """One answered card, as far as it is counted."""

    topic: str
    entry: str
    right: bool


class Practice:
    """Counts quizzes and pledges."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def finished(self, connection: Connection, day: dt.date, given: Sequence[Given], role: str, region: str) -> None:
        """Count one finished quiz, by topic and entry, by role, and by region."""
        names = Counter({f"{QUIZ}.done": 1, f"{QUIZ}.role.{_name(role)}": 1, f"{QUIZ}.region.{_name(region)}": 1})
        for card in given:
            came = "right" if card.right else "wrong"
            names[f"{QUIZ}.topic.{card.topic}.{came}"] += 1
            names[f"{QUIZ}.by_role.{_name(role)}.{card.topic}.{came}"] += 1
            names[f"{QUIZ}.by_region.{_name(region)}.{card.topic}.{came}"] += 1
            names[f"{QUIZ}.entry.{card.entry}.{came}"] += 1
        self._add(connection, day, names)

    def agreed(self, connection: Connection, day: dt.date, version: str, role: str, region: str) -> None:
        """Count one pledge."""
        names = Counter(
            [f"{PLEDGE}.done", f"{PLEDGE}.version.{version}", f"{PLEDGE}.role.{_name(role)}", f"{PLEDGE}.region.{_name(region)}"]
        )
        self._add(connection, day, names)

    def _add(self, connection: Connection, day: dt.date, names: Mapping[str, int]) -> None:
        for name, number in names.items():
            self._counts.add(connection, day.replace(day=1), name, number)


def _name(value: str) -> str:
    """A part of a count's name: a region's code without its dots, down to the regency."""
    return value[:5].replace(".", "-") if value[:1].isdigit() else value or UNKNOWN


# --- what is shown ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weak:
    """How often a topic or entry was answered, and how many of a hundred answers were wrong; None: too few to show."""

    name: str
    answered: int | None
    wrong_percent: int | None


@dataclass(frozen=True, slots=True)
class QuizFigures:
    """The quizzes of a time. Everything small is hidden already."""

    finished: int | None
    by_role: tuple[Cell, ...]
    by_province: tuple[Cell, ...]
    topics: tuple[Weak, ...]
    entries: tuple[Weak, ...]
    by_role_topic: Mapping[str, tuple[Weak, ...]]
    by_province_topic: Mapping[str, tuple[Weak, ...]]


@dataclass(frozen=True, slots=True)
class PledgeFigures:
    """The pledges of a time; by region down to the regency for the panel, by province for everybody."""

    agreed: int | None
    by_role: tuple[Cell, ...]
    by_province: tuple[Cell, ...]
    by_regency: tuple[Cell, ...]
    by_version: tuple[Cell, ...]


def quiz_figures(connection: Connection, first: dt.date = dt.date.min, last: dt.date = dt.date.max) -> QuizFigures:
    """What people practise and get wrong most, weakest first, with small numbers hidden."""
    sums = _sums(connection, QUIZ, first, last)
    finished = _shown(sums.get(("done",), 0))
    roles = suppressed({name[1]: number for name, number in sums.items() if name[0] == "role"}, finished)
    provinces = suppressed(_provinces(sums), finished)
    topics = _answered(sums, "topic")
    shown = {cell.name: cell.number for cell in suppressed(topics.answered(), sum(topics.answered().values()))}
    entries = _answered(sums, "entry")
    parts = suppressed_within(entries.answered(), shown, lambda entry: entry.split(".")[0])
    return QuizFigures(
        finished,
        roles,
        provinces,
        topics.weak(shown),
        entries.weak({cell.name: cell.number for cell in parts}),
        _by_topic(sums, "by_role", roles),
        _by_topic(sums, "by_region", provinces),
    )


def pledge_figures(connection: Connection, first: dt.date = dt.date.min, last: dt.date = dt.date.max) -> PledgeFigures:
    """How many agreed to the pledge, with small numbers hidden."""
    sums = _sums(connection, PLEDGE, first, last)
    agreed = _shown(sums.get(("done",), 0))
    regencies = Counter({name[1].replace("-", "."): number for name, number in sums.items() if name[0] == "region"})
    provinces = suppressed(_provinces(sums), agreed)
    return PledgeFigures(
        agreed,
        suppressed({name[1]: number for name, number in sums.items() if name[0] == "role"}, agreed),
        provinces,
        suppressed_within(regencies, {cell.name: cell.number for cell in provinces}, lambda code: code.split(".")[0]),
        suppressed({".".join(name[1:]): number for name, number in sums.items() if name[0] == "version"}, agreed),
    )


def _sums(connection: Connection, kind: str, first: dt.date, last: dt.date) -> dict[tuple[str, ...], int]:
    """The counts of a kind, by the parts of their names."""
    query = select(Count.name, func.sum(Count.number).label("number")).where(Count.name.like(f"{kind}.%"), Count.day.between(first, last))
    return {tuple(row.name.split(".")[1:]): int(row.number) for row in connection.execute(query.group_by(Count.name))}


def _provinces(sums: Mapping[tuple[str, ...], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, number in sums.items():
        if name[0] == "region":
            found[name[1].split("-")[0]] += number
    return found


@dataclass(frozen=True, slots=True)
class _Answered:
    """Right and wrong answers by topic or entry."""

    right: Counter[str]
    wrong: Counter[str]

    def answered(self) -> dict[str, int]:
        """How many answers of each."""
        return {of: self.right[of] + self.wrong[of] for of in sorted(self.right.keys() | self.wrong.keys())}

    def weak(self, shown: Mapping[str, int | None]) -> tuple[Weak, ...]:
        """Those that may be shown, weakest first; the others come last, without figures."""
        found = [Weak(of, number, None if number is None else round(100 * self.wrong[of] / number)) for of, number in shown.items()]
        return tuple(sorted(found, key=lambda weak: (weak.wrong_percent is None, -(weak.wrong_percent or 0), weak.name)))


def _answered(sums: Mapping[tuple[str, ...], int], kind: str, within: str = "") -> _Answered:
    found = _Answered(Counter(), Counter())
    for name, number in sums.items():
        if name[0] == kind and (not within or name[1].split("-")[0] == within):
            of = ".".join(name[2 if within else 1 : -1])
            (found.right if name[-1] == "right" else found.wrong)[of] += number
    return found


def _by_topic(sums: Mapping[tuple[str, ...], int], kind: str, who: Sequence[Cell]) -> dict[str, tuple[Weak, ...]]:
    """The topics of each role or province; nothing of those whose number of quizzes is hidden."""
    answered = {cell.name: _answered(sums, kind, cell.name) for cell in who}
    hidden = [cell.name for cell in who if cell.number is None]
    shown = suppressed_table({name: given.answered() for name, given in answered.items()}, hidden)
    return {name: given.weak(shown[name]) for name, given in sorted(answered.items())}


def _shown(number: int) -> int | None:
    return number if number >= SMALLEST_SHOWN else None


# --- certificates -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """What a certificate's code proves: a day and a score, of nobody in particular."""

    day: dt.date
    right: int
    of: int


class Certificates:
    """Makes and reads the codes on certificates, under a key derived from the panel's; nothing is stored."""

    def __init__(self, panel_key: bytes) -> None:
        self._key = keyed(panel_key, b"certificate", b"")

    def code(self, score: Score) -> str:
        """A new code for this score, in four groups of four."""
        days = (score.day - FIRST_DAY).days
        fact = days.to_bytes(2, "big") + bytes([score.right << 4 | score.of]) + secrets.token_bytes(NONCE_BYTES)
        number = int.from_bytes(fact + self._mac(fact), "big")
        letters = "".join(ALPHABET[number >> shift & 31] for shift in range(75, -1, -5))
        return "-".join(letters[start : start + 4] for start in range(0, 16, 4))

    def read(self, code: str) -> Score | None:
        """The score behind a code, however it was typed; None for a code that was not made here."""
        letters = "".join(letter for letter in code.upper() if letter.isalnum()).translate(LOOKALIKES)
        if len(letters) != 16 or any(letter not in ALPHABET for letter in letters):
            return None
        number = 0
        for letter in letters:
            number = number << 5 | ALPHABET.index(letter)
        code_bytes = number.to_bytes(CODE_BYTES, "big")
        fact, mac = code_bytes[:-MAC_BYTES], code_bytes[-MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(fact)):
            return None
        return Score(FIRST_DAY + dt.timedelta(days=int.from_bytes(fact[:2], "big")), fact[2] >> 4, fact[2] & 15)

    def _mac(self, fact: bytes) -> bytes:
        return keyed(self._key, b"certificate", fact, MAC_BYTES)
