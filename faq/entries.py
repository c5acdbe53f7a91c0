"""What the bot knows about each act: the curated entries, the redirects for what lies beside the subject, and how people put them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

FOLDER: Final = Path(__file__).parent
ENTRIES: Final = FOLDER / "entries"
REDIRECTS: Final = FOLDER / "redirects.toml"
PHRASINGS: Final = FOLDER / "phrasings"

REPORT: Final = "@lapor"
"""The mark of phrasings by somebody who wants to report another person's deed."""

VERDICTS: Final = ("dilarang", "bersyarat", "boleh")
"""Every verdict an entry may have, strictest first."""

STRICTNESS: Final[Mapping[str, int]] = MappingProxyType({verdict: place for place, verdict in enumerate(VERDICTS)})


class BadEntry(ValueError):
    """A file of entries does not hold what an entry needs."""


T = TypeVar("T")


class Later(Mapping[str, T]):
    """Rows by their names, read when the first of them is asked for: an idle server needs none."""

    def __init__(self, load: Callable[[], Mapping[str, T]]) -> None:
        self._load = load

    @cached_property
    def _rows(self) -> Mapping[str, T]:
        return self._load()

    def __getitem__(self, name: str) -> T:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class Basis:
    """One legal basis and what it says in a line."""

    regulation: str
    article: str
    says: str


@dataclass(frozen=True, slots=True)
class Sanction:
    """What may follow, before and after the candidates are set; for PPPK only where it differs."""

    before: str
    after: str
    before_pppk: str
    after_pppk: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A yes/no question of a *bersyarat* entry; each answer names an outcome, or "next" for the next question."""

    ask: str
    ask_en: str
    yes: str
    no: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the conditions lead: boleh (under the condition named), dilarang, or tanya (ask first)."""

    verdict: str
    text: str
    text_en: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One act, its verdict, and everything the answer card says about it."""

    id: str
    title: str
    title_en: str
    verdict: str
    indicator: str
    stages: str
    stage_note: str
    short: str
    short_en: str
    explanation: str
    instead: str
    if_happened: str
    ask: str
    confidence: str
    uncertain: str
    reviewed: date
    sources: tuple[str, ...]
    related: tuple[str, ...]
    basis: tuple[Basis, ...]
    sanction: Sanction
    conditions: tuple[Condition, ...]
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Redirect:
    """A short, kind reply to what people ask beside the subject."""

    id: str
    title: str
    title_en: str
    reply: str
    reply_en: str


@dataclass(frozen=True, slots=True)
class Phrasing:
    """Another way to ask for an entry."""

    entry: str
    words: str


def load_entries(folder: Path = ENTRIES) -> dict[str, Entry]:
    """Read every entry of a folder, in the order of their ids."""
    found: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.toml")):
        for name, table in _tables(path):
            if name in found:
                raise BadEntry(f"{path.name}: {name} appears twice")
            found[name] = _entry(path, name, table)
    return dict(sorted(found.items()))


def load_redirects(path: Path = REDIRECTS) -> dict[str, Redirect]:
    """Read the redirects, in the order of their ids."""
    wanted = [field.name for field in fields(Redirect) if field.name != "id"]
    found: dict[str, Redirect] = {}
    if path.exists():
        for name, table in _tables(path):
            missing = [key for key in wanted if not isinstance(table.get(key), str)]
            if missing:
                raise BadEntry(f"{path.name}: {name} has no {', '.join(missing)}")
            found[name] = Redirect(id=name, **{key: str(table[key]) for key in wanted})
    return dict(sorted(found.items()))


def load_phrasings(folder: Path = PHRASINGS) -> Iterator[tuple[str, str, str]]:
    """Give every phrasing as (register, id, phrasing): lines of `*.tsv`, and tables of `*.toml` as the panel exports them."""
    for path in sorted(folder.glob("*.tsv")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, tab, phrasing = line.partition("\t")
            if tab and phrasing.strip() and not line.startswith("#"):
                yield path.stem, name.strip(), phrasing.strip()
    for path in sorted(folder.glob("*.toml")):
        for name, table in _tables(path):
            for words in table.get("phrasings", ()):
                yield path.stem, name, str(words).strip()


def _tables(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as reason:
        raise BadEntry(f"{path.name}: {reason}") from reason
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise BadEntry(f"{path.name}: {name} is not a table")
        yield name, table


def _entry(path: Path, name: str, table: dict[str, Any]) -> Entry:
    try:
        rest = dict(table)
        basis = tuple(Basis(**row) for row in rest.pop("basis"))
        sanction = Sanction(**rest.pop("sanction"))
        conditions = tuple(Condition(**row) for row in rest.pop("conditions", ()))
        outcomes = {key: Outcome(**row) for key, row in rest.pop("outcomes", {}).items()}
        sources, related = tuple(rest.pop("sources")), tuple(rest.pop("related"))
        return Entry(
            id=name,
            basis=basis,
            sanction=sanction,
            conditions=conditions,
            outcomes=MappingProxyType(outcomes),
            sources=sources,
            related=related,
            **rest,
        )
    except (KeyError, TypeError) as reason:
        raise BadEntry(f"{path.name}: {name}: {reason}") from reason
