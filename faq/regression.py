"""What a change of the matcher does to questions whose answer is known: figures before and after, and what fares differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from faq.evaluate import Asked, Figures, Judged, figures, judge, read_questions
from faq.match import Faq
from faq.scenarios import load_scenarios

DEVELOPMENT: Final = Path(__file__).parent / "development.tsv"
"""Questions by other writers than the phrasings, with what they are about."""

SETS: Final = ("development", "cases")
"""Those questions, and the scenes of the quiz, which the matcher was not trained on either."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One set of questions before and after."""

    name: str
    before: Figures
    after: Figures


@dataclass(frozen=True, slots=True)
class Changed:
    """A question that fares differently: what came of it, and which entry came first (empty: none was answered)."""

    question: str
    expected: tuple[str, ...]
    before: str
    after: str
    entry_before: str
    entry_after: str
    better: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """All sets, and what changes."""

    sets: tuple[Measured, ...]
    changed: tuple[Changed, ...]

    @property
    def safe(self) -> bool:
        """No question is wrongly told "boleh" that was not before."""
        return all(one.after.false_boleh <= one.before.false_boleh for one in self.sets)


@lru_cache(maxsize=1)
def known_questions() -> dict[str, tuple[Asked, ...]]:
    """The questions of each set."""
    scenes = load_scenarios().values()
    return {
        "development": tuple(read_questions(DEVELOPMENT)),
        "cases": tuple(Asked(number, scene.text, frozenset({scene.entry}), "cases") for number, scene in enumerate(scenes)),
    }


def compare(before: Faq, after: Faq) -> Comparison:
    """Ask every known question twice (blocking, about a second: call it in a thread)."""
    sets, changed = [], list[Changed]()
    for name in SETS:
        asked = known_questions()[name]
        first, second = _judged(before, asked), _judged(after, asked)
        sets.append(Measured(name, figures(first), figures(second)))
        changed += [_change(one, other) for one, other in zip(first, second, strict=True) if _fate(one) != _fate(other)]
    return Comparison(tuple(sets), tuple(changed))


def _judged(faq: Faq, asked: Sequence[Asked]) -> list[Judged]:
    verdicts = {name: entry.verdict for name, entry in faq.entries.items()}
    return [judge(one, faq.ask(one.question), verdicts) for one in asked]


def _fate(judged: Judged) -> tuple[str, str | None, bool, bool]:
    return judged.outcome, judged.entry, judged.top1, judged.shown


def _change(before: Judged, after: Judged) -> Changed:
    asked = before.asked
    return Changed(
        asked.question,
        tuple(sorted(asked.expected)),
        before.outcome,
        after.outcome,
        before.entry or "",
        after.entry or "",
        better=_worth(after) > _worth(before),
    )


def _worth(judged: Judged) -> tuple[bool, bool, bool, bool]:
    """Nothing is worse than a wrong "boleh"; then a right answer, a right choice, a right first candidate count."""
    wrong = judged.outcome == "answer" and judged.entry not in judged.asked.expected
    return (not judged.false_boleh, not wrong, judged.shown, judged.top1)
