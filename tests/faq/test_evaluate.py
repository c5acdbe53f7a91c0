"""The figures: what counts as what."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from faq.evaluate import Asked, BadQuestions, as_json, evaluate, figures, judge, read_questions, report
from faq.match import Candidate, Faq, Found

VERDICTS = {"a.x": "dilarang", "a.y": "boleh", "a.z": "bersyarat"}


def asked(expected: str, line: int = 1, register: str = "slang") -> Asked:
    """A question about this."""
    return Asked(line, "q", frozenset(expected.split("|")), register)


def found(outcome: str, *candidates: str, entries: tuple[str, ...] = ()) -> Found:
    """What the matcher made of it."""
    shown = tuple(Candidate(name, VERDICTS[name], name, 0.5) for name in candidates)
    return Found("q", outcome, entries, shown, 0.5, None, date(2024, 11, 1), False)


@pytest.mark.parametrize(
    ("expected", "made", "top1", "shown", "verdict_right", "false_boleh"),
    [
        ("a.x", found("answer", "a.x", entries=("a.x",)), True, True, True, False),
        ("a.x", found("answer", "a.y", "a.x", entries=("a.y",)), False, False, False, True),
        ("a.x|a.y", found("answer", "a.y", entries=("a.y",)), True, True, True, False),
        ("a.x", found("choose", "a.y", "a.x"), False, True, False, False),
        ("a.x", found("choose", "a.y", "a.z"), False, False, False, False),
        ("a.x", found("decline", "a.x"), True, False, False, False),
        ("-", found("answer", "a.y", entries=("a.y",)), False, False, False, True),
        ("@lapor", found("report", "a.x"), False, False, False, False),
        ("a.y", found("answer", "a.x", entries=("a.x", "a.y")), False, True, False, False),
        ("a.x", found("answer", "a.x", entries=("a.x", "a.y")), True, True, True, True),
    ],
)
def test_what_becomes_of_a_question(expected: str, made: Found, top1: bool, shown: bool, verdict_right: bool, false_boleh: bool) -> None:
    """Top-1 looks at the first candidate, shown at what the person sees, false boleh at every answer given."""
    one = judge(asked(expected), made, VERDICTS)
    assert (one.top1, one.shown, one.verdict_right, one.false_boleh) == (top1, shown, verdict_right, false_boleh)


def test_shares_are_of_the_right_whole() -> None:
    """Verdicts among direct answers, outside among outside, reports among reports."""
    made = [
        judge(asked("a.x", 2), found("answer", "a.x", entries=("a.x",)), VERDICTS),
        judge(asked("a.x", 3), found("answer", "a.y", entries=("a.y",)), VERDICTS),
        judge(asked("a.z", 4, "formal"), found("choose", "a.z", "a.x"), VERDICTS),
        judge(asked("a.z", 5, "formal"), found("decline", "a.x"), VERDICTS),
        judge(asked("-", 6), found("answer", "a.x", entries=("a.x",)), VERDICTS),
        judge(asked("-", 7), found("decline"), VERDICTS),
        judge(asked("@lapor", 8), found("report", "a.x"), VERDICTS),
    ]
    total = figures(made)
    assert (total.questions, total.inside, total.outside, total.reports) == (7, 4, 2, 1)
    assert (total.top1, total.shown, total.answered, total.verdict_right) == (0.5, 0.5, 0.5, 0.5)
    assert (total.false_boleh, total.oos_answered, total.reports_routed) == (1, 0.5, 1.0)
    measured = report(made)
    assert measured.false_boleh == (3,) and measured.wrong == (3, 6)
    assert list(measured.groups) == ["all", "formal", "slang"]
    assert measured.groups["formal"].verdict_right is None
    assert "false boleh, lines: 3" in measured.to_text()
    table = json.loads(as_json(measured))
    assert table["top1"] == 0.5 and table["false_boleh_lines"] == [3] and table["registers"]["formal"]["inside"] == 2


def test_nothing_asked_nothing_shared() -> None:
    """No division by nothing."""
    assert figures([]).top1 is None


def test_a_file_is_read_and_asked(tmp_path: Path) -> None:
    """Headings are skipped, a missing register is called none, and line numbers are the file's own."""
    path = tmp_path / "q.tsv"
    path.write_text(
        "question\texpected\tregister\nbole ga sy ngelike postingan cabup?\tsosmed.like-postingan\tslang\n\nselamat pagi\t-\n",
        encoding="utf-8",
    )
    questions = read_questions(path)
    assert [(one.line, one.register) for one in questions] == [(2, "slang"), (4, "none")]
    measured = evaluate(Faq.load(), path)
    assert measured.total.top1 == 1.0 and measured.total.oos_answered == 0.0


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """With the line."""
    path = tmp_path / "q.tsv"
    path.write_text("only a question\n", encoding="utf-8")
    with pytest.raises(BadQuestions, match="line 1"):
        read_questions(path)
