"""The table of goals: whole, the same in every place, and measured."""

from __future__ import annotations

import pytest

from bench.__main__ import BEGIN, BENCHES, END, FILES, Goal, figure, least, most


def rows(text: str) -> list[str]:
    """The rows of a file's table."""
    table = text.split(BEGIN)[1].split(END)[0]
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


def test_every_goal_stands_in_every_table_and_was_measured() -> None:
    """`make bench` wrote them; none is a placeholder."""
    goals = [goal.name for bench in BENCHES for goal in bench.goals]
    found = [rows(path.read_text("utf-8")) for path in FILES]
    assert found[0] == found[1] == found[2]
    measured = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in found[0] if not line.startswith("| ---")}
    assert list(measured) == goals
    assert not [name for name, value in measured.items() if "not measured" in value or "failed" in value]


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("x\nfound 4.5 of it", "4.5 ms"),
        ("found 6 of it", "**missed:** 6 ms"),
        ("nothing", "not measured here"),
        ("found none of it", "0 ms"),
    ],
)
def test_a_figure_is_read_as_it_was_printed(output: str, shown: str) -> None:
    """Marked where the goal is missed."""
    assert figure(Goal("a goal", r"found (none|[\d.]+)", "at most 5 ms", most(5), " ms"), output) == shown
    assert least(5)(5) and not least(5)(4.9)
