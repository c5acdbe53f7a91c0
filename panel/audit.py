"""The auditor's pages: who did what, whether the log is whole, and what there is to be seen of tips from outside."""

from __future__ import annotations

import datetime as dt

from aiohttp import web
from sqlalchemy import Connection

from panel.doors import audit
from panel.pages import PANEL, page
from storage import staff
from storage.audit import Act, Head, Verified

PAGE = 100


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


async def log(request: web.Request) -> web.StreamResponse:
    """The log, newest first, with filters; its first page says whether the whole chain holds."""
    panel, query = request.app[PANEL], request.query
    wanted = {name: query.get(name, "").strip()[:120] for name in ("actor", "action", "subject", "since", "until")}
    before = int(query["before"]) if query.get("before", "").isdecimal() else 0
    filtered = bool(before or any(wanted.values()))

    def look(connection: Connection) -> tuple[list[Act], list[str], Verified | None, list[Head]]:
        acts = panel.audit.acts(
            connection,
            actor=wanted["actor"],
            action=wanted["action"],
            subject=wanted["subject"],
            since=_day(wanted["since"]),
            until=_day(wanted["until"]),
            before=before,
            limit=PAGE + 1,
        )
        verified = None if filtered else panel.audit.verify(connection)
        return acts, panel.audit.actions(connection), verified, panel.audit.heads(connection)[:1]

    acts, actions, verified, heads = await panel.store.read(look)
    return page(
        request,
        "audit.html",
        acts=acts[:PAGE],
        more=len(acts) > PAGE,
        actions=actions,
        wanted=wanted,
        filtered=filtered,
        verified=verified,
        head=heads[0] if heads else None,
        public_key=panel.audit.public_key.hex(),
    )


async def sign(request: web.Request) -> web.StreamResponse:
    """Sign the present end of the log: a line to be kept outside."""
    panel = request.app[PANEL]
    await audit(request, "head_signed")
    head = await panel.store.write(panel.audit.head)
    return page(request, "audit_head.html", head=head, public_key=panel.audit.public_key.hex())


async def metadata(request: web.Request) -> web.StreamResponse:
    """Tips from outside: what their rows say, nothing that is sealed."""
    panel, query = request.app[PANEL], request.query
    number = int(query["hal"]) if query.get("hal", "").isdecimal() and int(query["hal"]) else 1

    def look(connection: Connection) -> tuple[list[object], dict[int, str], dict[bytes, str]]:
        rows = panel.cases.metadata(connection, limit=PAGE + 1, offset=(number - 1) * PAGE)
        return (
            list(rows),
            {team.id: team.name for team in staff.teams(connection)},
            {known.id: known.name for known in staff.listed(connection)},
        )

    rows, teams, names = await panel.store.read(look)
    today = panel.cases.today()
    return page(request, "metadata.html", rows=rows[:PAGE], more=len(rows) > PAGE, number=number, teams=teams, names=names, today=today)
