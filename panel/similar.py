"""Tips that may be about the same event: the same picture, nearly the same words, or the same place and day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz
from sqlalchemy import Connection

from storage.cases import Cases, OpenCase
from storage.evidence import look_alike

NEAR_WORDS = 82.0
WORDS_AT_LEAST = 40
NEWEST = 200
"""How many of the newest tips the case page itself compares; the rest is one click away."""

SHOWN_AT_MOST = 30


@dataclass(frozen=True, slots=True)
class Near:
    """Another tip and why it may be the same event: together, picture, words, place_and_day."""

    case: OpenCase
    reasons: tuple[str, ...]


def pictures_elsewhere(connection: Connection, cases: Cases, case: OpenCase, near: Sequence[Near]) -> dict[str, list[OpenCase]]:
    """For each photo of a case the other tips that hold the same picture, or nearly the same; photos that are nowhere else are left out."""
    own = _pictures(cases, connection, case)
    others = [(other.case, _pictures(cases, connection, other.case)) for other in near if "picture" in other.reasons]
    found = {
        photo: [other for other, theirs in others if any(look_alike(likeness, value) for value in theirs.values())]
        for photo, likeness in own.items()
    }
    return {photo: seen for photo, seen in found.items() if seen}


def similar(connection: Connection, cases: Cases, staff: bytes, private_key: bytes, case: OpenCase, *, newest: int = 0) -> list[Near]:
    """The reader's tips that resemble this one, those with most reasons first."""
    pictures = _pictures(cases, connection, case)
    words = str(case.tip.get("what", ""))
    place, day = case.head.get("region"), case.head.get("when")
    found = []
    for other in cases.each(connection, staff, private_key, newest=newest):
        if other.id == case.id:
            continue
        reasons = []
        if case.together and other.together == case.together:
            reasons.append("together")
        if pictures and any(look_alike(one, two) for one in pictures.values() for two in _pictures(cases, connection, other).values()):
            reasons.append("picture")
        theirs = str(other.tip.get("what", ""))
        if min(len(words), len(theirs)) >= WORDS_AT_LEAST and fuzz.token_set_ratio(words, theirs, score_cutoff=NEAR_WORDS):
            reasons.append("words")
        if place and day and other.head.get("region") == place and other.head.get("when") == day:
            reasons.append("place_and_day")
        if reasons:
            found.append(Near(other, tuple(reasons)))
    found.sort(key=lambda near: (-("together" in near.reasons), -len(near.reasons)))
    return found[:SHOWN_AT_MOST]


def _pictures(cases: Cases, connection: Connection, case: OpenCase) -> dict[str, int]:
    """The likeness hash of each photo of a case."""
    if not case.head.get("photos"):
        return {}
    facts = cases.photo_facts(connection, case.key, case.id)
    return {photo: int(str(known.get("likeness", "0")), 16) for photo, known in facts.items()}
