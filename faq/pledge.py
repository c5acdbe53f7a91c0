"""The pledge of neutrality (pakta integritas) in plain words, with every version that was ever agreed to."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

PLEDGE: Final = Path(__file__).parent / "pledge.toml"
MARK_CHARACTERS: Final = 12


class BadPledge(ValueError):
    """The file of the pledge does not hold what it needs."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the pledge, and the entry that explains it."""

    id: str
    title: str
    title_en: str
    text: str
    text_en: str
    entry: str


@dataclass(frozen=True, slots=True)
class Pledge:
    """One version of the text."""

    version: str
    since: date
    title: str
    title_en: str
    opening: str
    opening_en: str
    closing: str
    closing_en: str
    points: tuple[Point, ...]

    @property
    def mark(self) -> str:
        """A fingerprint of the words: what is printed on paper and compared when a version is verified."""
        words = [self.title, self.opening, *(f"{point.id} {point.title} {point.text}" for point in self.points), self.closing]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:MARK_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Pledges:
    """The current pledge and the earlier ones."""

    current: Pledge
    versions: Mapping[str, Pledge]

    def verify(self, version: str, mark: str) -> Pledge | None:
        """The pledge with this version and these very words, or None."""
        found = self.versions.get(version)
        return found if found is not None and found.mark == mark.lower() else None


def load_pledges(path: Path = PLEDGE) -> Pledges:
    """Read the pledge in all its versions. Raises `BadPledge`."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        versions = {name: _pledge(name, dict(rest)) for name, rest in table["versions"].items()}
        return Pledges(versions[table["current"]], versions)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as reason:
        raise BadPledge(f"{path.name}: {reason}") from reason


def _pledge(name: str, rest: dict[str, Any]) -> Pledge:
    points = tuple(Point(**point) for point in rest.pop("points"))
    if not points or len({point.id for point in points}) != len(points):
        raise BadPledge(f"{name}: points must be there and have names of their own")
    return Pledge(version=name, points=points, **rest)
