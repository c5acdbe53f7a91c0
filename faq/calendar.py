"""Elections as data: which stage is it on this day, and which day does a question ask about."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

CALENDAR: Final = Path(__file__).parent / "calendar.toml"
DAY: Final = timedelta(days=1)


class BadCalendar(ValueError):
    """The calendar does not describe an election completely."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage (tahapan) of an election, from its first to its last day."""

    id: str
    name: str
    name_en: str
    begins: date
    ends: date


@dataclass(frozen=True, slots=True)
class Election:
    """An election: when people vote and what comes before and after."""

    name: str
    title: str
    title_en: str
    vote: date
    candidates_set: date
    ends: date
    stages: tuple[Stage, ...]
    regions: Mapping[str, date]

    def stage(self, day: date) -> Stage:
        """The stage of a day; what lies before the first stage counts as the first, what lies after the last as the last."""
        for stage in reversed(self.stages):
            if day >= stage.begins:
                return stage
        return self.stages[0]

    def named(self, stage: str) -> Stage:
        """The stage with this id."""
        return next(known for known in self.stages if known.id == stage)

    def over(self, day: date) -> bool:
        """Is the election over on this day, counting included?"""
        return day > self.ends

    def before_candidates(self, day: date) -> bool:
        """Is this day before the candidates were set, when a breach is one of ethics and not yet of discipline?"""
        return day < self.candidates_set

    def in_region(self, code: str) -> Election:
        """The same election where a region, or the province it lies in, votes on a day of its own."""
        vote = next((self.regions[part] for part in _within(code) if part in self.regions), self.vote)
        if vote == self.vote:
            return self
        shift = vote - self.vote
        stages = tuple(replace(stage, begins=stage.begins + shift, ends=_shifted(stage.ends, shift)) for stage in self.stages)
        return replace(self, vote=vote, candidates_set=self.candidates_set + shift, ends=self.ends + shift, stages=stages)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Every election the bot knows of."""

    elections: Mapping[str, Election]
    default: str

    @classmethod
    def load(cls, path: Path = CALENDAR) -> Calendar:
        """Read the calendar."""
        tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
        elections = {name: _election(name, table) for name, table in tables.items()}
        if not elections:
            raise BadCalendar(f"{path.name}: there is no election")
        chosen = [name for name, table in tables.items() if table.get("default")]
        if len(chosen) != 1:
            raise BadCalendar(f"{path.name}: exactly one election is the default, not {len(chosen)}")
        return cls(MappingProxyType(elections), chosen[0])

    def election(self, name: str = "") -> Election:
        """The election of this name, or the default one."""
        try:
            return self.elections[name or self.default]
        except KeyError:
            raise BadCalendar(f"there is no election called {name!r}; known: {', '.join(self.elections)}") from None


def _within(code: str) -> list[str]:
    """A region's code and those of what it lies in: 18.01.05, 18.01, 18."""
    parts = code.split(".") if code else []
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _shifted(day: date, shift: timedelta) -> date:
    return day if day == date.max else day + shift


def _election(name: str, table: dict[str, Any]) -> Election:
    try:
        rows = table["stages"]
        starts = [row["begins"] for row in rows]
        if not rows or starts != sorted(set(starts)):
            raise BadCalendar(f"{name}: stages must follow one another")
        ends = [begins - DAY for begins in starts[1:]] + [date.max]
        stages = tuple(Stage(row["id"], row["name"], row["name_en"], row["begins"], last) for row, last in zip(rows, ends, strict=True))
        regions = {code: region["vote"] for code, region in table.get("regions", {}).items()}
        return Election(
            name,
            table["title"],
            table["title_en"],
            table["vote"],
            table["candidates_set"],
            table["ends"],
            stages,
            MappingProxyType(regions),
        )
    except KeyError as reason:
        raise BadCalendar(f"{name}: {reason} is missing") from reason


# Which day does a question ask about?

_MONTHS: Final = (
    "januari jan january", "februari feb pebruari february", "maret mar mrt march", "april apr", "mei may", "juni jun june",
    "juli jul july", "agustus agu ags agt agst august", "september sep sept", "oktober okt october oct",
    "november nov nop nopember", "desember des december dec",
)  # fmt: skip
MONTHS: Final[Mapping[str, int]] = MappingProxyType(
    {word: number for number, words in enumerate(_MONTHS, start=1) for word in words.split()}
)

_YEAR = r"(?:\s+(?P<year>20\d\d))?"
_WORDED = re.compile(r"\b(?P<day>[0-3]?\d)\s*(?P<month>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b" + _YEAR)
_NUMBERED = re.compile(r"(?<![\d/.-])(?P<day>[0-3]?\d)[/.-](?P<month>[01]?\d)[/.-](?P<year>20\d\d|\d\d)(?![\d/-])")
_SLASHED = re.compile(r"\b(?:tgl|tanggal|tg)\.?\s*(?P<day>[0-3]?\d)[/.-](?P<month>[01]?\d)(?![\d/-])")
_ISO = re.compile(r"\b(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d)\b")
_BARE = re.compile(r"\b(?:tgl|tanggal|tg)\.?\s*(?P<day>[0-3]?\d)\b(?!\s*(?:[/.-]\s*\d|jam|orang))")

_WHEN = r"(?:pas|waktu|wktu|saat|hari|hr|ketika|selama|jelang)"
_VOTING = r"(?:nyoblos|mencoblos|coblos|coblosan|pencoblosan|pemungutan(?: suara)?|pemilihan|pilkada|h)"
_AFTER = r"(?:setelah|sesudah|stlh|usai|seusai|selesai|habis|hbs|abis|abs|bar|pasca|selepas)"
_SET = r"(?:penetapan|ditetapkan|ditetepin|ditetapin|penetepan)"
_STAGES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), stage)
    for pattern, stage in (
        (rf"\b(?:sebelum|sblm|belum|blm|blum|durung|menjelang)\s+(?:kpu\s+|resmi\s+|ada\s+|masa\s+)?{_SET}", "sebelum-penetapan"),
        (r"\b(?:sebelum|sblm)\s+(?:masa\s+)?kampanye", "sebelum-penetapan"),
        (rf"\b{_AFTER}\s+(?:hari\s+)?{_VOTING}\b", "sesudah"),
        (rf"\b{_AFTER}\s+(?:resmi\s+|kpu\s+)?{_SET}", "penetapan"),
        (r"\b(?:masa|minggu|hari|hr|periode|ms)\s*tenang", "masa-tenang"),
        (rf"\b{_WHEN}\s+(?:hari\s+|h-?)?{_VOTING}\b", "hari-pemungutan"),
        (r"\bhari[- ]h\b", "hari-pemungutan"),
        (r"\b(?:masa|musim|selama|periode|ms|tahapan)\s+kampanye", "kampanye"),
    )
)

_DIGIT = re.compile(r"\d")
_STAGE_HINTS: Final = ("tenang", "oblos", "pemungutan", "pemilihan", "pilkada", "hari h", "hari-h", "etap", "etep", "kampanye")
"""Most questions name no stage: one of these must appear before any pattern is tried."""

_RELATIVE_HINTS: Final = (
    "sok", "bsk", "besuk", "suk", "tomorrow", "lusa", "emben", "pageto", "marin", "maren", "kmrn", "wingi", "kamari", "maghi",
    "yesterday", "semalam", "malam", "malem", "minggu", "mgg", "pekan", "bulan", "bln",
)  # fmt: skip

_RELATIVE: Final[tuple[tuple[re.Pattern[str], Callable[[date], date]], ...]] = tuple(
    (re.compile(pattern), shift)
    for pattern, shift in (
        (r"\b(?:besok|bsk|besuk|esok|sesuk|isuk|beisuk|isukan|tomorrow)\b(?!\s*lusa)", lambda day: _move(day, 1)),
        (r"\b(?:lusa|emben|pageto)\b", lambda day: _move(day, 2)),
        (r"\b(?:kemarin|kmrn|kemaren|kmaren|wingi|kamari|kemaghi|yesterday)\s+(?:lusa|dulu)\b", lambda day: _move(day, -2)),
        (r"\b(?:kemarin|kmrn|kemaren|kmaren|wingi|kamari|kemaghi|yesterday|semalam|tadi malam|td malem)\b", lambda day: _move(day, -1)),
        (r"\b(?:minggu|mgg|pekan)\s+(?:depan|dpn|ngarep)\b", lambda day: _move(day, 7)),
        (r"\b(?:minggu|mgg|pekan)\s+(?:lalu|kemarin|kmrn|wingi)\b", lambda day: _move(day, -7)),
        (r"\b(?:bulan|bln)\s+(?:depan|dpn|ngarep)\b", lambda day: _move(day, 30)),
        (r"\b(?:bulan|bln)\s+(?:lalu|kemarin|kmrn)\b", lambda day: _move(day, -30)),
    )
)


def find_day(question: str, today: date, election: Election) -> date | None:
    """The day a question asks about, if it names one: a date first, then a stage, then "besok" and the like."""
    text = question[:1000].casefold()
    if _DIGIT.search(text):
        for pattern in (_ISO, _WORDED, _NUMBERED, _SLASHED, _BARE):
            for match in pattern.finditer(text):
                if (day := _date(match, today, election)) is not None:
                    return day
    if any(hint in text for hint in _STAGE_HINTS):
        for pattern, name in _STAGES:
            if pattern.search(text) and (day := _in_stage(name, today, election)) is not None:
                return day
    if not any(hint in text for hint in _RELATIVE_HINTS):
        return None
    # In "minggu lalu" nobody means yesterday: the longest span counts.
    moved = [shift(today) for pattern, shift in _RELATIVE if pattern.search(text)]
    return max(moved, key=lambda day: abs(day - today)) if moved else None


def _in_stage(name: str, today: date, election: Election) -> date | None:
    stage = next((known for known in election.stages if known.id == name), None)
    if stage is None:
        return None
    if stage.begins <= today <= stage.ends:
        return today
    return stage.ends if name == "sebelum-penetapan" else stage.begins


def _move(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return day


def _date(match: re.Match[str], today: date, election: Election) -> date | None:
    """The date a match spells; without a year or a month, the nearest to the vote."""
    parts = match.groupdict()
    month_word = parts.get("month")
    if month_word is None:
        month = election.vote.month if election.over(today) or abs(election.vote - today).days < 15 else today.month
    else:
        month = MONTHS.get(month_word) or (int(month_word) if month_word.isdecimal() else 0)
    year_word = parts.get("year")
    year = (int(year_word) + (2000 if len(year_word) == 2 else 0)) if year_word else election.vote.year
    try:
        return date(year, month, int(parts["day"]))
    except ValueError:
        return None
