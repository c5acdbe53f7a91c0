"""Figures: reported, proven, not proven and open, by region, kind, stage and month; numbers alone, for the yearly report."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from faq.regions import name_of
from panel.doors import audit
from panel.pages import PANEL, Panel, election, language_of, named, page
from storage.statistics import NOT_PROVEN, OPEN, PROVEN, Counted, table

ROWS_AT_MOST = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table: its label, and the four figures."""

    label: str
    reported: int
    proven: int
    not_proven: int
    open: int

    @property
    def other(self) -> int:
        """Decided otherwise: too little evidence, passed on, withdrawn ..."""
        return self.reported - self.proven - self.not_proven - self.open


def _line(label: str, counts: Counter[str]) -> Line:
    return Line(label, counts["reported"], counts[PROVEN], counts[NOT_PROVEN], counts[OPEN])


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


async def statistics(request: web.Request) -> web.StreamResponse:
    """The tables with a picture beside each figure."""
    panel, language = request.app[PANEL], language_of(request)
    counted = await _counted(panel)
    labels = _labels(panel, language)
    tables = {}
    for field in ("month", "region", "indicator", "kind", "stage"):
        lines = [_line(labels[field](key[0]), counts) for key, counts in table(counted, [field])]
        if field != "month":
            lines.sort(key=lambda line: (-line.reported, line.label))
        tables[field] = lines[-ROWS_AT_MOST:] if field == "month" else lines[:ROWS_AT_MOST]
    whole = Counter(tip.outcome for tip in counted)
    whole["reported"] = len(counted)
    return page(request, "statistics.html", total=_line("", whole), tables=tables, kept=panel.cases.statistics is not None)


async def statistics_csv(request: web.Request) -> web.StreamResponse:
    """The same as a table for a spreadsheet."""
    panel, language = request.app[PANEL], language_of(request)
    labels = _labels(panel, language)
    fields = ["month", "region", "indicator", "kind", "stage"]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([named(language, "statistics", name) for name in (*fields, "reported", "proven", "not_proven", "other", "open")])
    for keys, counts in table(await _counted(panel), fields):
        line = _line("", counts)
        names = [labels[field](key) for field, key in zip(fields, keys, strict=True)]
        writer.writerow([*names, line.reported, line.proven, line.not_proven, line.other, line.open])
    await audit(request, "statistics_exported")
    headers = {"Content-Disposition": 'attachment; filename="netra-statistik.csv"'}
    return web.Response(body=("\ufeff" + out.getvalue()).encode(), content_type="text/csv", charset="utf-8", headers=headers)


async def _counted(panel: Panel) -> list[Counted]:
    kept = panel.cases.statistics
    return [] if kept is None else await panel.store.read(kept.all)
