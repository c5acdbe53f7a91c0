"""Measures the matcher: on a file of questions with what they are about, and on whole registers it has not seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from faq.entries import REPORT
from faq.match import Faq, Found

if TYPE_CHECKING:
    from faq.confidence import Judge
    from faq.voices import Matcher

OUTSIDE: Final = "-"
"""What a question beside the subject is about."""

ALL: Final = "all"


class BadQuestions(ValueError):
    """A file of questions is not what `netra faq eval` reads."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what it is about: entries, `-` or `@lapor`."""

    line: int
    question: str
    expected: frozenset[str]
    register: str

    @property
    def inside(self) -> bool:
        """Is it about an entry?"""
        return not self.expected & {OUTSIDE, REPORT}


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one question."""

    asked: Asked
    outcome: str
    entry: str | None
    top1: bool
    shown: bool
    verdict_right: bool
    false_boleh: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a group of questions; shares are between 0 and 1, None where there is nothing to share."""

    questions: int
    inside: int
    top1: float | None
    shown: float | None
    answered: float | None
    verdict_right: float | None
    false_boleh: int
    outside: int
    oos_answered: float | None
    reports: int
    reports_routed: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of all questions and of each register, and the lines that went wrong."""

    groups: Mapping[str, Figures]
    false_boleh: tuple[int, ...]
    """Lines answered "boleh" that are not about anything allowed."""
    wrong: tuple[int, ...]
    """Lines answered with an entry that is not meant."""

    @property
    def total(self) -> Figures:
        """The figures of all questions."""
        return self.groups[ALL]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        groups = {name: {field: getattr(figures, field) for field in FIELDS} for name, figures in self.groups.items()}
        return {**groups[ALL], "false_boleh_lines": list(self.false_boleh), "wrong_lines": list(self.wrong), "registers": groups}

    def to_text(self) -> str:
        """A table to read."""
        rows = [[name, *(_cell(getattr(figures, field)) for field in FIELDS)] for name, figures in self.groups.items()]
        heads = ["", *(HEADS[field] for field in FIELDS)]
        widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
        lines = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in [heads, *rows]
        ]
        lines.append(f"false boleh, lines: {_lines(self.false_boleh)}")
        lines.append(f"answered with another entry, lines: {_lines(self.wrong)}")
        return "\n".join(lines)


HEADS: Final[Mapping[str, str]] = {
    "questions": "questions",
    "inside": "about entries",
    "top1": "top-1",
    "shown": "shown",
    "answered": "answered",
    "verdict_right": "verdict right",
    "false_boleh": "false boleh",
    "outside": "beside",
    "oos_answered": "beside, answered",
    "reports": "reports",
    "reports_routed": "routed",
}
FIELDS: Final = tuple(HEADS)


def _cell(value: float | int | None) -> str:
    if value is None:
        return "."
    return str(value) if isinstance(value, int) else f"{100 * value:.1f}"


def _lines(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def read_questions(path: Path) -> list[Asked]:
    """Read a TSV of question, expected and register; a first line of headings is skipped."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split("\t")
        if not line.strip() or (number == 1 and cells[:2] == ["question", "expected"]):
            continue
        if len(cells) < 2 or not cells[1].strip():
            raise BadQuestions(f"{path}, line {number}: a question, a tab and what it is about are needed")
        register = cells[2].strip() if len(cells) > 2 and cells[2].strip() else "none"
        found.append(Asked(number, cells[0], frozenset(part.strip() for part in cells[1].split("|")), register))
    return found


def judge(asked: Asked, found: Found, verdicts: Mapping[str, str]) -> Judged:
    """What became of one question."""
    entry = found.entries[0] if found.entries else None
    meant = {verdicts[name] for name in asked.expected if name in verdicts}
    shown = bool(asked.expected & set(found.entries)) if found.outcome == "answer" else False
    if found.outcome == "choose":
        shown = any(candidate.entry in asked.expected for candidate in found.candidates)
    return Judged(
        asked,
        found.outcome,
        entry,
        top1=bool(found.candidates) and found.candidates[0].entry in asked.expected,
        shown=shown,
        verdict_right=entry is not None and verdicts[entry] in meant,
        false_boleh=any(verdicts[name] == "boleh" for name in found.entries) and "boleh" not in meant,
    )


def figures(judged: Sequence[Judged]) -> Figures:
    """Count."""
    inside = [one for one in judged if one.asked.inside]
    outside = [one for one in judged if OUTSIDE in one.asked.expected]
    reports = [one for one in judged if REPORT in one.asked.expected]
    answered = [one for one in inside if one.outcome == "answer"]
    return Figures(
        questions=len(judged),
        inside=len(inside),
        top1=_share(inside, lambda one: one.top1),
        shown=_share(inside, lambda one: one.shown),
        answered=_share(inside, lambda one: one.outcome == "answer"),
        verdict_right=_share(answered, lambda one: one.verdict_right),
        false_boleh=sum(1 for one in judged if one.false_boleh),
        outside=len(outside),
        oos_answered=_share(outside, lambda one: one.outcome == "answer"),
        reports=len(reports),
        reports_routed=_share(reports, lambda one: one.outcome == "report"),
    )


def _share(judged: Sequence[Judged], holds: Callable[[Judged], bool]) -> float | None:
    return sum(1 for one in judged if holds(one)) / len(judged) if judged else None


def report(judged: Iterable[Judged]) -> Report:
    """The figures of all questions and of each register."""
    every = list(judged)
    groups = {ALL: figures(every)}
    for register in sorted({one.asked.register for one in every}):
        groups[register] = figures([one for one in every if one.asked.register == register])
    wrong = (one.asked.line for one in every if one.outcome == "answer" and one.entry not in one.asked.expected)
    return Report(groups, tuple(one.asked.line for one in every if one.false_boleh), tuple(wrong))


def evaluate(faq: Faq, path: Path) -> Report:
    """Ask every question of a file."""
    verdicts = {name: entry.verdict for name, entry in faq.entries.items()}
    return report(judge(asked, faq.ask(asked.question), verdicts) for asked in read_questions(path))


def leave_one_register_out() -> Report:
    """Every phrasing, judged by a matcher that has seen no phrasing of its register. Needs scikit-learn and scipy."""
    from faq.train import build, judge_without

    built = build()
    faq = Faq.load()
    corpus = built.corpus
    verdicts = {name: entry.verdict for name, entry in faq.entries.items()}
    judged = []
    for register, judge_of_others, unseen in judge_without(built):
        other = Faq(faq.entries, faq.redirects, faq.calendar, partial(_with, faq.matcher, judge_of_others))
        for one in unseen:
            row = corpus.rows[one.row]
            name = corpus.classes[one.number]
            expected = name if name in verdicts or name == REPORT else OUTSIDE
            found = other.decide(row.text, corpus.readings[one.row], one.ranked, None, two_acts=False)
            judged.append(judge(Asked(one.row, row.text, frozenset({expected}), register), found, verdicts))
    return report(judged)


def _with(matcher: Matcher, judge: Judge) -> tuple[Matcher, Judge]:
    return matcher, judge


def as_json(measured: Report) -> str:
    """The figures as `netra faq eval --json` prints them."""
    return json.dumps(measured.to_json(), ensure_ascii=False, indent=1)
