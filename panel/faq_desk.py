"""The FAQ desk: try a question as a user would, see what comes back and why, and read what found no answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from faq.entries import Entry
from panel.doors import audit
from panel.pages import PANEL, form_of, go, page
from storage.counts import Asked, Counts

QUESTION_AT_MOST = 500
SHOWN = 200
DAYS = 90


@dataclass(frozen=True, slots=True)
class Performance:
    """How people found an answer."""

    entry: Entry
    helpful: int
    not_helpful: int


async def desk(request: web.Request) -> web.StreamResponse:
    """The try-out box, the answers people judged, and the questions without a good one."""
    panel, query = request.app[PANEL], request.query
    question = query.get("t", "").strip()[:QUESTION_AT_MOST]
    try:
        day = dt.date.fromisoformat(query.get("tanggal", ""))
    except ValueError:
        day = panel.clock().date()
    faq, found, words = panel.faq, None, list[str]()
    if faq is not None and question:
        found = faq.ask(question, day)
        words = list(faq.matcher.lexicon.read(question).content)
    today = panel.clock().date()

    def look(connection: Connection) -> tuple[list[Asked], dict[str, int]]:
        return Counts().unanswered(connection, SHOWN), Counts().between(connection, today - dt.timedelta(days=DAYS), today)

    asked, counts = await panel.store.read(look)
    return page(
        request,
        "faq.html",
        question=question,
        day_asked=day,
        found=found,
        words=words,
        entries=faq.entries if faq else {},
        there=faq is not None,
        asked=asked,
        performance=_performance(faq.entries.values() if faq else (), counts),
        days=DAYS,
    )


def _performance(entries: Iterable[Entry], counts: dict[str, int]) -> list[Performance]:
    judged = [Performance(entry, counts.get(f"helpful.{entry.id}", 0), counts.get(f"not_helpful.{entry.id}", 0)) for entry in entries]
    found = [line for line in judged if line.helpful or line.not_helpful]
    return sorted(found, key=lambda line: (-line.not_helpful, -line.helpful))[:SHOWN]


async def done(request: web.Request) -> web.StreamResponse:
    """A curator has read a question: it is deleted."""
    panel, form = request.app[PANEL], await form_of(request)
    try:
        name = bytes.fromhex(form.get("question", ""))
    except ValueError as error:
        raise web.HTTPNotFound from error
    if not await panel.store.write(lambda connection: Counts().read(connection, name)):
        raise web.HTTPNotFound
    await audit(request, "question_read")
    raise go("/faq", "question_done")
