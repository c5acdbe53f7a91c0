"""One tip: what it says, what was said about it, and what is done with it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from panel.doors import audit, confirmed, factor_is_fresh, who
from panel.marked import LARGE, SMALL, marked
from panel.pages import PANEL, election, form_of, go, page, texts
from panel.related import Related, related
from panel.similar import NEWEST, Near, pictures_elsewhere, similar
from storage import originals, staff
from storage.cases import CLOSED, Listed, OpenCase
from storage.export import export_case
from storage.statistics import VERDICTS

T = TypeVar("T")

WORDS_AT_MOST = 3000
CHECKLIST = {
    "formal": ("reporter", "accused", "in_time", "signature"),
    "material": ("what", "when", "where", "witness", "evidence"),
}
"""What a report to Bawaslu must hold: formal and material requirements (Perbawaslu 8/2020 as changed by 9/2024)."""

REPORT_DAYS = 7
"""A report is in time within this many calendar days since it became known (UU 1/2015, article 134)."""

SANCTIONS = ("none", "moral_closed", "moral_open", "medium", "severe", "dishonourable")
SHOWN_FACTS = ("indicator", "kind", "region_name", "when", "what", "who", "more")
QUIET_FACTS = {"region", "language", *SHOWN_FACTS}


def case_id(request: web.Request) -> bytes:
    """The case named in the address."""
    try:
        name = bytes.fromhex(request.match_info["case"])
    except ValueError as error:
        raise web.HTTPNotFound from error
    if len(name) != 16:
        raise web.HTTPNotFound
    return name


async def opened(request: web.Request) -> OpenCase:
    """The case of the address, opened with the reader's own key; not found unless it was sealed to them."""
    panel, session, name = request.app[PANEL], who(request), case_id(request)
    found = await panel.store.read(lambda connection: panel.cases.by_seal(connection, session.account.id, session.private_key, name))
    if found is None:
        raise web.HTTPNotFound
    return found


async def change(request: web.Request, action: str, job: Callable[[Connection, OpenCase], T], detail: str = "") -> T:
    """Change the case of the address and write it to the audit log, in one transaction."""
    panel, session, name = request.app[PANEL], who(request), case_id(request)

    def both(connection: Connection) -> T:
        found = panel.cases.by_seal(connection, session.account.id, session.private_key, name)
        if found is None:
            raise web.HTTPNotFound
        result = job(connection, found)
        panel.audit.add(connection, session.account.name, action, name.hex(), detail)
        return result

    return await panel.store.write(both)


async def _listed(request: web.Request) -> Listed:
    """The case of the address as a list shows it; not found unless it was sealed to the reader."""
    panel, session, name = request.app[PANEL], who(request), case_id(request)
    found = await panel.store.read(lambda connection: panel.cases.one(connection, session.account.id, session.private_key, name))
    if found is None:
        raise web.HTTPNotFound
    return found


def address(name: bytes) -> str:
    """The address of a case's page."""
    return f"/laporan/{name.hex()}"


# --- the page -------------------------------------------------------------------------------------------------------------------


async def show(request: web.Request, *, fault: str = "", typed: Mapping[str, str] | None = None, status: int = 200) -> web.StreamResponse:
    """The case's page; what was typed stays in place when something could not be done."""
    panel, session = request.app[PANEL], who(request)
    account, listed = session.account, await _listed(request)
    if listed.head.get("offline"):
        return page(request, "offline.html", status=status, case=listed, fault=fault, typed=typed or {}, names={}, me=account.id)
    case = await opened(request)

    def look(connection: Connection) -> tuple[dict[str, dict[str, Any]], list[Near], dict[bytes, str], dict[str, list[OpenCase]]]:
        names = {known.id: known.name for known in staff.listed(connection)}
        near = similar(connection, panel.cases, account.id, session.private_key, case, newest=NEWEST)
        return (
            photos_in_order(panel.cases.photo_facts(connection, case.key, case.id), case),
            near,
            names,
            pictures_elsewhere(connection, panel.cases, case, near),
        )

    photos, near, names, seen = await panel.store.read(look)
    if request.method == "GET":
        await audit(request, "case_opened", case.id.hex())
    mine = {entry.id: panel.cases.own_words(entry, session.private_key) for entry in case.entries if _is_own(entry.facts, account.id)}
    language = str(case.tip.get("language", "id"))
    template = request.query.get("isi", "")
    prepared = texts()[language if language in texts() else "id"].get(f"reply.{template}.text", "") if template else ""
    return page(
        request,
        "case.html",
        status=status,
        case=case,
        entries=[entry for entry in case.entries if entry.kind != "mine" or entry.id in mine],
        mine=mine,
        photos=photos,
        shown_facts=SHOWN_FACTS,
        other_facts={name: value for name, value in case.tip.items() if name not in QUIET_FACTS and value},
        names=names,
        me=account.id,
        taken_by_other=case.claimed_by is not None and case.claimed_by != account.id,
        checklist=_checklist(case),
        clock=_clock(case, panel.cases.today()),
        related=_related(request, case),
        near=near,
        seen=seen,
        verdict=str(case.head.get("verdict", "")),
        verdicts=VERDICTS,
        sanctions=SANCTIONS,
        replies=[name.split(".")[1] for name in texts()["id"] if name.startswith("reply.") and name.endswith(".text")],
        typed={"words": prepared, "audience": "tipster", **(typed or {})},
        fault=fault,
        fresh=factor_is_fresh(request),
        can_mute=panel.cases.push is not None,
        today=panel.cases.today(),
    )


def photos_in_order(facts: Mapping[str, dict[str, Any]], case: OpenCase) -> dict[str, dict[str, Any]]:
    """What is known of each photo, in the order in which they came."""
    return {name: facts[name] for entry in case.entries for name in entry.photos if name in facts}


def _is_own(facts: Mapping[str, Any], staff_id: bytes) -> bool:
    return facts.get("owner") == staff_id.hex() and "sealed" in facts


def _checklist(case: OpenCase) -> dict[str, Any]:
    """The requirements with their ticks: the team's last ones, else what the tip itself shows."""
    last = next((entry.facts for entry in reversed(case.entries) if entry.facts.get("action") == "checked"), None)
    tip = case.tip
    if last is not None:
        ticked, learned = set(last.get("ticked", ())), str(last.get("learned", ""))
    else:
        evident = {"accused": tip.get("who"), "what": tip.get("what"), "when": tip.get("when"), "where": tip.get("region")}
        ticked = {name for name, there in {**evident, "evidence": case.head.get("photos")}.items() if there}
        learned = str(tip.get("when", ""))
    return {"groups": CHECKLIST, "ticked": ticked, "learned": learned, "by_team": last is not None}


def _clock(case: OpenCase, today: dt.date) -> dict[str, Any] | None:
    """How much is left of the days in which a formal report can be made."""
    try:
        learned = dt.date.fromisoformat(_checklist(case)["learned"])
    except ValueError:
        return None
    last = learned + dt.timedelta(days=REPORT_DAYS)
    return {"last": last, "left": (last - today).days}


def _related(request: web.Request, case: OpenCase) -> list[Related]:
    panel = request.app[PANEL]
    if panel.faq is None:
        return []
    words = " ".join(str(case.tip.get(name, "")) for name in ("what", "who", "more"))
    return related(panel.faq, election(panel), words, str(case.tip.get("when", "")), case.day)


# --- photos ---------------------------------------------------------------------------------------------------------------------


async def photo(request: web.Request) -> web.StreamResponse:
    """A photo of the case, with the reader's name faintly on it: always a JPEG that this program drew itself."""
    panel, case, account = request.app[PANEL], await opened(request), who(request).account
    try:
        name = bytes.fromhex(request.match_info["photo"]).hex()
    except ValueError as error:
        raise web.HTTPNotFound from error
    found = await panel.store.read(lambda connection: panel.cases.photo(connection, case.key, case.id, name))
    if found is None:
        raise web.HTTPNotFound
    headers = {"Content-Disposition": f'inline; filename="foto-{name[:8]}.jpg"'}
    side = SMALL if request.query.get("kecil") == "1" else LARGE
    body = await asyncio.to_thread(marked, found[0], f"{account.name} {panel.cases.today():%d/%m/%Y}", side)
    return web.Response(body=body, content_type="image/jpeg", headers=headers)


async def viewer(request: web.Request) -> web.StreamResponse:
    """A photo alone, with zoom and what is known of it."""
    panel, case = request.app[PANEL], await opened(request)
    name = request.match_info["photo"]

    def look(connection: Connection) -> tuple[dict[str, dict[str, Any]], bool]:
        return panel.cases.photo_facts(connection, case.key, case.id), name in originals.available(connection, case.id)

    facts, original = await panel.store.read(look)
    if name not in facts:
        raise web.HTTPNotFound
    order = [photo for entry in case.entries for photo in entry.photos]
    at, fresh = order.index(name) if name in order else 0, factor_is_fresh(request)
    return page(request, "viewer.html", case=case, photo=name, facts=facts[name], order=order, at=at, original=original, fresh=fresh)


# --- writing --------------------------------------------------------------------------------------------------------------------


async def write(request: web.Request) -> web.StreamResponse:
    """Write to the tipster, to the team, or to oneself: the audience is the tab one writes in."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    account, audience, words = session.account, form.get("audience", ""), form.get("words", "").strip()
    if audience not in ("tipster", "team", "me"):
        raise web.HTTPNotFound
    if not words or len(words) > WORDS_AT_MOST:
        return await show(request, fault="words_empty" if not words else "words_long", typed=form, status=400)

    def tell(connection: Connection, case: OpenCase) -> None:
        if audience == "me":
            panel.cases.note_to_self(connection, case, account.name, account.id, account.public_key, words)
        elif audience == "team":
            panel.cases.note(connection, case, account.name, words)
        else:
            _not_taken(case, account.id)
            panel.cases.claim(connection, case.id, account.id)
            panel.cases.tell_tipster(connection, case, account.name, words)

    if (await _listed(request)).head.get("offline"):
        return await _answer_unread(request, words, audience)
    action = {"tipster": "answered", "team": "noted", "me": "noted_privately"}[audience]
    try:
        await change(request, action, tell)
    except staff.Refused as reason:
        return await show(request, fault=reason.reason, typed=form, status=409)
    raise go(address(case_id(request)), action)


async def _answer_unread(request: web.Request, words: str, audience: str) -> web.StreamResponse:
    """Answer the tipster of a case that this server cannot open; notes on it are kept where it is read, on the laptop."""
    panel, account, name = request.app[PANEL], who(request).account, case_id(request)
    if audience != "tipster":
        raise web.HTTPNotFound

    def tell(connection: Connection) -> None:
        if not panel.cases.answer_unread(connection, account.id, name, account.name, words):
            raise web.HTTPNotFound
        panel.audit.add(connection, account.name, "answered", name.hex())

    await panel.store.write(tell)
    raise go(address(name), "answered")


async def envelope(request: web.Request) -> web.StreamResponse:
    """The case as one sealed file, for `netra open` on the reader's own laptop."""
    panel, account, listed = request.app[PANEL], who(request).account, await _listed(request)

    def take(connection: Connection) -> bytes | None:
        panel.audit.add(connection, account.name, "envelope_taken", listed.id.hex())
        return export_case(connection, listed.id, account.id)

    file = await panel.store.write(take)
    if file is None:
        raise web.HTTPNotFound
    headers = {"Content-Disposition": f'attachment; filename="{listed.alias.replace(" ", "-")}.netra"'}
    return web.Response(body=file, content_type="application/octet-stream", headers=headers)


async def mute(request: web.Request) -> web.StreamResponse:
    """Take nothing for a day from the chat this case came from, without learning which it is."""
    panel, account = request.app[PANEL], who(request).account

    def quiet(connection: Connection, case: OpenCase) -> None:
        if not panel.cases.mute(connection, case):
            raise staff.Refused("cannot_mute")
        panel.cases.step(connection, case, account.name, {"action": "muted"})

    try:
        await change(request, "muted", quiet)
    except staff.Refused as refused:
        return await show(request, fault=refused.reason, status=409)
    raise go(address(case_id(request)), "muted")


async def ask_hold(request: web.Request) -> web.StreamResponse:
    """Ask a second person to agree to a legal hold on the case, or to its end."""
    panel, account = request.app[PANEL], who(request).account
    if not await confirmed(request):
        return await show(request, fault="wrong_code", status=401)

    def ask(connection: Connection, case: OpenCase) -> None:
        panel.staff.ask_approval(connection, "hold_end" if case.held else "hold", [case.id.hex()], account)

    await change(request, "hold_asked", ask)
    raise go("/persetujuan", "export_asked")


async def ask_original(request: web.Request) -> web.StreamResponse:
    """Ask a second person to agree that the untouched original of a photo leaves the server."""
    panel, account, photo = request.app[PANEL], who(request).account, request.match_info["photo"]
    if not await confirmed(request):
        raise go(address(case_id(request)), "wrong_code")

    def ask(connection: Connection, case: OpenCase) -> None:
        if photo not in originals.available(connection, case.id):
            raise web.HTTPNotFound
        originals.ask_release(connection, panel.staff, photo, account)

    await change(request, "original_asked", ask)
    raise go("/persetujuan", "export_asked")


def _not_taken(case: OpenCase, staff_id: bytes) -> None:
    """Two people never answer or decide one tip unknowingly. Raises `Refused`."""
    if case.claimed_by not in (None, staff_id):
        raise staff.Refused("taken")


# --- who works on it ------------------------------------------------------------------------------------------------------------


async def claim(request: web.Request) -> web.StreamResponse:
    """Take the case; one that somebody else has is taken over only when that was said."""
    panel, account, form = request.app[PANEL], who(request).account, await form_of(request)

    def take(connection: Connection, case: OpenCase) -> None:
        if case.claimed_by == account.id:
            return
        if case.claimed_by is not None and form.get("over") == "1":
            panel.cases.take_over(connection, case.id, account.id)
            panel.cases.step(connection, case, account.name, {"action": "taken_over"})
        elif panel.cases.claim(connection, case.id, account.id):
            panel.cases.step(connection, case, account.name, {"action": "claimed"})
        else:
            raise staff.Refused("taken")

    try:
        await change(request, "claimed", take)
    except staff.Refused as reason:
        raise go(address(case_id(request)), reason.reason) from None
    raise go(address(case_id(request)), "claimed")


async def release(request: web.Request) -> web.StreamResponse:
    """Give the case back to the team."""
    panel, account = request.app[PANEL], who(request).account

    def give(connection: Connection, case: OpenCase) -> None:
        if panel.cases.release(connection, case.id, account.id):
            panel.cases.step(connection, case, account.name, {"action": "released"})

    await change(request, "released", give)
    raise go(address(case_id(request)), "released")


# --- assessing ------------------------------------------------------------------------------------------------------------------


async def check(request: web.Request) -> web.StreamResponse:
    """Keep the checklist of requirements."""
    panel, account, form = request.app[PANEL], who(request).account, await form_of(request)
    known = {name for names in CHECKLIST.values() for name in names}
    ticked = sorted(known & {name.removeprefix("tick_") for name in form if name.startswith("tick_")})
    try:
        learned = dt.date.fromisoformat(form.get("learned", "")).isoformat() if form.get("learned") else ""
    except ValueError:
        return await show(request, fault="day", status=400)
    facts = {"action": "checked", "ticked": ticked, "learned": learned}
    await change(request, "checked", lambda connection, case: panel.cases.step(connection, case, account.name, facts))
    raise go(address(case_id(request)), "checked")


async def decide(request: web.Request) -> web.StreamResponse:
    """Record the verdict with its reason, what the tipster is told, a note for the team, and the recommended sanction."""
    panel, account, form = request.app[PANEL], who(request).account, await form_of(request)
    verdict, reason, sanction = form.get("verdict", ""), form.get("reason", "").strip(), form.get("sanction", "none")
    for_tipster, note = form.get("for_tipster", "").strip(), form.get("note", "").strip()
    if verdict not in VERDICTS or sanction not in SANCTIONS:
        return await show(request, fault="verdict", typed=form, status=400)
    if not reason or not for_tipster:
        return await show(request, fault="reason", typed=form, status=400)
    if max(map(len, (reason, for_tipster, note))) > WORDS_AT_MOST:
        return await show(request, fault="words_long", typed=form, status=400)

    def record(connection: Connection, case: OpenCase) -> None:
        _not_taken(case, account.id)
        facts = {"reason": reason, "sanction": sanction if verdict == "proven" else "none", "note": note}
        panel.cases.decide(connection, case, account.name, verdict, facts, for_tipster)
        if form.get("close") == "1":
            panel.cases.close(connection, case, account.name)

    try:
        await change(request, "decided", record, detail=verdict)
    except staff.Refused as refused:
        return await show(request, fault=refused.reason, typed=form, status=409)
    raise go(address(case_id(request)), "decided")


async def close(request: web.Request) -> web.StreamResponse:
    """Close the case; only one with a verdict can be closed."""
    panel, account = request.app[PANEL], who(request).account

    def end(connection: Connection, case: OpenCase) -> None:
        _not_taken(case, account.id)
        if not case.head.get("verdict"):
            raise staff.Refused("no_verdict")
        if case.status != CLOSED:
            panel.cases.close(connection, case, account.name)

    try:
        await change(request, "closed", end)
    except staff.Refused as refused:
        return await show(request, fault=refused.reason, status=409)
    raise go(address(case_id(request)), "closed")


async def reopen(request: web.Request) -> web.StreamResponse:
    """Open a closed case again."""
    panel, account = request.app[PANEL], who(request).account

    def begin(connection: Connection, case: OpenCase) -> None:
        if case.status == CLOSED:
            panel.cases.reopen(connection, case, account.name)

    await change(request, "reopened", begin)
    raise go(address(case_id(request)), "reopened")


# --- similar tips ---------------------------------------------------------------------------------------------------------------


async def similar_page(request: web.Request) -> web.StreamResponse:
    """All tips of the reader compared with this one."""
    panel, session, case = request.app[PANEL], who(request), await opened(request)
    near = await panel.store.read(lambda connection: similar(connection, panel.cases, session.account.id, session.private_key, case))
    return page(request, "similar.html", case=case, near=near)


async def join(request: web.Request) -> web.StreamResponse:
    """Mark this and another tip as being about the same event."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    try:
        other_id = bytes.fromhex(form.get("other", ""))
    except ValueError as error:
        raise web.HTTPNotFound from error

    def together(connection: Connection, case: OpenCase) -> None:
        other = panel.cases.by_seal(connection, session.account.id, session.private_key, other_id)
        if other is None or other.id == case.id:
            raise web.HTTPNotFound
        panel.cases.put_together(connection, [case, other])
        for one, with_ in ((case, other), (other, case)):
            panel.cases.step(connection, one, session.account.name, {"action": "joined", "with": with_.alias})

    await change(request, "joined", together, detail=other_id.hex())
    raise go(address(case_id(request)), "joined")


async def part(request: web.Request) -> web.StreamResponse:
    """Take this tip out of its group."""
    panel, account = request.app[PANEL], who(request).account

    def apart(connection: Connection, case: OpenCase) -> None:
        panel.cases.put_apart(connection, case.id)
        panel.cases.step(connection, case, account.name, {"action": "parted"})

    await change(request, "parted", apart)
    raise go(address(case_id(request)), "parted")
