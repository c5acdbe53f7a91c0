"""The FAQ desk: try a question as a user would, read what found no answer, and teach the matcher another way to ask.

A phrasing is proposed by one curator, shown with what it does to questions whose answer is known, and accepted by another; then the
matcher of this process knows it at once, and every other process from its next start.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from rapidfuzz import fuzz
from sqlalchemy import Connection

from faq.entries import Entry, Phrasing
from faq.identity import find_identity
from panel.doors import audit, confirmed, factor_is_fresh, who
from panel.pages import PANEL, Panel, form_of, go, page
from storage import phrasings as taught
from storage.counts import Asked, Counts

if TYPE_CHECKING:
    from faq.match import Faq
    from faq.regression import Comparison

QUESTION_AT_MOST = 500
PHRASING_AT_LEAST, PHRASING_AT_MOST = 8, 200
SHOWN = 200
DAYS = 90
ALIKE = 70.0
"""Questions whose words agree to so many of a hundred are shown together."""


@dataclass(frozen=True, slots=True)
class Performance:
    """How people found an answer, and how often they got it."""

    entry: Entry
    shown: int
    helpful: int
    not_helpful: int


@dataclass(frozen=True, slots=True)
class Likes:
    """Questions without a good answer that ask nearly the same; the newest speaks for them."""

    questions: tuple[Asked, ...]
    nearest: tuple[str, ...]

    @property
    def first(self) -> Asked:
        """The newest one."""
        return self.questions[0]


async def desk(request: web.Request) -> web.StreamResponse:
    """The try-out box, the answers people judged, the questions without a good one, and what was taught."""
    return await _desk(request)


async def _desk(request: web.Request, *, fault: str = "", typed: Mapping[str, str] | None = None, status: int = 200) -> web.Response:
    panel, query = request.app[PANEL], request.query
    question = (typed["words"] if typed else query.get("t", "")).strip()[:QUESTION_AT_MOST]
    try:
        day = dt.date.fromisoformat(query.get("tanggal", ""))
    except ValueError:
        day = panel.clock().date()
    faq, found, words = panel.faq, None, list[str]()
    if faq is not None and question:
        found = faq.ask(question, day)
        words = list(faq.matcher.lexicon.read(question).content)
    today = panel.clock().date()

    def look(connection: Connection) -> tuple[list[Asked], dict[str, int], list[taught.Phrasing]]:
        counts = Counts().between(connection, today - dt.timedelta(days=DAYS), today)
        return Counts().unanswered(connection, SHOWN), counts, taught.every(connection)

    asked, counts, phrasings = await panel.store.read(look)
    return page(
        request,
        "faq.html",
        status=status,
        question=question,
        day_asked=day,
        found=found,
        words=words,
        entries=faq.entries if faq else {},
        there=faq is not None,
        asked=together(faq, asked),
        performance=_performance(faq.entries.values() if faq else (), counts),
        phrasings=phrasings,
        chosen=typed["entry"] if typed else found.candidates[0].entry if found and found.candidates else "",
        phrasing_at_most=PHRASING_AT_MOST,
        days=DAYS,
        fault=fault,
    )


def _performance(entries: Iterable[Entry], counts: dict[str, int]) -> list[Performance]:
    judged = [
        Performance(
            entry, counts.get(f"asked.{entry.id}", 0), counts.get(f"helpful.{entry.id}", 0), counts.get(f"not_helpful.{entry.id}", 0)
        )
        for entry in entries
    ]
    found = [line for line in judged if line.shown or line.helpful or line.not_helpful]
    return sorted(found, key=lambda line: (-line.not_helpful, -line.helpful, -line.shown))[:SHOWN]


def together(faq: Faq | None, asked: Sequence[Asked]) -> list[Likes]:
    """The questions in groups of those that ask nearly the same, the largest group first."""
    groups: list[tuple[str, list[Asked]]] = []
    for question in asked:
        read = " ".join(faq.matcher.lexicon.read(question.words).content) if faq is not None else question.words.casefold()
        for core, group in groups:
            if fuzz.token_set_ratio(core, read, score_cutoff=ALIKE) if core and read else core == read == question.words:
                group.append(question)
                break
        else:
            groups.append((read, [question]))
    found = [Likes(tuple(group), tuple(dict.fromkeys(near for one in group for near in one.nearest))[:3]) for _, group in groups]
    return sorted(found, key=lambda group: -len(group.questions))


async def done(request: web.Request) -> web.StreamResponse:
    """A curator has read a question, or several that are alike: they are deleted."""
    panel, form = request.app[PANEL], await request.post()
    try:
        names = [bytes.fromhex(str(name)) for name in form.getall("question", [])[:SHOWN]]
    except ValueError as error:
        raise web.HTTPNotFound from error

    def read(connection: Connection) -> int:
        return sum(Counts().read(connection, name) for name in names)

    if not await panel.store.write(read):
        raise web.HTTPNotFound
    await audit(request, "question_read")
    raise go("/faq", "question_done")


# --- teaching ---------------------------------------------------------------------------------------------------------------------


async def propose(request: web.Request) -> web.StreamResponse:
    """Propose a phrasing for an entry; what was typed stays in place when it cannot be one."""
    panel, form, name = request.app[PANEL], await form_of(request), who(request).account.name
    words, entry = " ".join(form.get("words", "").split()), form.get("entry", "")
    if panel.faq is None:
        raise web.HTTPNotFound
    fault = ""
    if entry not in panel.faq.entries:
        fault = "phrasing_entry"
    elif not PHRASING_AT_LEAST <= len(words) <= PHRASING_AT_MOST or not panel.faq.matcher.lexicon.read(words).content:
        fault = "phrasing_words"
    elif find_identity(words)[0]:
        fault = "phrasing_identity"
    if fault:
        return await _desk(request, fault=fault, typed={"words": words, "entry": entry}, status=400)
    today = panel.clock().date()

    def keep(connection: Connection) -> bytes | None:
        made = taught.propose(connection, entry, words, name, today)
        if made is not None:
            panel.audit.add(connection, name, "phrasing_proposed", made.hex(), entry)
        return made

    made = await panel.store.write(keep)
    if made is None:
        return await _desk(request, fault="phrasing_known", typed={"words": words, "entry": entry}, status=409)
    raise go(f"/faq/frasa/{made.hex()}", "phrasing_proposed")


async def phrasing(request: web.Request) -> web.StreamResponse:
    """One phrasing with what it does, or did, to questions whose answer is known."""
    return await _phrasing(request)


async def _phrasing(request: web.Request, *, fault: str = "", status: int = 200) -> web.Response:
    panel = request.app[PANEL]
    one, every = await _named(request)
    faq = panel.faq
    if faq is None:
        raise web.HTTPNotFound
    comparison = await _compared(faq, one, every)
    now = faq.ask(one.words, panel.clock().date())
    then = faq.taught(_known(every, one)).ask(one.words, panel.clock().date())
    return page(
        request,
        "phrasing.html",
        status=status,
        phrasing=one,
        entries=faq.entries,
        comparison=comparison,
        now=now,
        then=then,
        own=one.written_by == who(request).account.name,
        fresh=factor_is_fresh(request),
        fault=fault,
    )


async def accept(request: web.Request) -> web.StreamResponse:
    """A second curator agrees: the matcher knows the phrasing from now on, unless it would make any "boleh" wrong."""
    panel, name = request.app[PANEL], who(request).account.name
    one, every = await _named(request)
    if panel.faq is None:
        raise web.HTTPNotFound
    if one.accepted_by or one.written_by == name:
        return await _phrasing(request, fault="not_yours_to_approve", status=409)
    if not await confirmed(request):
        return await _phrasing(request, fault="wrong_code", status=401)
    if not (await _compared(panel.faq, one, every)).safe:
        return await _phrasing(request, fault="phrasing_unsafe", status=409)
    today = panel.clock().date()

    def agree(connection: Connection) -> bool:
        agreed = taught.accept(connection, one.id, name, today)
        if agreed:
            panel.audit.add(connection, name, "phrasing_accepted", one.id.hex(), one.entry)
        return agreed

    if not await panel.store.write(agree):
        return await _phrasing(request, fault="not_yours_to_approve", status=409)
    await _teach(panel)
    raise go("/faq", "phrasing_accepted")


async def drop(request: web.Request) -> web.StreamResponse:
    """Take a phrasing out, whether it waits or is in use."""
    panel, name = request.app[PANEL], who(request).account.name
    one, _ = await _named(request)

    def out(connection: Connection) -> bool:
        panel.audit.add(connection, name, "phrasing_dropped", one.id.hex(), one.entry)
        return taught.drop(connection, one.id)

    await panel.store.write(out)
    await _teach(panel)
    raise go("/faq", "phrasing_dropped")


async def export(request: web.Request) -> web.StreamResponse:
    """The accepted phrasings as TOML, as `faq/phrasings` in the repository takes them."""
    panel = request.app[PANEL]
    by_entry: dict[str, list[str]] = {}
    for one in await panel.store.read(taught.accepted):
        by_entry.setdefault(one.entry, []).append(one.words)
    lines = ["# faq/phrasings/<name>.toml; then: netra faq check, netra faq train, netra faq eval"]
    for entry, words in sorted(by_entry.items()):
        lines += ["", f'["{entry}"]', "phrasings = ["]
        lines += [f"  {json.dumps(one, ensure_ascii=False)}," for one in sorted(words)]
        lines.append("]")
    await audit(request, "phrasings_exported")
    headers = {"Content-Disposition": 'attachment; filename="frasa.toml"'}
    return web.Response(body=("\n".join(lines) + "\n").encode(), content_type="application/toml", charset="utf-8", headers=headers)


async def _named(request: web.Request) -> tuple[taught.Phrasing, list[taught.Phrasing]]:
    """The phrasing of the address, and all of them."""
    try:
        name = bytes.fromhex(request.match_info["phrasing"])
    except ValueError as error:
        raise web.HTTPNotFound from error
    every = await request.app[PANEL].store.read(taught.every)
    one = next((known for known in every if known.id == name), None)
    if one is None:
        raise web.HTTPNotFound
    return one, every


def _known(every: Sequence[taught.Phrasing], also: taught.Phrasing | None = None, without: taught.Phrasing | None = None) -> list[Phrasing]:
    """What the matcher would know: what is accepted, with one more or one less."""
    return [Phrasing(one.entry, one.words) for one in every if (one.accepted_by or one is also) and one is not without]


async def _compared(faq: Faq, one: taught.Phrasing, every: Sequence[taught.Phrasing]) -> Comparison:
    """The known questions without and with a phrasing."""
    from faq.regression import compare

    return await asyncio.to_thread(compare, faq.taught(_known(every, without=one)), faq.taught(_known(every, one)))


async def _teach(panel: Panel) -> None:
    """The matcher of this process knows what is accepted now."""
    if panel.faq is not None:
        panel.faq.teach(_known(await panel.store.read(taught.every)))
