"""What practising shows: what people get wrong most, and how far the pakta integritas has come; counts alone, small ones hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from faq.regions import name_of
from panel.pages import PANEL, Panel, language_of, named, page
from storage.practice import UNKNOWN, PledgeFigures, QuizFigures, Weak, pledge_figures, quiz_figures
from storage.statistics import SMALLEST_SHOWN, Cell

ENTRIES_SHOWN = 15
"""So many entries that people get wrong are listed; the rest is seldom wrong."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A row of "wrong most": a label, how many answers, how many of a hundred were wrong, and where to try it."""

    label: str
    answered: int | None
    wrong: int | None
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of counts, None where it is hidden; a part of the row before stands indented under it."""

    label: str
    number: int | None
    part: bool = False


@dataclass(frozen=True, slots=True)
class Among:
    """The topics of one role or province."""

    label: str
    topics: Sequence[Topic]


async def practice(request: web.Request) -> web.StreamResponse:
    """Quiz and pakta in figures."""
    panel, language = request.app[PANEL], language_of(request)

    def look(connection: Connection) -> tuple[QuizFigures, PledgeFigures]:
        return quiz_figures(connection), pledge_figures(connection)

    quiz, pledge = await panel.store.read(look)
    return page(
        request,
        "practice.html",
        finished=quiz.finished,
        agreed=pledge.agreed,
        any_quiz=bool(quiz.by_role),
        any_pledge=bool(pledge.by_role),
        smallest=SMALLEST_SHOWN,
        topics=_topics(language, quiz.topics),
        entries=_entries(panel, language, quiz.entries),
        groups={
            "role": [Among(_role(language, name), _topics(language, weak)) for name, weak in _with_figures(quiz.by_role_topic)],
            "province": [Among(_place(language, name), _topics(language, weak)) for name, weak in _with_figures(quiz.by_province_topic)],
        },
        quiz_counts={
            "role": [Bar(_role(language, cell.name), cell.number) for cell in quiz.by_role],
            "province": [Bar(_place(language, cell.name), cell.number) for cell in quiz.by_province],
        },
        pledge_counts={
            "role": [Bar(_role(language, cell.name), cell.number) for cell in pledge.by_role],
            "province": _regions(language, pledge),
            "version": [Bar(cell.name, cell.number) for cell in pledge.by_version],
        },
    )


def _topics(language: str, weak: Sequence[Weak]) -> list[Topic]:
    return [Topic(named(language, "topic", one.name), one.answered, one.wrong_percent) for one in weak]


def _entries(panel: Panel, language: str, weak: Sequence[Weak]) -> list[Topic]:
    """The entries that are answered wrongly at all, weakest first."""
    entries = panel.faq.entries if panel.faq is not None else {}
    found = []
    for one in weak:
        if one.wrong_percent:
            entry = entries.get(one.name)
            title = one.name if entry is None else entry.title if language == "id" else entry.title_en
            found.append(Topic(title, one.answered, one.wrong_percent, one.name if entry else ""))
    return found[:ENTRIES_SHOWN]


def _with_figures(groups: Mapping[str, Sequence[Weak]]) -> list[tuple[str, Sequence[Weak]]]:
    return [(name, weak) for name, weak in groups.items() if any(one.answered is not None for one in weak)]


def _regions(language: str, pledge: PledgeFigures) -> list[Bar]:
    """Each province with its regencies under it; a province alone where nobody said more."""
    found = []
    for province in pledge.by_province:
        found.append(Bar(_place(language, province.name), province.number))
        parts = [cell for cell in pledge.by_regency if cell.name.split(".")[0] == province.name and cell.name != province.name]
        if province.number is not None:
            found += [Bar(_place(language, cell.name), cell.number, part=True) for cell in _shown_first(parts)]
    return found


def _shown_first(cells: Sequence[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: (cell.number is None, -(cell.number or 0), cell.name))


def _role(language: str, role: str) -> str:
    return named(language, "practice_page", "not_told") if role == UNKNOWN else named(language, "practice_role", role)


def _place(language: str, code: str) -> str:
    return named(language, "practice_page", "not_told") if code in ("", UNKNOWN) else name_of(code) or code
