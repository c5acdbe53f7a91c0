"""What every page is made of: the panel's parts, its sentences, its templates, and how hostile words are shown."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import jinja2
from aiohttp import web

from faq.calendar import Calendar, Election
from storage.audit import AuditLog
from storage.cases import Cases
from storage.receivers import ReceiverList
from storage.security_keys import Site, question
from storage.staff import READING, ROLES, Accounts, Session
from storage.staff_chats import Desk
from storage.store import Store

if TYPE_CHECKING:  # the matcher loads numpy, which the panel does not need to start
    from faq.match import Faq

FOLDER = Path(__file__).parent
LANGUAGES = ("id", "en")
ZONE = ZoneInfo("Asia/Jakarta")
LANGUAGE_COOKIE = "netra_lang"


@dataclass(frozen=True)
class Panel:
    """The parts a panel works with."""

    store: Store
    cases: Cases
    staff: Accounts
    audit: AuditLog
    faq: Faq | None
    calendar: Calendar
    clock: Callable[[], datetime]
    practice: bool
    public_url: str
    language: str = "id"
    metrics: Callable[[], bytes] | None = None
    desk: Desk | None = None
    url: str = ""
    """The address under which staff open the panel; empty: localhost, with the port it listens on."""
    receivers: ReceiverList | None = None


def site_of(request: web.Request) -> Site:
    """Where the panel is reached, as the operator said: never what a request says of itself."""
    configured = request.app[PANEL].url.rstrip("/")
    if configured or request.transport is None:
        return Site(configured)
    return Site(f"http://localhost:{request.transport.get_extra_info('sockname')[1]}")


def takes_codes(request: web.Request) -> bool:
    """Whether the reader may give a code of an app instead of a security key."""
    panel, session = request.app[PANEL], request.get(SESSION)
    return session is not None and bool(session.account.totp) and not (session.keys and panel.staff.needs_key(session.account))


def election(panel: Panel) -> Election:
    """The election the installation works for."""
    return panel.faq.election if panel.faq is not None else panel.calendar.election()


PANEL = web.AppKey("panel", Panel)
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
CSRF: web.RequestKey[str] = web.RequestKey("csrf", str)
WAITING: web.RequestKey[list[str]] = web.RequestKey("waiting", list)
STRANGERS: web.RequestKey[list[str]] = web.RequestKey("strangers", list)
LIST_FAULT: web.RequestKey[str] = web.RequestKey("list_fault", str)


# --- sentences ------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def texts() -> Mapping[str, Mapping[str, str]]:
    """Every sentence by language and dotted name."""
    tables = tomllib.loads((FOLDER / "texts.toml").read_text("utf-8"))
    return {language: dict(_flat(tables[language], "")) for language in LANGUAGES}


def _flat(table: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found.extend(_flat(value, f"{prefix}{name}."))
        else:
            found.append((prefix + name, str(value)))
    return found


def sentence(language: str, name: str, /, **facts: Any) -> str:
    """A sentence with its facts; raises `KeyError` for a name nobody wrote."""
    text = texts()[language][name]
    return text.format(**facts) if facts else text


def named(language: str, group: str, value: str) -> str:
    """The label of a value (`kind`, `role` ...), or the value itself when it has none."""
    return texts()[language].get(f"{group}.{value}", value)


def language_of(request: web.Request) -> str:
    """The reader's language."""
    wanted = request.cookies.get(LANGUAGE_COOKIE, "")
    return wanted if wanted in LANGUAGES else request.app[PANEL].language


# --- hostile words --------------------------------------------------------------------------------------------------------------

LINK = re.compile(
    r"(?i)\b(?:(?P<scheme>[a-z][a-z0-9+.-]{1,15})://|www\.)[^\s<>\"']+"
    r"|\b(?:[a-z0-9-]+\.)+(?:com|id|net|org|me|ly|info|xyz|io|co|gl|app|link|site|online|top|club|ru|cn|tk)\b(?:/[^\s<>\"']*)?"
)
VISIBLE = {"\n", "\t"}
HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of somebody's words; a marked one stands for a sign that would not be seen."""

    text: str
    marked: bool = False


def defanged(words: str) -> str:
    """The words with links made useless: nobody follows one by accident, and no program makes it clickable."""

    def broken(match: re.Match[str]) -> str:
        scheme, mark, rest = match[0].partition("://") if match["scheme"] else ("", "", match[0])
        host, slash, path = rest.partition("/")
        return re.sub(r"(?i)^http", "hxxp", scheme) + mark + host.replace(".", "[.]") + slash + path

    return LINK.sub(broken, words)


def runs(words: str) -> list[Run]:
    """Somebody's words as they are safely shown: links defanged, hidden and direction-changing signs made visible."""
    found: list[Run] = []
    plain: list[str] = []
    for sign in defanged(words.replace("\r\n", "\n")):
        if sign not in VISIBLE and unicodedata.category(sign) in HIDDEN:
            if plain:
                found.append(Run("".join(plain)))
                plain = []
            found.append(Run(f"U+{ord(sign):04X}", marked=True))
        else:
            plain.append(sign)
    if plain:
        found.append(Run("".join(plain)))
    return found


def plainly(words: str) -> str:
    """The same as one string, for exports and short lines."""
    return "".join(f"⟦{run.text}⟧" if run.marked else run.text for run in runs(words))


# --- days and times -------------------------------------------------------------------------------------------------------------

MONTHS = {
    "id": "Jan Feb Mar Apr Mei Jun Jul Agu Sep Okt Nov Des".split(),
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
}


def day_text(language: str, day: dt.date | str | None) -> str:
    """A day as people read it: 27 Nov 2026."""
    if isinstance(day, str):
        try:
            return day_text(language, dt.date.fromisoformat(day))
        except ValueError:
            return day
    return f"{day.day} {MONTHS[language][day.month - 1]} {day.year}" if day else ""


def time_text(language: str, seconds: int) -> str:
    """A moment as people read it: 27 Nov 2026 09.30 WIB."""
    at = datetime.fromtimestamp(seconds, ZONE)
    return f"{day_text(language, at.date())} {at:%H.%M} WIB"


# --- answers --------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """The templates, escaped always; a name that is not given is an error."""
    loader = jinja2.FileSystemLoader(FOLDER / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals["runs"] = runs
    environment.filters["plainly"] = plainly
    return environment


@dataclass(frozen=True, slots=True)
class Place:
    """A page in the navigation, and who has it."""

    path: str
    name: str
    roles: frozenset[str]


NAVIGATION: Sequence[Place] = (
    Place("/laporan", "inbox", READING),
    Place("/persetujuan", "approvals", frozenset({"verifier", "auditor"})),
    Place("/siaran", "broadcasts", frozenset(ROLES)),
    Place("/statistik", "statistics", frozenset({"reviewer", "verifier", "auditor", "admin"})),
    Place("/latihan", "practice", frozenset(ROLES)),
    Place("/faq", "faq", frozenset({"reviewer", "verifier", "admin", "broadcaster", "approver"})),
    Place("/tim", "team", frozenset({"reviewer", "verifier", "auditor", "admin"})),
    Place("/audit", "audit", frozenset({"auditor"})),
)


def page(request: web.Request, template: str, *, status: int = 200, **facts: Any) -> web.Response:
    """A page in the reader's language."""
    language, session, panel = language_of(request), request.get(SESSION), request.app[PANEL]

    def t(name: str, /, **given: Any) -> str:
        return sentence(language, name, **given)

    powers = session.account.powers if session and session.factor else frozenset[str]()
    notice = request.query.get("pesan", "")
    words = (
        templates()
        .get_template(template)
        .render(
            t=t,
            known=lambda name: name in texts()[language],
            named=lambda group, value: named(language, group, value),
            day=lambda value: day_text(language, value),
            moment=lambda seconds: time_text(language, seconds),
            lang=language,
            path=request.path,
            session=session,
            powers=powers,
            places=[place for place in NAVIGATION if place.roles & powers],
            practice=panel.practice,
            waiting=request.get(WAITING, []),
            strangers=request.get(STRANGERS, []),
            list_fault=request.get(LIST_FAULT, ""),
            key_question=question(session, site_of(request), panel.staff.now()) if session and session.keys else "",
            key_here=request.host == site_of(request).place,
            key_site=site_of(request).origin,
            takes_codes=takes_codes(request),
            csrf=request.get(CSRF, ""),
            notice=t(f"notice.{notice}") if f"notice.{notice}" in texts()[language] else "",
            notice_bad=notice in ("wrong_code", "taken", "refused", "key_not_taken"),
            **facts,
        )
    )
    return web.Response(text=words, content_type="text/html", status=status)


def go(path: str, notice: str = "", **query: str) -> web.HTTPSeeOther:
    """Leads to another page, with a notice by its name; to be raised."""
    values = {**query, **({"pesan": notice} if notice else {})}
    return web.HTTPSeeOther(f"{path}?{urlencode(values)}" if values else path)


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The fields of a posted form; files are not taken anywhere in the panel."""
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
