"""When an answer changed: the substance of every entry, its fingerprint, and a ledger of changes.

The substance is what a person could rely on: the verdict, the sanctions, and where the conditions lead. Better wording is no change.
`faq/versions.toml` keeps one row an entry: fingerprint, the day since when it stands, and what changed on that day (empty: nothing yet).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

from faq.calendar import Election
from faq.entries import Entry

LEDGER: Final = Path(__file__).parent / "versions.toml"
MARK_CHARACTERS: Final = 16

What = Literal["verdict", "sanction", "outcome", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Version:
    """The state of one answer: its fingerprint, since when it stands, and what changed then."""

    mark: str
    since: date
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different between two states of the entries."""

    entry: str
    title: str
    what: What
    before: str
    after: str


def mark(entry: Entry) -> str:
    """The fingerprint of an entry's substance."""
    substance = [entry.verdict, *_sanctions(entry), *(f"{condition.yes} {condition.no}" for condition in entry.conditions)]
    substance += [f"{key}={outcome.verdict}" for key, outcome in sorted(entry.outcomes.items())]
    return hashlib.sha256(json.dumps(substance, ensure_ascii=False).encode()).hexdigest()[:MARK_CHARACTERS]


def compare(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[Change]:
    """What changed between two states: verdicts, sanctions, outcomes of conditions, entries that came or went."""
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            changes.append(Change(name, new.title, "new", "", new.verdict))
        elif new is None and old is not None:
            changes.append(Change(name, old.title, "gone", old.verdict, ""))
        elif old is not None and new is not None:
            changes.extend(_differences(old, new))
    return changes


def by_stage(entries: Iterable[Entry], election: Election, before: date, after: date) -> list[Change]:
    """The answers whose sanction is another one on the second day, because the candidates were set in between."""
    if election.before_candidates(before) == election.before_candidates(after):
        return []
    return [
        Change(entry.id, entry.title, "sanction", entry.sanction.before, entry.sanction.after)
        for entry in entries
        if (entry.sanction.before, entry.sanction.before_pppk) != (entry.sanction.after, entry.sanction.after_pppk)
    ]


def _differences(old: Entry, new: Entry) -> list[Change]:
    found = []
    if old.verdict != new.verdict:
        found.append(Change(new.id, new.title, "verdict", old.verdict, new.verdict))
    if _sanctions(old) != _sanctions(new):
        first = next((pair for pair in zip(_sanctions(old), _sanctions(new), strict=True) if pair[0] != pair[1]), ("", ""))
        found.append(Change(new.id, new.title, "sanction", *first))
    if mark(old) != mark(new) and not found:
        found.append(Change(new.id, new.title, "outcome", _outcomes(old), _outcomes(new)))
    return found


def _sanctions(entry: Entry) -> tuple[str, str, str, str]:
    return entry.sanction.before, entry.sanction.after, entry.sanction.before_pppk, entry.sanction.after_pppk


def _outcomes(entry: Entry) -> str:
    return ", ".join(f"{key}: {outcome.verdict}" for key, outcome in entry.outcomes.items())


# --- the ledger ---------------------------------------------------------------------------------------------------------------------


def load_versions(path: Path = LEDGER) -> dict[str, Version]:
    """The ledger; empty where there is none yet."""
    if not path.exists():
        return {}
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: Version(row["mark"], row["since"], tuple(row.get("changed", ()))) for name, row in rows.items()}


def stale(entries: Mapping[str, Entry], versions: Mapping[str, Version]) -> list[str]:
    """The entries whose substance is not the one in the ledger."""
    return [name for name, entry in entries.items() if name not in versions or versions[name].mark != mark(entry)]


def renewed(
    entries: Mapping[str, Entry], versions: Mapping[str, Version], today: date, earlier: Mapping[str, Entry] | None = None
) -> dict[str, Version]:
    """The ledger brought up to date. With the earlier entries it says what changed; without, that something did."""
    changed: dict[str, list[str]] = {}
    for change in compare(earlier, entries) if earlier is not None else ():
        changed.setdefault(change.entry, []).append(change.what)
    ledger: dict[str, Version] = {}
    for name, entry in entries.items():
        known = versions.get(name)
        if known is None:
            ledger[name] = Version(mark(entry), entry.reviewed)
        elif known.mark == mark(entry):
            ledger[name] = known
        else:
            ledger[name] = Version(mark(entry), today, tuple(changed.get(name, ("answer",))))
    return ledger


def write_versions(ledger: Mapping[str, Version], path: Path = LEDGER) -> None:
    """Write the ledger, one row an entry."""
    lines = ["# Written by `netra faq versions --write`: the substance of each answer, since when it stands, and what changed then."]
    for name, version in sorted(ledger.items()):
        changed = f", changed = {json.dumps(list(version.changed))}" if version.changed else ""
        lines.append(f'"{name}" = {{ mark = "{version.mark}", since = {version.since.isoformat()}{changed} }}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
