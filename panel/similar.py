"""Tips that may be about the same event: the same picture, nearly the same words, or the same place and day."""

from __future__ import annotations

from dataclasses import dataclass

from rapidfuzz import fuzz
from sqlalchemy import Connection

from storage.cases import Cases, OpenCase

NEAR_BITS = 6
"""Two difference hashes of 64 bits that differ in at most this many belong to the same picture, re-encoded or scaled."""

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
        if pictures and any(_distance(one, two) <= NEAR_BITS for one in pictures for two in _pictures(cases, connection, other)):
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


def _pictures(cases: Cases, connection: Connection, case: OpenCase) -> list[int]:
    """The likeness hashes of a case's photos; flat pictures (all bits equal) resemble every other and do not count."""
    if not case.head.get("photos"):
        return []
    hashes = [int(str(facts.get("likeness", "0")), 16) for facts in cases.photo_facts(connection, case.key, case.id).values()]
    return [value for value in hashes if 4 < value.bit_count() < 60]


def _distance(one: int, two: int) -> int:
    return (one ^ two).bit_count()
