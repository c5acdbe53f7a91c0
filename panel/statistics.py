"""Figures for the yearly report: what was reported and what became of it, how long people waited, what they asked; numbers alone."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from faq.regions import name_of
from panel.doors import audit
from panel.exports import Cell, Sheet, as_csv, as_pdf, as_xlsx
from panel.pages import PANEL, Panel, day_text, election, language_of, named, page, sentence
from storage.counts import Counts
from storage.statistics import NOT_PROVEN, OPEN, PROVEN, Counted, table

ROWS_AT_MOST = 60
FIELDS = ("month", "region", "indicator", "kind", "stage")
FIGURES = ("reported", "proven", "not_proven", "other", "open")
WAITED = ("answered", "median", "slow")
SLOW = 0.9
"""Nine of ten tipsters waited at most so long."""
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: its label, the figures, and how many days people waited for the first answer."""

    label: str
    reported: int
    proven: int
    not_proven: int
    open: int
    answered: int
    median: int | None
    slow: int | None

    @property
    def other(self) -> int:
        """Decided otherwise: too little evidence, passed on, withdrawn ..."""
        return self.reported - self.proven - self.not_proven - self.open

    def figures(self) -> list[int | None]:
        """The numbers in the order of their headings."""
        return [self.reported, self.proven, self.not_proven, self.other, self.open, self.answered, self.median, self.slow]


@dataclass(frozen=True, slots=True)
class Figures:
    """All tables in a reader's language."""

    total: Line
    tables: Mapping[str, Sequence[Line]]
    topics: Sequence[tuple[str, int]]
    outcomes: Sequence[tuple[str, int]]


def reached(waits: Sequence[int], share: float) -> int | None:
    """The smallest number of days that this share of them did not exceed."""
    ordered = sorted(waits)
    return ordered[max(0, -(-int(share * 100 * len(ordered)) // 100) - 1)] if ordered else None


def _line(label: str, tips: Sequence[Counted]) -> Line:
    counts = Counter(tip.outcome for tip in tips)
    waits = [tip.waited for tip in tips if tip.waited is not None]
    return Line(label, len(tips), counts[PROVEN], counts[NOT_PROVEN], counts[OPEN], len(waits), reached(waits, 0.5), reached(waits, SLOW))


def _labels(panel: Panel, language: str) -> dict[str, Callable[[str], str]]:
    stages = {stage.id: stage.name if language == "id" else stage.name_en for stage in election(panel).stages}
    unknown = named(language, "statistics", "unknown")
    return {
        "region": lambda code: name_of(code) if code else unknown,
        "indicator": lambda value: named(language, "indicator", value) if value else unknown,
        "kind": lambda value: named(language, "kind", value) if value else unknown,
        "stage": lambda value: stages.get(value, unknown),
        "month": lambda value: value,
    }


def _tables(panel: Panel, language: str, counted: Sequence[Counted]) -> dict[str, list[Line]]:
    labels = _labels(panel, language)
    tables = {}
    for field in FIELDS:
        groups: dict[str, list[Counted]] = {}
        for tip in counted:
            groups.setdefault(getattr(tip, field), []).append(tip)
        lines = [_line(labels[field](value), groups[value]) for value in sorted(groups)]
        if field != "month":
            lines.sort(key=lambda line: (-line.reported, line.label))
        tables[field] = lines[-ROWS_AT_MOST:] if field == "month" else lines[:ROWS_AT_MOST]
    return tables


async def _figures(request: web.Request) -> Figures:
    panel, language = request.app[PANEL], language_of(request)
    kept = panel.cases.statistics

    def look(connection: Connection) -> tuple[list[Counted], dict[str, int]]:
        return [] if kept is None else kept.all(connection), Counts().between(connection, dt.date.min, dt.date.max)

    counted, counts = await panel.store.read(look)
    outcomes = [(name, counts.get(f"self_check.{name}", 0)) for name in ("answer", "choose", "decline", "report")]
    return Figures(
        _line(sentence(language, "statistics.all"), counted),
        _tables(panel, language, counted),
        [(named(language, "topic", name), number) for name, number in _topics(counts)],
        [(sentence(language, f"statistics.outcome_{name}"), number) for name, number in outcomes if number],
    )


def _topics(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """How often the self-check answered something of each topic, most asked first."""
    found: Counter[str] = Counter()
    for name, number in counts.items():
        if name.startswith("asked."):
            found[name.split(".")[1]] += number
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


async def statistics(request: web.Request) -> web.StreamResponse:
    """The tables with a picture beside each figure."""
    panel, found = request.app[PANEL], await _figures(request)
    return page(
        request,
        "statistics.html",
        total=found.total,
        tables=found.tables,
        topics=found.topics,
        outcomes=found.outcomes,
        columns=FIGURES,
        kept=panel.cases.statistics is not None,
    )


# --- files ------------------------------------------------------------------------------------------------------------------------


def _sheets(language: str, found: Figures) -> list[Sheet]:
    """Every table of the page."""

    def t(name: str) -> str:
        return sentence(language, f"statistics.{name}")

    heads = [t(name) for name in (*FIGURES, *WAITED)]
    sheets = [Sheet(t("summary"), ["", *heads], [[found.total.label, *found.total.figures()]])]
    sheets += [
        Sheet(t(f"by_{field}"), [t(field), *heads], [[line.label, *line.figures()] for line in lines])
        for field, lines in found.tables.items()
        if lines
    ]
    for name, rows in (("topics", found.topics), ("outcomes", found.outcomes)):
        if rows:
            sheets.append(Sheet(t(name), [t(name[:-1]), t("times")], rows))
    return sheets


async def statistics_csv(request: web.Request) -> web.StreamResponse:
    """One row for each combination of month, region, indicator, kind and stage."""
    panel, language = request.app[PANEL], language_of(request)
    labels = _labels(panel, language)
    kept = panel.cases.statistics
    rows: list[list[Cell]] = []
    for keys, counts in table([] if kept is None else await panel.store.read(kept.all), FIELDS):
        names = [labels[field](key) for field, key in zip(FIELDS, keys, strict=True)]
        other = counts["reported"] - counts[PROVEN] - counts[NOT_PROVEN] - counts[OPEN]
        rows.append([*names, counts["reported"], counts[PROVEN], counts[NOT_PROVEN], other, counts[OPEN]])
    sheet = Sheet("", [named(language, "statistics", name) for name in (*FIELDS, *FIGURES)], rows)
    return await _file(request, as_csv(sheet), "text/csv", "csv")


async def statistics_xlsx(request: web.Request) -> web.StreamResponse:
    """Every table as a sheet of one workbook."""
    return await _file(request, as_xlsx(_sheets(language_of(request), await _figures(request))), XLSX, "xlsx")


async def statistics_pdf(request: web.Request) -> web.StreamResponse:
    """Every table on paper."""
    panel, language = request.app[PANEL], language_of(request)
    day = day_text(language, panel.clock().date())
    lead = [sentence(language, "statistics.made", day=day), sentence(language, "statistics.text")]
    body = as_pdf(sentence(language, "statistics.title"), lead, _sheets(language, await _figures(request)))
    return await _file(request, body, "application/pdf", "pdf")


async def _file(request: web.Request, body: bytes, kind: str, ending: str) -> web.Response:
    await audit(request, "statistics_exported", detail=ending)
    headers = {"Content-Disposition": f'attachment; filename="netra-statistik.{ending}"'}
    return web.Response(body=body, content_type=kind, charset="utf-8" if kind == "text/csv" else None, headers=headers)
