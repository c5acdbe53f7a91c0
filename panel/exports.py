"""Tables as files: CSV, XLSX and PDF, in which nothing is ever a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

Cell = str | int | float | None

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With these a spreadsheet begins a formula."""
SHEET_NAME = 31
"""Letters that a sheet's name may have (Excel)."""
WIDEST = 48
PLAIN, BOLD = "Vera", "VeraBd"
MARGIN = 42.0
UPRIGHT = 6
"""Columns that an upright page holds; more lie across."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: its title, its headings, its rows."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def harmless(cell: Cell) -> Cell:
    """The cell as text that no spreadsheet reads as a formula; numbers as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA) else cell


def as_csv(sheet: Sheet) -> bytes:
    """One table, with the mark by which spreadsheets know its encoding."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([harmless(head) for head in sheet.heads])
    writer.writerows([["" if cell is None else harmless(cell) for cell in row] for row in sheet.rows])
    return ("\ufeff" + out.getvalue()).encode()


def as_xlsx(sheets: Sequence[Sheet]) -> bytes:
    """A workbook with one sheet for each table."""
    from xlsxwriter import Workbook

    out = io.BytesIO()
    book = Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False})
    bold = book.add_format({"bold": True, "bottom": 1})
    taken: set[str] = set()
    for sheet in sheets:
        page = book.add_worksheet(_sheet_name(sheet.title, taken))
        for column, head in enumerate(sheet.heads):
            page.write_string(0, column, str(harmless(head)), bold)
        for line, row in enumerate(sheet.rows, start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    page.write_string(line, column, str(harmless(cell)))
                elif cell is not None:
                    page.write_number(line, column, cell)
        for column, head in enumerate(sheet.heads):
            longest = max([len(head), *(len(str(row[column])) for row in sheet.rows if row[column] is not None)])
            page.set_column(column, column, min(WIDEST, longest + 2))
        page.freeze_panes(1, 0)
    book.close()
    return out.getvalue()


def _sheet_name(title: str, taken: set[str]) -> str:
    """A name that Excel takes: short, without its reserved signs, once."""
    plain = re.sub(r"[\[\]:*?/\\']", " ", title)[:SHEET_NAME].strip() or "-"
    name = next(
        name for name in (plain, *(f"{plain[: SHEET_NAME - 4]} {number}" for number in range(2, 1000))) if name.casefold() not in taken
    )
    taken.add(name.casefold())
    return name


def as_pdf(title: str, lead: Sequence[str], sheets: Sequence[Sheet]) -> bytes:
    """The tables one below the other on A4, numbers to the right, headings again on every page."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    _typefaces()
    ink, soft, line = colors.HexColor("#1d2526"), colors.HexColor("#55605f"), colors.HexColor("#d5d8d3")
    body = ParagraphStyle("body", fontName=PLAIN, fontSize=8.5, leading=11.5, textColor=ink)
    right = ParagraphStyle("right", parent=body, alignment=2)
    head = ParagraphStyle("head", parent=body, fontName=BOLD, textColor=soft, fontSize=7.5)
    head_right = ParagraphStyle("head_right", parent=head, alignment=2)
    heading = ParagraphStyle("heading", parent=body, fontName=BOLD, fontSize=11.5, leading=15, spaceBefore=14, spaceAfter=6)
    top = ParagraphStyle("top", parent=body, fontName=BOLD, fontSize=17, leading=22, textColor=colors.HexColor("#0b6e69"), spaceAfter=4)
    style = TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, line),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    size = landscape(A4) if any(len(sheet.heads) > UPRIGHT for sheet in sheets) else A4
    width = size[0] - 2 * MARGIN
    story: list[Flowable] = [Paragraph(escape(title), top), *(Paragraph(escape(words), body) for words in lead)]
    for sheet in sheets:
        first = width * (0.28 if len(sheet.heads) > 2 else 0.7)
        rest = (width - first) / max(1, len(sheet.heads) - 1)
        cells = [[Paragraph(escape(words), head_right if column else head) for column, words in enumerate(sheet.heads)]]
        cells += [
            [Paragraph(escape("" if cell is None else str(cell)), right if column else body) for column, cell in enumerate(row)]
            for row in sheet.rows
        ]
        table = Table(cells, colWidths=[first, *[rest] * (len(sheet.heads) - 1)], repeatRows=1, style=style)
        title_line = Paragraph(escape(sheet.title), heading)
        story += [KeepTogether([title_line, table])] if len(cells) < 25 else [title_line, table]
        story.append(Spacer(1, 4))
    out = io.BytesIO()
    paper = SimpleDocTemplate(
        out,
        pagesize=size,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=title,
        author="Netra",
        invariant=1,
    )
    paper.build(story)
    return out.getvalue()


@cache
def _typefaces() -> None:
    """The typefaces that come with reportlab, known to it from now on."""
    import reportlab
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (PLAIN, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(Path(reportlab.__file__).parent / "fonts" / f"{name}.ttf")))
