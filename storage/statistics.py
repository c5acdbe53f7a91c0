"""Tips as countable facts: month, region, kind, stage and outcome, kept when the tip itself is gone.

Each fact is sealed under the panel key, which is neither in the database nor in its backup. The public figures hide counts under five
so that nobody in a small office can work out who talked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from storage.models import Statistic
from storage.vault import Broken, keyed, seal, unseal

OPEN = "open"
PROVEN, NOT_PROVEN = "proven", "not_proven"
VERDICTS = (PROVEN, NOT_PROVEN, "too_little", "not_ours", "passed_on")
WITHDRAWN = "withdrawn"

SMALLEST_SHOWN = 5
"""Counts below this are hidden on public pages (statistical offices' usual floor for frequency tables)."""

PAD = 256


@dataclass(frozen=True, slots=True)
class Counted:
    """One tip as it is counted."""

    month: str
    region: str
    indicator: str
    kind: str
    stage: str
    outcome: str
    waited: int | None = None
    """Days until the team's first answer; None: there is none yet."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A count on a public page; None: hidden because it, or what it would reveal, is small."""

    name: str
    number: int | None


@dataclass(frozen=True, slots=True)
class PublicStatistics:
    """What anybody may see: totals, and counts by province, indicator and outcome with small numbers hidden."""

    total: int | None
    by_province: tuple[Cell, ...]
    by_indicator: tuple[Cell, ...]
    by_outcome: tuple[Cell, ...]


class Statistics:
    """Keeps and reads the countable facts; `stage_of` names the stage of a day (an ISO date, or empty when unknown)."""

    def __init__(self, panel_key: bytes, stage_of: Callable[[str], str]) -> None:
        self._key, self._stage_of = keyed(panel_key, b"statistic", b""), stage_of

    def reported(self, connection: Connection, case: bytes, month: str, facts: Mapping[str, str]) -> None:
        """Count a tip that has come in; of its place only the regency is kept."""
        body = {
            "month": month,
            "region": facts.get("region", "")[:5],
            "indicator": facts.get("indicator", ""),
            "kind": facts.get("kind", ""),
            "stage": self._stage_of(facts.get("when", "")),
            "outcome": OPEN,
        }
        name = self._name(case)
        connection.execute(insert(Statistic).values(id=name, body=self._sealed(name, body)))

    def decided(self, connection: Connection, case: bytes, outcome: str) -> None:
        """Count what became of a tip."""
        name = self._name(case)
        body = connection.execute(select(Statistic.body).where(Statistic.id == name)).scalar()
        if body is not None:
            facts = json.loads(unseal(self._key, b"n", b"statistic.body" + name, body)) | {"outcome": outcome}
            connection.execute(update(Statistic).where(Statistic.id == name).values(body=self._sealed(name, facts)))

    def answered(self, connection: Connection, case: bytes, waited: int) -> None:
        """Count the days that the tipster waited for the first answer; later answers change nothing."""
        name = self._name(case)
        body = connection.execute(select(Statistic.body).where(Statistic.id == name)).scalar()
        if body is not None:
            facts = json.loads(unseal(self._key, b"n", b"statistic.body" + name, body))
            if facts.get("waited") is None:
                sealed = self._sealed(name, facts | {"waited": max(0, waited)})
                connection.execute(update(Statistic).where(Statistic.id == name).values(body=sealed))

    def outcome(self, connection: Connection, case: bytes) -> str:
        """What became of a tip; empty when it was not counted."""
        name = self._name(case)
        body = connection.execute(select(Statistic.body).where(Statistic.id == name)).scalar()
        return "" if body is None else str(json.loads(unseal(self._key, b"n", b"statistic.body" + name, body))["outcome"])

    def prune(self, connection: Connection, before: str) -> int:
        """Remove the tips of months before this one; how many were removed."""
        old = []
        for row in connection.execute(select(Statistic.id, Statistic.body)):
            try:
                month = json.loads(unseal(self._key, b"n", b"statistic.body" + row.id, row.body))["month"]
            except Broken:
                continue
            if month < before:
                old.append(row.id)
        for name in old:
            connection.execute(delete(Statistic).where(Statistic.id == name))
        return len(old)

    def all(self, connection: Connection) -> list[Counted]:
        """Every counted tip; rows of another key are left out."""
        found = []
        for row in connection.execute(select(Statistic.id, Statistic.body)):
            try:
                found.append(Counted(**json.loads(unseal(self._key, b"n", b"statistic.body" + row.id, row.body))))
            except Broken:
                continue
        return found

    def public(self, connection: Connection) -> PublicStatistics:
        """The figures for everybody."""
        counted = self.all(connection)
        total = len(counted) if len(counted) >= SMALLEST_SHOWN else None
        return PublicStatistics(
            total,
            suppressed(Counter(tip.region[:2] for tip in counted), total),
            suppressed(Counter(tip.indicator for tip in counted), total),
            suppressed(Counter(tip.outcome for tip in counted), total),
        )

    def _name(self, case: bytes) -> bytes:
        return keyed(self._key, b"case", case, 16)

    def _sealed(self, name: bytes, facts: Mapping[str, str | int]) -> bytes:
        return seal(self._key, b"n", b"statistic.body" + name, json.dumps(facts).encode(), PAD)


def suppressed(counts: Mapping[str, int], total: int | None) -> tuple[Cell, ...]:
    """The counts with small ones hidden, largest first.

    When the total is shown and what is hidden would still give a number under the floor (one hidden cell, or several whose sum is small),
    the next smallest cell is hidden too, until the hidden sum is at least the floor and no single hidden cell can be computed.
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if total is None:
        return tuple(Cell(name, None) for name, _ in ordered)
    shown = [item for item in ordered if item[1] >= SMALLEST_SHOWN]
    hidden = [item for item in ordered if item[1] < SMALLEST_SHOWN]
    while hidden and shown and (len(hidden) < 2 or sum(number for _, number in hidden) < SMALLEST_SHOWN):
        hidden.insert(0, shown.pop())
    return (*(Cell(name, number) for name, number in shown), *(Cell(name, None) for name, _ in sorted(hidden)))


def suppressed_table(rows: Mapping[str, Mapping[str, int]], hidden: Iterable[str] = ()) -> dict[str, dict[str, int | None]]:
    """A table of counts with small ones hidden, for readers who may know the sums of its rows and columns.

    The rows of `hidden` are hidden as a whole. In every row and column the hidden cells are several and sum to at least the floor, or there
    is nothing left to show.
    """
    whole = set(hidden)
    gone = {(row, of) for row, cells in rows.items() for of, number in cells.items() if row in whole or number < SMALLEST_SHOWN}
    lines = [[(row, of) for of in cells] for row, cells in rows.items() if row not in whole]
    lines += [[(row, of) for row, cells in rows.items() if of in cells] for of in sorted({of for cells in rows.values() for of in cells})]
    number = {(row, of): count for row, cells in rows.items() for of, count in cells.items()}
    changed = True
    while changed:
        changed = False
        for line in lines:
            lost, shown = [cell for cell in line if cell in gone], sorted(set(line) - gone, key=lambda cell: (number[cell], cell))
            while lost and shown and (len(lost) < 2 or sum(number[cell] for cell in lost) < SMALLEST_SHOWN):
                lost.append(shown.pop(0))
                gone.add(lost[-1])
                changed = True
    return {row: {of: None if (row, of) in gone else count for of, count in cells.items()} for row, cells in rows.items()}


def suppressed_within(parts: Mapping[str, int], wholes: Mapping[str, int | None], of: Callable[[str], str]) -> tuple[Cell, ...]:
    """Counts of parts whose wholes are shown beside them, with small ones hidden; where the whole is hidden, its parts are too."""
    found: list[Cell] = []
    for whole in sorted({of(part) for part in parts}):
        found += suppressed({part: number for part, number in parts.items() if of(part) == whole}, wholes.get(whole))
    return tuple(sorted(found, key=lambda cell: (cell.number is None, -(cell.number or 0), cell.name)))


def table(counted: Iterable[Counted], by: Sequence[str]) -> list[tuple[tuple[str, ...], Counter[str]]]:
    """Counts of outcomes by these fields; each row's counter also holds "reported"."""
    rows: dict[tuple[str, ...], Counter[str]] = {}
    for tip in counted:
        row = rows.setdefault(tuple(getattr(tip, name) for name in by), Counter())
        row["reported"] += 1
        row[tip.outcome] += 1
    return sorted(rows.items())
