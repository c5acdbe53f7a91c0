"""Broadcasts: written, tested on oneself, approved by somebody else, followed while they run, and what reached whom not and why."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiohttp import web
from multidict import MultiDictProxy
from sqlalchemy import Connection

from faq.calendar import Calendar
from faq.regions import find, name_of
from faq.reminders import DAYS, Reminder, day_of, load
from panel.doors import confirmed, factor_is_fresh, who
from panel.pages import PANEL, ZONE, election, form_of, go, page
from storage.broadcasts import (
    APPROVED,
    DRAFT,
    HOLDING,
    OVER,
    PAUSED,
    PROPOSED,
    RUNNING,
    Broadcast,
    Counted,
    Results,
)
from storage.drafts import (
    EARLIEST,
    FOOTER_AT_MOST,
    LANGUAGES,
    LATEST,
    SESSION_AT_MOST,
    TELEGRAM_AT_MOST,
    TEMPLATE_AT_MOST,
    TITLE_AT_MOST,
    Audience,
    Draft,
    OnWhatsApp,
    When,
    length,
)
from storage.staff import Account, Refused
from storage.staff_chats import Desk
from storage.subscribers import CHANNELS, KINDS, ROLES

WRITERS = frozenset({"broadcaster"})
APPROVERS = frozenset({"broadcaster", "approver"})
FOLDERS = {
    "going": (RUNNING, PAUSED),
    "waiting": (PROPOSED, APPROVED, HOLDING),
    "drafts": (DRAFT,),
    "over": tuple(sorted(OVER)),
}
MARK = re.compile(r"(?<![\w*])\*(?=\S)(?P<bold>[^*\n]+?)(?<=\S)\*(?![\w*])|(?<!\w)_(?=\S)(?P<italic>[^_\n]+?)(?<=\S)_(?!\w)")
REGIONS_AT_MOST = 40
COPIES_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A broadcast in the list, with how far it is."""

    broadcast: Broadcast
    results: Results

    @property
    def settled(self) -> int:
        """How many have an outcome."""
        return self.results.settled

    @property
    def of(self) -> int:
        """How many are expected; never less than what is settled."""
        return max(self.broadcast.expected, self.settled, 1)


def desk_of(request: web.Request) -> Desk:
    """The desk of broadcasts; the pages are not there without one."""
    desk = request.app[PANEL].desk
    if desk is None:
        raise web.HTTPNotFound
    return desk


def number_of(request: web.Request) -> int:
    """The broadcast named in the address."""
    number = request.match_info["number"]
    if not re.fullmatch(r"\d{1,9}", number):
        raise web.HTTPNotFound
    return int(number)


def marked(words: str) -> list[tuple[str, str]]:
    """A text as a phone shows it: its runs with their style."""
    found, at = [], 0
    for match in MARK.finditer(words):
        found.append(("", words[at : match.start()]))
        found.append(("bold", match["bold"]) if match["bold"] else ("italic", match["italic"]))
        at = match.end()
    return [(style, run) for style, run in (*found, ("", words[at:])) if run]


# --- the list -----------------------------------------------------------------------------------------------------------------------------


async def listed(request: web.Request, *, fault: str = "", status: int = 200, link_code: str = "") -> web.StreamResponse:
    """All broadcasts by what has to be done about them; those that run with their progress."""
    panel, desk, account = request.app[PANEL], desk_of(request), who(request).account

    def look(connection: Connection) -> tuple[list[Row], str | None, dict[str, int]]:
        rows = [Row(one, desk.broadcasts.results(connection, one.id)) for one in desk.broadcasts.listed(connection)]
        return rows, desk.broadcasts.stopped_by(connection), desk.subscribers.size(connection)

    rows, stopped_by, size = await panel.store.read(look)
    return page(
        request,
        "broadcasts.html",
        status=status,
        folders={name: [row for row in rows if row.broadcast.state in states] for name, states in FOLDERS.items()},
        stopped_by=stopped_by,
        size=size,
        may_write=bool(account.powers & WRITERS),
        may_approve=bool(account.powers & APPROVERS),
        now=desk.broadcasts.now(),
        link_code=link_code,
        fresh=factor_is_fresh(request),
        fault=fault,
    )


async def stop_all(request: web.Request) -> web.StreamResponse:
    """Stop every broadcast at once: anybody on the team may, and no code is asked for."""
    panel, desk, account = request.app[PANEL], desk_of(request), who(request).account

    def stop(connection: Connection) -> None:
        desk.broadcasts.stop_all(connection, account.name)
        panel.audit.add(connection, account.name, "broadcast_stopped_all")

    await panel.store.write(stop)
    raise go("/siaran", "broadcasts_stopped")


async def release(request: web.Request) -> web.StreamResponse:
    """Let broadcasts go on."""
    panel, desk, account = request.app[PANEL], desk_of(request), who(request).account
    if not await confirmed(request):
        return await listed(request, fault="code", status=401)

    def let_go(connection: Connection) -> None:
        desk.broadcasts.release(connection)
        panel.audit.add(connection, account.name, "broadcast_released")

    await panel.store.write(let_go)
    raise go("/siaran", "broadcasts_released")


async def link(request: web.Request) -> web.StreamResponse:
    """A code that links the reader's own chat, shown on the answer and nowhere else."""
    panel, desk, account = request.app[PANEL], desk_of(request), who(request).account
    if not await confirmed(request):
        return await listed(request, fault="code", status=401)

    def make(connection: Connection) -> str:
        panel.audit.add(connection, account.name, "chat_link_code")
        return desk.staff_chats.new_code(connection, account.id)

    return await listed(request, link_code=await panel.store.write(make))


# --- one broadcast ------------------------------------------------------------------------------------------------------------------------


async def show(request: web.Request, *, fault: str = "", status: int = 200) -> web.StreamResponse:
    """One broadcast: the exact messages, to whom, when, what can be done now, and its results."""
    panel, desk, account, number = request.app[PANEL], desk_of(request), who(request).account, number_of(request)

    def look(connection: Connection) -> tuple[Broadcast, Results, Counted, bool] | None:
        found = desk.broadcasts.get(connection, number)
        if found is None:
            return None
        linked = desk.staff_chats.address_of(connection, account.id) is not None
        return found, desk.broadcasts.results(connection, number), desk.broadcasts.count(connection, found.draft), linked

    looked = await panel.store.read(look)
    if looked is None:
        raise web.HTTPNotFound
    found, results, counted, linked = looked
    return page(
        request,
        "broadcast.html",
        status=status,
        one=found,
        row=Row(found, results),
        results=sorted(results.counts.items(), key=lambda item: (item[0][1], -item[1])),
        totals={outcome: results.total(outcome) for outcome in ("sent", "skipped", "stopped", "failed", "uncertain")},
        counted=counted,
        linked=linked,
        previews=previews(found.draft),
        region_names=[name_of(region) for region in found.draft.audience.regions],
        wrong=desk.broadcasts.problems(found.draft) if found.state in (DRAFT, PROPOSED) else [],
        may_write=bool(account.powers & WRITERS),
        may_approve=bool(account.powers & APPROVERS) and account.name != found.written_by,
        can_again=found.state in OVER and results.total("failed") > 0,
        days=[label for label in DAYS if day_of(label, election(panel)) >= panel.clock().date()],
        now=desk.broadcasts.now(),
        fresh=factor_is_fresh(request),
        fault=fault,
    )


def previews(draft: Draft) -> list[dict[str, Any]]:
    """Each message as it is read on a phone, with its length and how long it may be."""
    found: list[dict[str, Any]] = []
    for language, text in draft.telegram.items():
        found.append(_preview("telegram", language, "text", text, TELEGRAM_AT_MOST - FOOTER_AT_MOST))
    for language, said in draft.whatsapp.items():
        if said.template:
            found.append(_preview("whatsapp", language, "template", said.filled, TEMPLATE_AT_MOST) | {"template": said.template})
        if said.session:
            found.append(_preview("whatsapp", language, "session", said.session, SESSION_AT_MOST - FOOTER_AT_MOST))
    return found


def _preview(channel: str, language: str, kind: str, text: str, at_most: int) -> dict[str, Any]:
    return {
        "channel": channel,
        "language": language,
        "kind": kind,
        "runs": marked(text),
        "length": length(text),
        "at_most": at_most,
        "template": "",
    }


async def act(request: web.Request) -> web.StreamResponse:
    """Take one step with a broadcast; approving, resuming and sending again ask for a fresh second factor."""
    panel, desk, account, number = request.app[PANEL], desk_of(request), who(request).account, number_of(request)
    action, form = request.path.rpartition("/")[2], await form_of(request)
    needs_code, job, notice = _steps(desk, account, number, form, panel.calendar)[action]
    if needs_code and not await confirmed(request):
        return await show(request, fault="code", status=401)

    def both(connection: Connection) -> int:
        result = job(connection)
        panel.audit.add(connection, account.name, notice, str(number))
        return result or number

    try:
        led_to = await panel.store.write(both)
    except Refused as refused:
        return await show(request, fault=refused.reason, status=409)
    raise go("/siaran" if action == "buang" else f"/siaran/{led_to}", notice)


Step = tuple[bool, Callable[[Connection], int | None], str]


def _steps(desk: Desk, account: Account, number: int, form: Mapping[str, str], calendar: Calendar) -> Mapping[str, Step]:
    """What can be done: whether a code is asked for, how, and what is said then; who may is in the panel's table of routes."""
    broadcasts = desk.broadcasts

    def approve(connection: Connection) -> None:
        broadcasts.approve(connection, number, account.name, form.get("seen", ""))

    def copies(connection: Connection) -> int | None:
        found = broadcasts.get(connection, number)
        if found is None:
            raise Refused("unknown")
        label = form.get("label", "")
        if label not in DAYS:
            return broadcasts.copy(connection, number, account.name)
        day = day_of(label, _voting(calendar, found.draft.audience.regions))
        return broadcasts.copy(connection, number, account.name, replace(found.draft.when, day=day, last=day, label=label))

    return {
        "ajukan": (False, lambda connection: broadcasts.propose(connection, number, account.name), "broadcast_proposed"),
        "setujui": (True, approve, "broadcast_approved"),
        "tarik": (False, lambda connection: broadcasts.withdraw(connection, number), "broadcast_withdrawn"),
        "tahan": (False, lambda connection: broadcasts.pause(connection, number, "by_staff"), "broadcast_paused"),
        "lanjut": (True, lambda connection: broadcasts.resume(connection, number), "broadcast_resumed"),
        "batal": (False, lambda connection: broadcasts.cancel(connection, number), "broadcast_cancelled"),
        "uji": (False, lambda connection: broadcasts.ask_test(connection, number, account.id), "broadcast_tested"),
        "ulang": (True, lambda connection: broadcasts.again(connection, number, account.name), "broadcast_again"),
        "salin": (False, copies, "broadcast_copied"),
        "buang": (False, lambda connection: broadcasts.remove(connection, number), "broadcast_removed"),
    }


def _voting(calendar: Calendar, regions: Sequence[str]) -> Any:
    """The election of an audience: with one region, the day on which that region votes."""
    return calendar.election().in_region(regions[0] if len(regions) == 1 else "")


# --- the composer -------------------------------------------------------------------------------------------------------------------------


async def compose(request: web.Request) -> web.StreamResponse:
    """The composer, empty or with a draft."""
    panel, desk = request.app[PANEL], desk_of(request)
    if "number" not in request.match_info:
        today = panel.clock().date()
        empty = Draft("", KINDS[0], When(today, today), Audience(), telegram={"id": ""})
        return await _composer(request, empty, 0)
    number = number_of(request)
    found = await panel.store.read(lambda connection: desk.broadcasts.get(connection, number))
    if found is None:
        raise web.HTTPNotFound
    return await _composer(request, found.draft, number, state=found.state)


async def _composer(
    request: web.Request,
    draft: Draft,
    number: int,
    *,
    state: str = DRAFT,
    wrong: Sequence[str] = (),
    regions: str | None = None,
    unknown: Sequence[str] = (),
    status: int = 200,
) -> web.StreamResponse:
    panel, desk = request.app[PANEL], desk_of(request)
    counted = await panel.store.read(lambda connection: desk.broadcasts.count(connection, draft))
    return page(
        request,
        "broadcast_edit.html",
        status=status,
        draft=draft,
        number=number,
        state=state,
        wrong=wrong,
        unknown=unknown,
        regions=regions if regions is not None else "\n".join(draft.audience.regions),
        region_names=[name_of(region) for region in draft.audience.regions],
        counted=counted,
        previews=previews(draft),
        said={language: draft.whatsapp.get(language, OnWhatsApp()) for language in LANGUAGES},
        channels=CHANNELS,
        roles=ROLES,
        kinds=KINDS,
        languages=LANGUAGES,
        days=[(label, day_of(label, election(panel))) for label in DAYS],
        earliest=EARLIEST,
        latest=LATEST,
        domains=sorted(desk.broadcasts.domains),
        title_at_most=TITLE_AT_MOST,
        telegram_at_most=TELEGRAM_AT_MOST - FOOTER_AT_MOST,
        session_at_most=SESSION_AT_MOST - FOOTER_AT_MOST,
        template_at_most=TEMPLATE_AT_MOST,
    )


async def save(request: web.Request) -> web.StreamResponse:
    """Keep what was written; "count" only counts and shows it, "propose" asks for approval as well."""
    panel, desk, account = request.app[PANEL], desk_of(request), who(request).account
    number = number_of(request) if "number" in request.match_info else 0
    form = await request.post()
    draft, unknown = _written(form, panel.calendar, panel.clock())
    wrong = [*desk.broadcasts.problems(draft), *(["region"] if unknown else [])]
    step = str(form.get("step", "save"))
    typed = str(form.get("regions", ""))[:600]
    if step == "count" or (wrong and step == "propose") or unknown:
        shown = wrong if step != "count" or unknown else []
        return await _composer(request, draft, number, wrong=shown, regions=typed, unknown=unknown, status=400 if shown else 200)

    def keep(connection: Connection) -> int:
        before = desk.broadcasts.get(connection, number) if number else None
        kept = desk.broadcasts.save(connection, replace(draft, again=before.draft.again if before else 0), account.name, number)
        if step == "propose":
            desk.broadcasts.propose(connection, kept, account.name)
        panel.audit.add(connection, account.name, "broadcast_proposed" if step == "propose" else "broadcast_saved", str(kept))
        return kept

    try:
        kept = await panel.store.write(keep)
    except Refused as refused:
        return await _composer(request, draft, number, wrong=[refused.reason], regions=typed, status=409)
    raise go(f"/siaran/{kept}", "broadcast_proposed" if step == "propose" else "broadcast_saved")


def _written(form: MultiDictProxy[Any], calendar: Calendar, now: datetime) -> tuple[Draft, list[str]]:
    """The draft in a posted form, and the names of places that nobody knows."""

    def text(name: str, at_most: int = 5000) -> str:
        return str(form.get(name, "")).replace("\r\n", "\n").strip()[:at_most]

    def chosen(name: str, known: Sequence[str]) -> tuple[str, ...]:
        values = {str(value) for value in form.getall(name, [])}
        return tuple(one for one in known if one in values)

    regions, unknown = _regions(text("regions", 600))
    telegram = {language: text(f"telegram_{language}") for language in LANGUAGES}
    whatsapp = {}
    for language in LANGUAGES:
        values = tuple(line.strip() for line in text(f"values_{language}").split("\n") if line.strip())
        said = OnWhatsApp(text(f"template_{language}", 40), text(f"wording_{language}"), values, text(f"session_{language}"))
        if said != OnWhatsApp():
            whatsapp[language] = said
    budget = text("templates_at_most", 9)
    draft = Draft(
        title=text("title", TITLE_AT_MOST),
        kind=text("kind", 20),
        when=_when(text, calendar, regions, now),
        audience=Audience(chosen("channel", CHANNELS), chosen("role", ROLES), regions, chosen("language", LANGUAGES)),
        telegram={language: words for language, words in telegram.items() if words},
        whatsapp=whatsapp,
        templates_at_most=int(budget) if budget.isdecimal() else 0,
    )
    return draft, unknown


def _regions(typed: str) -> tuple[tuple[str, ...], list[str]]:
    """Region codes for names or codes, one a line or between semicolons; "Way Kanan, Lampung" is one place."""
    codes: list[str] = []
    unknown: list[str] = []
    for words in [part.strip() for part in re.split(r"[;\n]", typed) if part.strip()][:REGIONS_AT_MOST]:
        if re.fullmatch(r"\d\d(\.\d\d(\.\d\d)?)?", words) and name_of(words) != words:
            codes.append(words)
            continue
        found = find(words)
        if found:
            codes.append(found[0].code)
        else:
            unknown.append(words)
    return tuple(dict.fromkeys(codes)), unknown


def _when(text: Callable[..., str], calendar: Calendar, regions: Sequence[str], now: datetime) -> When:
    label, today = text("label", 20), now.astimezone(ZONE).date()
    start, end = text("start", 5) or "08:00", text("end", 5) or LATEST
    if label in DAYS:
        day = day_of(label, _voting(calendar, regions))
        return When(day, day, start, end, label)
    day = _day(text("day", 10), today)
    return When(day, _day(text("last", 10), day), start, end)


def _day(words: str, otherwise: dt.date) -> dt.date:
    try:
        return dt.date.fromisoformat(words)
    except ValueError:
        return otherwise


# --- the ready pack -----------------------------------------------------------------------------------------------------------------------


async def pack(request: web.Request) -> web.StreamResponse:
    """The ready reminders with the days they mean here; each becomes a draft of its own."""
    panel = request.app[PANEL]
    desk_of(request)
    voting = election(panel)
    reminders = [(reminder, day_of(reminder.day, voting), marked(reminder.text)) for reminder in load()]
    return page(request, "broadcast_pack.html", reminders=sorted(reminders, key=lambda one: one[1]), today=panel.clock().date())


async def take_pack(request: web.Request) -> web.StreamResponse:
    """Make drafts of the chosen reminders, for one audience."""
    panel, desk, account, form = request.app[PANEL], desk_of(request), who(request).account, await request.post()
    wanted = {str(value) for value in form.getall("reminder", [])}
    chosen = [reminder for reminder in load() if reminder.id in wanted][:COPIES_AT_MOST]
    regions, _ = _regions(str(form.get("regions", ""))[:600])
    if not chosen:
        raise go("/siaran/paket", "broadcast_none")

    def make(connection: Connection) -> None:
        for reminder in chosen:
            number = desk.broadcasts.save(connection, _from_pack(reminder, regions, panel.calendar), account.name)
            panel.audit.add(connection, account.name, "broadcast_saved", str(number), "pack")

    await panel.store.write(make)
    raise go("/siaran", "broadcast_packed")


def _from_pack(reminder: Reminder, regions: tuple[str, ...], calendar: Calendar) -> Draft:
    """A draft of a ready reminder: Telegram and WhatsApp's open window; a template has to be chosen by its writer."""
    day = day_of(reminder.day, _voting(calendar, regions))
    texts = {"id": reminder.text, "en": reminder.text_en}
    return Draft(
        reminder.title,
        reminder.kind,
        When(day, day, label=reminder.day),
        Audience(roles=reminder.roles, regions=regions),
        telegram=texts,
        whatsapp={language: OnWhatsApp(session=text) for language, text in texts.items()},
    )
