"""Short scenes for practice: each belongs to an entry, and its answer follows from that entry alone."""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faq.entries import VERDICTS, BadEntry, Entry

SCENARIOS: Final = Path(__file__).parent / "scenarios"
LEVELS: Final = (1, 2, 3)
"""How hard: 1 is plain to see, 2 needs the rule, 3 needs its exceptions."""

HAND: Final = 10
BY_INDICATOR: Final[Mapping[str, int]] = {"kampanye": 4, "pelayanan-publik": 2, "umum": 2, "karier": 1, "partai": 1}
BY_ANSWER: Final[Mapping[str, int]] = {"dilarang": 5, "boleh": 4, "bersyarat": 1}
BY_LEVEL: Final[Mapping[int, int]] = {1: 4, 2: 4, 3: 2}
"""What a hand is made of: all indicators, all answers (so that nobody passes with "dilarang" alone) and all levels."""

ROUNDS: Final = 6
"""So many rounds bring new cards only; then the deck is shuffled anew."""

TEXT_AT_MOST, WHY_AT_MOST = 330, 230


@dataclass(frozen=True, slots=True)
class Scenario:
    """A short scene, the answer to it, and one sentence why."""

    id: str
    entry: str
    level: int
    answer: str
    text: str
    text_en: str
    why: str
    why_en: str


def load_scenarios(folder: Path = SCENARIOS) -> dict[str, Scenario]:
    """Read every scenario of a folder, in the order of their ids. Raises `BadEntry`."""
    found: dict[str, Scenario] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            for entry, scenes in tables.items():
                for name, scene in scenes.items():
                    found[f"{entry}.{name}"] = Scenario(id=f"{entry}.{name}", entry=entry, **scene)
        except (tomllib.TOMLDecodeError, AttributeError, TypeError) as reason:
            raise BadEntry(f"scenarios/{path.name}: {reason}") from reason
    return dict(sorted(found.items()))


def faults(scenarios: Mapping[str, Scenario], entries: Mapping[str, Entry]) -> list[str]:
    """What is wrong with the scenarios, one line each."""
    found = []
    for scene in scenarios.values():
        entry = entries.get(scene.entry)
        if entry is None:
            found.append(f"{scene.id}: there is no entry {scene.entry}")
        elif scene.answer == "bersyarat" and entry.verdict != "bersyarat":
            found.append(f"{scene.id}: the answer is bersyarat, but the entry is {entry.verdict}")
        if scene.answer not in VERDICTS:
            found.append(f"{scene.id}: {scene.answer} is no answer")
        if scene.level not in LEVELS:
            found.append(f"{scene.id}: {scene.level} is no level")
        for name, words, at_most in (
            ("text", scene.text, TEXT_AT_MOST),
            ("text_en", scene.text_en, TEXT_AT_MOST),
            ("why", scene.why, WHY_AT_MOST),
            ("why_en", scene.why_en, WHY_AT_MOST),
        ):
            if not 0 < len(words.strip()) <= at_most:
                found.append(f"{scene.id}: {name} must have 1 to {at_most} characters")
    alone = [entry for entry, number in Counter(scene.entry for scene in scenarios.values()).items() if number < 2]
    found.extend(f"{entry}: only one scenario" for entry in sorted(alone))
    return found


def draw(scenarios: Sequence[Scenario], indicators: Mapping[str, str], seed: int, number: int = 0) -> tuple[Scenario, ...]:
    """The cards of round `number` for this seed, easy ones first.

    The same seed gives the same cards; no card comes twice in `ROUNDS` rounds, no entry twice in a round. A scenario whose entry is gone is
    left out.
    """
    known = [scene for scene in scenarios if scene.entry in indicators]
    dice = random.Random(f"{seed}.{number // ROUNDS}")  # noqa: S311 - a shuffle that must be repeatable, not a secret
    dice.shuffle(known)
    used: set[str] = set()
    hand: list[Scenario] = []
    for _ in range(number % ROUNDS + 1):
        hand = _hand([scene for scene in known if scene.id not in used], indicators)
        used.update(scene.id for scene in hand)
    return tuple(sorted(hand, key=lambda scene: scene.level))


def _hand(deck: Sequence[Scenario], indicators: Mapping[str, str]) -> list[Scenario]:
    """Ten cards that fill the three tables above as well as the deck allows; the scarcest answers and indicators are served first."""
    wanted: tuple[Counter[Any], ...] = (Counter(BY_ANSWER), Counter(BY_INDICATOR), Counter(BY_LEVEL))
    hand: list[Scenario] = []
    taken: set[str] = set()

    def features(scene: Scenario) -> tuple[str | int, ...]:
        return scene.answer, indicators[scene.entry], scene.level

    def fits(scene: Scenario) -> tuple[int, int]:
        places = [table[feature] for table, feature in zip(wanted, features(scene), strict=True)]
        return sum(left > 0 for left in places), -sum(left for left in places if left > 0)

    while len(hand) < HAND:
        candidates = [scene for scene in deck if scene.entry not in taken]
        if not candidates:
            break
        best = max(candidates, key=fits)
        hand.append(best)
        taken.add(best.entry)
        for table, feature in zip(wanted, features(best), strict=True):
            table[feature] -= 1
    return hand
