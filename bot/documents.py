"""Paper and pictures, drawn when they are asked for and kept nowhere: certificate and pledge as PDF, an answer as a picture to share.

PDF with reportlab, pictures with Pillow, QR codes with segno; the typeface is Bitstream Vera, which comes with reportlab.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.texts import Texts
from faq.entries import Entry
from faq.pledge import Pledges
from storage.practice import Score

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont
    from reportlab.pdfgen.canvas import Canvas

ACCENT, INK, SOFT, LINE, GROUND = "#0b6e69", "#1d2526", "#55605f", "#d5d8d3", "#f6f5f1"
VERDICT_COLOURS = {"dilarang": "#a3262a", "boleh": "#1d6b34", "bersyarat": "#8a5a00"}
PLAIN, BOLD, ITALIC = "Vera", "VeraBd", "VeraIt"
POINTS_PER_MM = 72 / 25.4
CARD_WIDTH, CARD_HEIGHT, CARD_EDGE = 1080, 1350, 84
"""Four by five, the tallest that messengers show whole."""

EYE = ((2, 16), (2, 16, 7, 7, 16, 7), (25, 7, 30, 16, 30, 16), (30, 16, 25, 25, 16, 25), (7, 25, 2, 16, 2, 16))
"""The mark of Netra, on a field of 32 by 32: a start and four curves."""


class Documents:
    """Draws everything that a person can take away, in the words of the catalogue."""

    def __init__(self, texts: Texts, pledges: Pledges, public_url: str) -> None:
        self._texts, self._pledges, self._url = texts, pledges, public_url.rstrip("/")

    # --- certificate ----------------------------------------------------------------------------------------------------------

    def certificate(self, language: str, name: str, score: Score, code: str) -> bytes:
        """A certificate with a name as it was typed, a score, and a code that proves day and score."""
        words = self._words(language)
        width, height = 297 * POINTS_PER_MM, 210 * POINTS_PER_MM
        out = io.BytesIO()
        paper = _paper(out, width, height, words("certificate_title"))
        middle = width / 2
        _frame(paper, width, height)
        _eye(paper, middle - 25, height - 122, 50)
        _centred(paper, words("certificate_title"), middle, height - 166, BOLD, 29, width - 140, ACCENT)
        _centred(paper, words("given_to"), middle, height - 208, PLAIN, 14, width - 140, SOFT)
        _centred(paper, printable(name), middle, height - 260, BOLD, 36, width - 160, INK)
        paper.setStrokeColor(LINE)
        paper.line(middle - 220, height - 278, middle + 220, height - 278)
        told = words("certificate_text", day=self._day(language, score.day))
        _centred(paper, told, middle, height - 310, PLAIN, 15, width - 140, INK)
        _centred(paper, words("certificate_score", right=score.right, of=score.of), middle, height - 360, BOLD, 28, width - 140, ACCENT)
        self._proof(paper, words, code, width)
        paper.save()
        return out.getvalue()

    def _proof(self, paper: Canvas, words: Callable[..., str], code: str, width: float) -> None:
        """The foot: code, where to check it, what the paper is not."""
        left, top, size = 64.0, 166.0, 110.0
        if self._url:
            _qr(paper, f"{self._url}/verifikasi?kode={code}", left, top - size, size)
            left += size + 22
        paper.setFillColor(SOFT)
        paper.setFont(PLAIN, 11)
        paper.drawString(left, top - 16, words("certificate_code"))
        paper.setFillColor(INK)
        paper.setFont(BOLD, 18)
        paper.drawString(left, top - 40, code)
        lines = [words("check_at", url=f"{self._url}/verifikasi")] if self._url else []
        lines += _wrapped(words("certificate_note"), PLAIN, 10.5, width - left - 64)
        _lines(paper, lines, left, top - 64, PLAIN, 10.5, 15.5, SOFT)

    # --- pledge ---------------------------------------------------------------------------------------------------------------

    def pledge(self, language: str, name: str, version: str, day: date) -> bytes:
        """The pledge of a version with a name as it was typed, room to sign, and a mark that proves the words."""
        words, text, english = self._words(language), self._pledges.versions[version], language == "en"
        width, height, edge = 210 * POINTS_PER_MM, 297 * POINTS_PER_MM, 64.0
        out = io.BytesIO()
        title = text.title_en if english else text.title
        paper = _paper(out, width, height, title)
        _eye(paper, edge, height - 96, 34)
        paper.setFillColor(ACCENT)
        paper.setFont(BOLD, 17)
        paper.drawString(edge + 46, height - 78, title)
        paper.setFillColor(SOFT)
        paper.setFont(PLAIN, 9.5)
        paper.drawString(edge + 46, height - 94, words("pledge_version", version=text.version, mark=text.mark))
        paper.setStrokeColor(LINE)
        paper.line(edge, height - 112, width - edge, height - 112)
        at = _lines(paper, [text.opening_en if english else text.opening], edge, height - 142, PLAIN, 12, 18, INK) - 8
        for number, point in enumerate(text.points, start=1):
            paper.setFillColor(ACCENT)
            paper.setFont(BOLD, 12.5)
            paper.drawString(edge, at, f"{number}.")
            head = _wrapped(point.title_en if english else point.title, BOLD, 12.5, width - 2 * edge - 26)
            at = _lines(paper, head, edge + 26, at, BOLD, 12.5, 17, INK) - 2
            body = _wrapped(point.text_en if english else point.text, PLAIN, 11.5, width - 2 * edge - 26)
            at = _lines(paper, body, edge + 26, at, PLAIN, 11.5, 17, INK) - 13
        self._signature(paper, words, printable(name), self._day(language, day), width, at - 14)
        size = 84.0
        left = edge
        if self._url:
            _qr(paper, f"{self._url}/verifikasi?pakta={text.version}&tanda={text.mark}", left, 56, size)
            left += size + 18
        note = _wrapped(f"{words('pledge_note')} {text.closing_en if english else text.closing}", PLAIN, 9, width - left - edge)
        _lines(paper, note, left, 56 + size - 10, PLAIN, 9, 13.5, SOFT)
        paper.save()
        return out.getvalue()

    def _signature(self, paper: Canvas, words: Callable[..., str], name: str, day: str, width: float, at: float) -> None:
        """Day and name with room to sign by hand."""
        left, room = width - 64 - 220, 60.0
        paper.setFillColor(INK)
        paper.setFont(PLAIN, 11)
        paper.drawString(left, at, words("signed_on", day=day))
        paper.setStrokeColor(SOFT)
        paper.line(left, at - room, left + 220, at - room)
        size = _fitting(name, BOLD, 12, 220)
        paper.setFont(BOLD, size)
        paper.drawString(left, at - room - 16, name)

    # --- an answer as a picture --------------------------------------------------------------------------------------------------

    def card(self, language: str, entry: Entry) -> bytes:
        """An answer as a picture (PNG) that can be read on a phone: act, verdict, the short answer, legal basis, day."""
        from PIL import Image, ImageDraw

        words, english = self._words(language), language == "en"
        colour = VERDICT_COLOURS[entry.verdict]
        picture = Image.new("RGB", (CARD_WIDTH, CARD_HEIGHT), GROUND)
        pen = ImageDraw.Draw(picture)
        width = CARD_WIDTH - 2 * CARD_EDGE
        pen.rectangle((0, 0, CARD_WIDTH, 22), fill=colour)
        at = _text(pen, words("card_question"), CARD_EDGE, 84, PLAIN, 34, width, 44, SOFT) + 14
        at = _text(pen, entry.title_en if english else entry.title, CARD_EDGE, at, BOLD, 52, width, 66, INK, at_most=4) + 34
        verdict = self._texts.plain(language, f"self_check.verdict.{entry.verdict}")
        font = _typeface(BOLD, 60)
        pen.rounded_rectangle((CARD_EDGE, at, CARD_EDGE + font.getlength(verdict) + 68, at + 104), 22, fill=colour)
        pen.text((CARD_EDGE + 34, at + 52), verdict, font=font, fill="#ffffff", anchor="lm")
        at += 104 + 44
        foot = CARD_HEIGHT - 84
        basis = "; ".join(f"{one.regulation} {one.article}".strip() for one in entry.basis[:2])
        basis_lines = _broken(words("card_basis", basis=basis), PLAIN, 30, width)[:4]
        basis_top = foot - 74 - 42 * len(basis_lines)
        self._fill(pen, entry.short_en if english else entry.short, at, basis_top - 36, width)
        pen.line((CARD_EDGE, basis_top - 24, CARD_WIDTH - CARD_EDGE, basis_top - 24), fill=LINE, width=3)
        for number, line in enumerate(basis_lines):
            pen.text((CARD_EDGE, basis_top + 42 * number), line, font=_typeface(PLAIN, 30), fill=SOFT)
        pen.text((CARD_EDGE, foot), words("card_brand"), font=_typeface(BOLD, 34), fill=ACCENT, anchor="ls")
        reviewed = words("card_reviewed", day=self._day(language, entry.reviewed))
        pen.text((CARD_WIDTH - CARD_EDGE, foot), reviewed, font=_typeface(PLAIN, 28), fill=SOFT, anchor="rs")
        out = io.BytesIO()
        picture.quantize(64).save(out, "PNG", optimize=True)
        return out.getvalue()

    def _fill(self, pen: ImageDraw.ImageDraw, text: str, top: float, bottom: float, width: float) -> None:
        """The whole short answer, as large as there is room for: a condition that is left out would be another answer."""
        for size in range(42, 23, -2):
            lines = _broken(text, PLAIN, size, width)
            if len(lines) * size * 1.4 <= bottom - top:
                break
        for number, line in enumerate(lines):
            pen.text((CARD_EDGE, top + number * size * 1.4), line, font=_typeface(PLAIN, size), fill=INK)

    # --- words ------------------------------------------------------------------------------------------------------------------

    def _words(self, language: str) -> Callable[..., str]:
        return lambda name, **facts: self._texts.plain(language, f"papers.{name}", facts)

    def _day(self, language: str, day: date) -> str:
        months = self._texts.plain(language, "papers.months").split()
        return f"{day.day} {months[day.month - 1]} {day.year}"


# --- PDF ------------------------------------------------------------------------------------------------------------------------------


def _paper(out: io.BytesIO, width: float, height: float, title: str) -> Canvas:
    from reportlab.pdfgen.canvas import Canvas

    for name in (PLAIN, BOLD, ITALIC):
        _register(name)
    paper = Canvas(out, pagesize=(width, height), invariant=1)  # no time of making, no producer's name
    paper.setTitle(title)
    paper.setAuthor("Netra")
    return paper


@cache
def _register(name: str) -> Any:
    """The typeface, known to reportlab from now on."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    font = TTFont(name, str(_file(name)))
    pdfmetrics.registerFont(font)
    return font


@cache
def _file(name: str) -> Path:
    import reportlab

    return Path(reportlab.__file__).parent / "fonts" / f"{name}.ttf"


def printable(name: str) -> str:
    """The name with letters that the typeface lacks replaced by their plain form."""
    known = _register(BOLD).face.charToGlyph
    found = []
    for sign in unicodedata.normalize("NFC", name):
        found.append(sign if ord(sign) in known else "".join(part for part in unicodedata.normalize("NFKD", sign) if ord(part) in known))
    return "".join(found)


def _frame(paper: Canvas, width: float, height: float) -> None:
    paper.setStrokeColor(ACCENT)
    paper.setLineWidth(3)
    paper.rect(24, 24, width - 48, height - 48)
    paper.setLineWidth(0.8)
    paper.rect(31, 31, width - 62, height - 62)
    paper.setLineWidth(1)


def _eye(paper: Canvas, left: float, bottom: float, size: float) -> None:
    """The mark of Netra."""
    scale = size / 32

    def place(values: Sequence[float]) -> list[float]:
        return [left + value * scale if index % 2 == 0 else bottom + size - value * scale for index, value in enumerate(values)]

    path = paper.beginPath()
    path.moveTo(*place(EYE[0]))
    for curve in EYE[1:]:
        path.curveTo(*place(curve))
    path.close()
    paper.setStrokeColor(ACCENT)
    paper.setFillColor(ACCENT)
    paper.setLineWidth(2.6 * scale)
    paper.drawPath(path, stroke=1, fill=0)
    paper.circle(left + size / 2, bottom + size / 2, 5 * scale, stroke=0, fill=1)
    paper.setLineWidth(1)


def _qr(paper: Canvas, text: str, left: float, bottom: float, size: float) -> None:
    """A QR code, its quiet zone included."""
    import segno

    rows = [list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=2)]
    cell = size / len(rows)
    paper.setFillColor("#ffffff")
    paper.rect(left, bottom, size, size, stroke=0, fill=1)
    paper.setFillColor("#000000")
    for number, row in enumerate(rows):
        for column, dark in enumerate(row):
            if dark:
                paper.rect(left + column * cell, bottom + size - (number + 1) * cell, cell, cell, stroke=0, fill=1)


def _width(text: str, font: str, size: float) -> float:
    from reportlab.pdfbase import pdfmetrics

    return float(pdfmetrics.stringWidth(text, font, size))


def _fitting(text: str, font: str, size: float, width: float) -> float:
    """The size at which the text fits into the width, at most `size`."""
    return min(size, size * width / max(1.0, _width(text, font, size)))


def _centred(paper: Canvas, text: str, middle: float, at: float, font: str, size: float, width: float, colour: str) -> None:
    paper.setFillColor(colour)
    paper.setFont(font, _fitting(text, font, size, width))
    paper.drawCentredString(middle, at, text)


def _wrapped(text: str, font: str, size: float, width: float) -> list[str]:
    return _lines_of(text, lambda line: _width(line, font, size), width)


def _lines(paper: Canvas, lines: Sequence[str], left: float, at: float, font: str, size: float, step: float, colour: str) -> float:
    """Write lines downwards; where the next one would stand."""
    paper.setFillColor(colour)
    paper.setFont(font, size)
    for line in lines:
        paper.drawString(left, at, line)
        at -= step
    return at


def _lines_of(text: str, measure: Callable[[str], float], width: float) -> list[str]:
    """The text in lines that fit; a word that is too long by itself stands alone."""
    lines: list[str] = []
    for word in text.split():
        if lines and measure(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


# --- pictures -------------------------------------------------------------------------------------------------------------------------


@cache
def _typeface(name: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(_file(name), size)


def _broken(text: str, font: str, size: int, width: float) -> list[str]:
    return _lines_of(text, _typeface(font, size).getlength, width)


def _text(
    pen: ImageDraw.ImageDraw,
    text: str,
    left: float,
    top: float,
    font: str,
    size: int,
    width: float,
    step: float,
    colour: str,
    at_most: int = 99,
) -> float:
    """Write a text in lines, smaller where it would need more than `at_most`; where the next one may begin."""
    while len(lines := _broken(text, font, size, width)) > at_most and size > 30:
        size, step = size - 4, step - 5
    for number, line in enumerate(lines):
        pen.text((left, top + number * step), line, font=_typeface(font, size), fill=colour)
    return top + len(lines) * step
