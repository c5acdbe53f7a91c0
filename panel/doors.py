"""The doors: every request to the panel passes through here.

A route that is not in the table does not exist. The table says who may use it; here it is checked, together with the session, the origin
of what is posted and its token. Every answer leaves with the same strict headers.
"""

from __future__ import annotations

import asyncio
import hmac
import io
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import pyotp
import segno
import structlog
from aiohttp import web
from nacl.encoding import RawEncoder
from nacl.hash import blake2b
from sqlalchemy import Connection

from panel.pages import (
    CSRF,
    LANGUAGE_COOKIE,
    LANGUAGES,
    LIST_FAULT,
    PANEL,
    SESSION,
    STRANGERS,
    WAITING,
    Panel,
    form_of,
    go,
    page,
    site_of,
    takes_codes,
)
from storage import security_keys
from storage.security_keys import SecurityKey, keys_of
from storage.staff import (
    FRESH_SECONDS,
    READING,
    Account,
    Refused,
    Session,
    credentials_for,
    weakness,
)
from storage.vault import Broken, Passphrase, derive_passphrase, open_receiver_key, open_signing_key

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

ANYBODY: Final = frozenset({"anybody"})
"""No session is needed."""
HALF: Final = frozenset({"half"})
"""A session that has not given its second factor."""
EVERYONE: Final = frozenset({"reviewer", "verifier", "admin", "auditor", "broadcaster", "approver", "waiting"})
"""Every staff member; a receiver who is still waiting for approval too."""

LOGINS_WAITING: Final = 8
"""More logins than this do not queue for the one derivation that runs at a time."""
TOUCH_SECONDS: Final = 30
YEAR: Final = 365 * 24 * 3600
DUMMY_SALT: Final = bytes(16)
log = structlog.get_logger("panel")


@dataclass(frozen=True, slots=True)
class Route:
    """A page or an action, and who may use it."""

    method: str
    path: str
    handler: Handler
    who: frozenset[str]


# --- throttling -----------------------------------------------------------------------------------------------------------------


class Throttle:
    """Growing delays after failures, per account and per address, in memory alone."""

    FREE: Final = 3
    LONGEST: Final = 300.0
    FORGET: Final = 3600.0
    KEPT: Final = 10_000

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: dict[str, tuple[int, float]] = {}

    def wait(self, *keys: str) -> int:
        """Seconds until the next try is allowed; 0 when it is."""
        now = self._now()
        left = [last + self._delay(count) - now for count, last in (self._failed.get(key, (0, 0.0)) for key in keys) if count]
        return max(0, *(int(seconds) + 1 if seconds > 0 else 0 for seconds in left)) if left else 0

    def failed(self, *keys: str) -> None:
        """One more failure."""
        now = self._now()
        if len(self._failed) > self.KEPT:
            self._failed = {key: known for key, known in self._failed.items() if now - known[1] < self.FORGET}
        for key in keys:
            count, last = self._failed.get(key, (0, 0.0))
            self._failed[key] = (count + 1 if now - last < self.FORGET else 1, now)

    def passed(self, *keys: str) -> None:
        """A success forgets the failures."""
        for key in keys:
            self._failed.pop(key, None)

    def _delay(self, count: int) -> float:
        return 0.0 if count < self.FREE else float(min(self.LONGEST, 2.0 ** (count - self.FREE)))


@dataclass(slots=True)
class Gate:
    """What the doors remember while the process runs."""

    throttle: Throttle
    waiting: int = 0


GATE = web.AppKey("gate", Gate)
TABLE = web.AppKey("table", dict[tuple[str, str], Route])


# --- cookies and tokens ---------------------------------------------------------------------------------------------------------


def _cookie_name(request: web.Request, name: str) -> tuple[str, bool]:
    """The cookie's name and whether it is marked Secure: always, but for practice on plain HTTP, where browsers would refuse it."""
    if request.app[PANEL].practice and request.scheme != "https":
        return f"{name}_panel", False
    return f"__Host-{name}", True


def _set_cookie(request: web.Request, response: web.StreamResponse, name: str, value: str) -> None:
    cookie, secure = _cookie_name(request, name)
    response.set_cookie(cookie, value, path="/", secure=secure, httponly=True, samesite="Strict")


def _drop_cookie(request: web.Request, response: web.StreamResponse, name: str) -> None:
    cookie, secure = _cookie_name(request, name)
    response.del_cookie(cookie, path="/", secure=secure, httponly=True, samesite="Strict")


def _cookie(request: web.Request, name: str) -> str:
    return request.cookies.get(_cookie_name(request, name)[0], "")


def _door_token(cookie: str) -> str:
    return blake2b(cookie.encode(), digest_size=32, person=b"netra door", encoder=RawEncoder).hex() if cookie else ""


def _same_origin(request: web.Request) -> bool:
    """Whether what is posted comes from a page of ours, by what the browser says of it.

    Our own `no-referrer` makes browsers send the origin "null" with a form; Sec-Fetch-Site, which no page can set, then decides alone.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None or origin == "null":
        return site == "same-origin"
    return origin.partition("://")[2] == request.host


# --- middlewares ----------------------------------------------------------------------------------------------------------------


@web.middleware
async def dress(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer the strict headers, and every failure a page that says what to do."""
    try:
        response = await handler(request)
    except web.HTTPException as reason:
        if reason.status < 400:
            reason.headers.update(HEADERS)
            raise
        response = page(request, "error.html", status=reason.status, code=_known_error(reason.status))
    except Broken as error:
        log.error("panel.broken_record", at=_place_of(error))
        response = page(request, "error.html", status=409, code=409)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 - the reader gets a page, the operator one line
        name = secrets.token_hex(4)
        log.error("panel.failed", id=name, error=type(error).__name__, at=_place_of(error))
        response = page(request, "error.html", status=500, code=500, incident=name)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _known_error(status: int) -> int:
    return status if status in (403, 404, 405, 413, 429, 500) else 404 if status < 500 else 500


def _place_of(error: BaseException) -> str:
    """File and line of an error: never its words, which may be somebody's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let through who may, with what they may."""
    panel = request.app[PANEL]
    resource = request.match_info.route.resource
    route = request.app[TABLE].get((request.method, resource.canonical)) if resource is not None else None
    await _recognise(request, panel)
    if route is None:
        return await handler(request)  # aiohttp's own 404 or 405: no handler of ours stands outside the table
    if request.method not in ("GET", "HEAD"):
        token = (await form_of(request)).get("csrf", "")
        if not _same_origin(request) or not request.get(CSRF) or not hmac.compare_digest(token.encode(), request[CSRF].encode()):
            raise web.HTTPForbidden
    session = request.get(SESSION)
    if route.who == ANYBODY:
        return await handler(request)
    if session is None:
        raise go("/masuk", "login" if request.path != "/" else "")
    if not complete(panel, session):
        if route.who != HALF:
            raise go(next_door(panel, session.account, session.keys, coded=session.factor_at > 0))
        return await handler(request)
    if route.who == HALF:
        if session.account.totp or session.keys:
            raise go("/")
        return await handler(request)  # practice: the second factor may still be set up later
    powers = session.account.powers | ({"waiting"} if session.account.state == "waiting" else frozenset())
    if not route.who & powers:
        await audit(request, "refused", detail=f"{route.method} {route.path}")
        raise web.HTTPForbidden
    return await handler(request)


async def _recognise(request: web.Request, panel: Panel) -> None:
    """Find the session of the request, and its token for what is posted."""
    request[CSRF] = _door_token(_cookie(request, "door"))
    cookie = _cookie(request, "netra")
    if not cookie:
        return

    def look(connection: Connection) -> tuple[Session | None, list[str], list[str], str]:
        session, listed = panel.staff.session(connection, cookie), panel.receivers
        if session is None:
            return None, [], [], ""
        waiting = [account.name for account in panel.staff.waiting(connection)]
        if listed is None:
            return session, waiting, [], ""
        fault = listed.fault(connection)
        return session, waiting, [] if fault else listed.strangers(connection), fault

    session, waiting, strangers, fault = await panel.store.read(look)
    if session is None:
        return
    request[SESSION], request[CSRF], request[WAITING] = session, session.csrf, waiting
    request[STRANGERS], request[LIST_FAULT] = strangers, fault
    if panel.staff.now() - session.active >= TOUCH_SECONDS:

        def used(connection: Connection) -> None:
            panel.staff.touch(connection, session.id)
            for name in panel.staff.settle(connection):
                panel.audit.add(connection, "system", "receiver_counts", name)

        await panel.store.write(used)


def complete(panel: Panel, session: Session) -> bool:
    """Whether a session has passed every door; without a second factor only in practice mode."""
    if panel.practice:
        return session.factor
    return session.factor and bool(session.keys or (session.account.totp and not panel.staff.needs_key(session.account)))


def next_door(panel: Panel, account: Account, keys: tuple[SecurityKey, ...], *, coded: bool = False) -> str:
    """Where somebody goes who gave the passphrase: to the factor they have, else to the one they must set up.

    With `coded` the code of an app was right, but the account's roles ask for a security key that is not registered yet.
    """
    if keys:
        return "/masuk/kunci"
    if account.totp and not coded:
        return "/masuk/kode"
    return "/masuk/kunci/baru" if panel.staff.needs_key(account) else "/masuk/pengaman"


# --- for the pages --------------------------------------------------------------------------------------------------------------


def who(request: web.Request) -> Session:
    """The session of a request that the guard has let through."""
    return request[SESSION]


async def audit(request: web.Request, action: str, subject: str = "", detail: str = "", *, actor: str = "") -> None:
    """Write one row of the audit log for this request's staff member."""
    panel, session = request.app[PANEL], request.get(SESSION)
    name = actor or (session.account.name if session else "?")
    await panel.store.write(lambda connection: panel.audit.add(connection, name, action, subject, detail))


def factor_is_fresh(request: web.Request) -> bool:
    """Whether a dangerous action may go on without asking for the second factor again."""
    panel, session = request.app[PANEL], who(request)
    none = not session.account.totp and not session.keys
    return (none and panel.practice) or panel.staff.now() - session.factor_at <= FRESH_SECONDS


async def confirmed(request: web.Request) -> bool:
    """Whether the second factor is fresh, or was given with the form: asked before every dangerous action."""
    if factor_is_fresh(request):
        return True
    session = who(request)
    right = await take_factor(request)
    if right:
        panel = request.app[PANEL]
        await panel.store.write(lambda connection: panel.staff.refresh_factor(connection, session.id))
    return right


async def take_factor(request: web.Request) -> bool:
    """Whether the form carries the reader's second factor: a security key's answer (`key`), or the code of an app (`code`)."""
    form = await form_of(request)
    if form.get("key"):
        return await take_key(request, form["key"])
    return takes_codes(request) and await _take_code(request, who(request).account, form.get("code", ""))


async def use_challenge(request: web.Request) -> bool:
    """Use up the challenge that stood on the reader's page; False when it was used up before."""
    panel, session = request.app[PANEL], who(request)
    request[SESSION] = replace(session, asked=session.asked + 1)  # what is shown next asks anew
    return await panel.store.write(lambda connection: security_keys.use_challenge(connection, session))


async def take_key(request: web.Request, response: str) -> bool:
    """Try what a security key answered, with growing delays after failures; its challenge is used up either way."""
    panel, gate, session = request.app[PANEL], request.app[GATE], who(request)
    keys = (f"key|{session.account.name}", f"from|{request.remote}")
    if gate.throttle.wait(*keys) or not await use_challenge(request):
        return False
    gate.throttle.failed(*keys)
    found = await asyncio.to_thread(security_keys.answered, session, site_of(request), panel.staff.now(), response)
    right = found is not None and await panel.store.write(lambda connection: security_keys.counted(connection, *found))
    if right:
        gate.throttle.passed(*keys)
    else:
        await audit(request, "key_failed", actor=session.account.name)
    return right


async def _take_code(request: web.Request, account: Account, code: str) -> bool:
    """Try a TOTP code, with growing delays after failures."""
    panel, gate = request.app[PANEL], request.app[GATE]
    keys = (f"code|{account.name}", f"from|{request.remote}")
    if gate.throttle.wait(*keys):
        return False
    gate.throttle.failed(*keys)  # counted before the try, so that many tries at once do not slip through
    right = await panel.store.write(lambda connection: panel.staff.take_code(connection, account, code))
    if right:
        gate.throttle.passed(*keys)
    else:
        await audit(request, "code_failed", actor=account.name)
    return right


# --- the way in -----------------------------------------------------------------------------------------------------------------


async def start(request: web.Request) -> web.StreamResponse:
    """Lead everyone to their first page."""
    powers = who(request).account.powers
    if powers & READING:
        raise go("/laporan")
    raise go("/audit" if "auditor" in powers else "/tim" if "admin" in powers else "/saya")


def _door(request: web.Request, template: str, *, status: int = 200, **facts: object) -> web.Response:
    """A page before the session, with a token of its own."""
    cookie = _cookie(request, "door")
    fresh = "" if cookie else secrets.token_urlsafe(32)
    if request.get(SESSION) is None and fresh:
        request[CSRF] = _door_token(fresh)
    response = page(request, template, status=status, **facts)
    if fresh:
        _set_cookie(request, response, "door", fresh)
    return response


async def login_page(request: web.Request) -> web.StreamResponse:
    """Ask for name and passphrase."""
    if request.get(SESSION) is not None:
        raise go("/")
    return _door(request, "login.html", fault="", wait=0, name="")


async def login(request: web.Request) -> web.StreamResponse:
    """Check name and passphrase: the same work and the same answer whether or not the name is known."""
    panel, gate, form = request.app[PANEL], request.app[GATE], await form_of(request)
    name, passphrase = form.get("name", "")[:80].strip().casefold(), form.get("passphrase", "")[:400]
    keys = (f"name|{name}", f"from|{request.remote}")
    if wait := gate.throttle.wait(*keys):
        return _door(request, "login.html", status=429, fault="throttled", wait=wait, name=name)
    if gate.waiting >= LOGINS_WAITING:
        return _door(request, "login.html", status=429, fault="busy", wait=0, name=name)
    account = await panel.store.read(lambda connection: panel.staff.find(connection, name))
    gate.waiting += 1
    try:
        derived = await asyncio.to_thread(derive_passphrase, passphrase, account.salt if account else DUMMY_SALT)
    finally:
        gate.waiting -= 1
    if account is None or not hmac.compare_digest(derived.verifier, account.verifier):
        gate.throttle.failed(*keys)
        await audit(request, "login_failed", actor=account.name if account else "?")
        return _door(request, "login.html", status=401, fault="wrong", wait=0, name=name)
    gate.throttle.passed(*keys)
    return await _let_in(request, account, derived)


async def _let_in(request: web.Request, account: Account, derived: Passphrase) -> web.StreamResponse:
    """Begin a session that still lacks its second factor."""
    panel = request.app[PANEL]
    try:
        held = account.private_key  # empty: it is on its owner's laptop alone
        private_key = open_receiver_key(derived, account.id, account.public_key, held) if held else b""
        kept = account.signing_private
        signing = open_signing_key(derived, account.id, account.signing_key, kept) if kept else b""
    except Broken as error:
        raise web.HTTPForbidden from error

    before = request.get(SESSION)

    def begin(connection: Connection) -> tuple[str, str]:
        if before is not None:
            panel.staff.end(connection, before.account.id, before.id)
        panel.audit.add(connection, account.name, "login", detail="first_factor")
        cookie = panel.staff.begin(connection, account.id, private_key, factor=False, signing=signing)
        return cookie, next_door(panel, account, keys_of(connection, account.id))

    cookie, door = await panel.store.write(begin)
    response = web.Response(status=303, headers={"Location": door})
    _set_cookie(request, response, "netra", cookie)
    _drop_cookie(request, response, "door")
    return response


async def raised(request: web.Request, detail: str) -> web.StreamResponse:
    """Replace the half session by a whole one, under a new cookie."""
    panel, session = request.app[PANEL], who(request)

    def replace(connection: Connection) -> str:
        panel.audit.add(connection, session.account.name, "login", detail=detail)
        return panel.staff.raise_session(connection, session)

    response = web.Response(status=303, headers={"Location": "/"})
    _set_cookie(request, response, "netra", await panel.store.write(replace))
    return response


async def code_page(request: web.Request) -> web.StreamResponse:
    """Ask for the code of the second factor."""
    if not takes_codes(request):
        raise go(next_door(request.app[PANEL], who(request).account, who(request).keys))
    return page(request, "code.html", fault="", wait=0)


async def code(request: web.Request) -> web.StreamResponse:
    """Take the code of the second factor."""
    session = who(request)
    wait = request.app[GATE].throttle.wait(f"code|{session.account.name}", f"from|{request.remote}")
    if wait:
        return page(request, "code.html", status=429, fault="throttled", wait=wait)
    if not takes_codes(request) or not await _take_code(request, session.account, (await form_of(request)).get("code", "")):
        return page(request, "code.html", status=401, fault="wrong_code", wait=0)
    panel = request.app[PANEL]
    if panel.staff.needs_key(session.account):
        await panel.store.write(lambda connection: panel.staff.refresh_factor(connection, session.id))
        raise go("/masuk/kunci/baru")
    return await raised(request, "second_factor")


async def factor_page(request: web.Request) -> web.StreamResponse:
    """Show how the second factor is set up; a secret that is shown once stays the same until it is confirmed."""
    panel, session = request.app[PANEL], who(request)
    if (door := next_door(panel, session.account, session.keys)) != "/masuk/pengaman":
        raise go(door)
    secret = session.pending or await panel.store.write(lambda connection: panel.staff.propose_totp(connection, session))
    return page(request, "factor.html", secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)), fault="")


async def factor_picture(request: web.Request) -> web.StreamResponse:
    """The secret as a QR code."""
    session = who(request)
    if not session.pending or session.account.totp or session.keys:
        raise web.HTTPNotFound
    address = pyotp.TOTP(session.pending).provisioning_uri(name=session.account.name, issuer_name="Netra")
    picture = io.BytesIO()
    segno.make(address, error="m").save(picture, kind="svg", scale=5, border=4, dark="#000", light="#fff")
    return web.Response(body=picture.getvalue(), content_type="image/svg+xml")


async def factor(request: web.Request) -> web.StreamResponse:
    """Take the first code of a new second factor."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    if next_door(panel, session.account, session.keys) != "/masuk/pengaman" or not session.pending:
        raise go("/masuk/pengaman")
    taken = await panel.store.write(lambda connection: panel.staff.confirm_totp(connection, session, form.get("code", "")))
    if not taken:
        secret = " ".join(session.pending[at : at + 4] for at in range(0, len(session.pending), 4))
        return page(request, "factor.html", status=401, secret=secret, fault="wrong_code")
    return await raised(request, "second_factor_new")


async def factor_later(request: web.Request) -> web.StreamResponse:
    """Go on without a second factor: in practice mode alone."""
    if not request.app[PANEL].practice or who(request).account.totp or who(request).keys:
        raise web.HTTPForbidden
    return await raised(request, "practice")


async def logout(request: web.Request) -> web.StreamResponse:
    """End the session and have the browser forget what it holds of the panel."""
    panel, session = request.app[PANEL], request.get(SESSION)
    if session is not None:

        def end(connection: Connection) -> None:
            panel.staff.end(connection, session.account.id, session.id)
            panel.audit.add(connection, session.account.name, "logout")

        await panel.store.write(end)
    response = web.Response(status=303, headers={"Location": "/masuk", "Clear-Site-Data": '"cache", "cookies", "storage"'})
    _drop_cookie(request, response, "netra")
    return response


async def language(request: web.Request) -> web.StreamResponse:
    """Choose the panel's language."""
    form = await form_of(request)
    back = form.get("back", "/")
    response = web.Response(status=303, headers={"Location": back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"})
    if form.get("language") in LANGUAGES:
        secure = _cookie_name(request, "netra")[1]
        response.set_cookie(LANGUAGE_COOKIE, form["language"], path="/", secure=secure, httponly=True, samesite="Strict", max_age=YEAR)
    return response


# --- invitations ----------------------------------------------------------------------------------------------------------------


async def invitation_page(request: web.Request) -> web.StreamResponse:
    """Show an invitation to its person."""
    panel = request.app[PANEL]
    found = await panel.store.read(lambda connection: panel.staff.invitation(connection, request.match_info["token"]))
    if found is None:
        return _door(request, "invitation_dead.html", status=404)
    return _door(request, "invitation.html", invitation=found, fault="")


async def invitation(request: web.Request) -> web.StreamResponse:
    """Make the account of an invitation with the passphrase its person chose."""
    panel, gate, form, token = request.app[PANEL], request.app[GATE], await form_of(request), request.match_info["token"]
    found = await panel.store.read(lambda connection: panel.staff.invitation(connection, token))
    if found is None:
        return _door(request, "invitation_dead.html", status=404)
    passphrase = form.get("passphrase", "")
    fault = weakness(found.name, passphrase) or ("passphrase_differs" if passphrase != form.get("again", "") else "")
    if fault or gate.waiting >= LOGINS_WAITING:
        return _door(request, "invitation.html", status=400, invitation=found, fault=fault or "busy")
    gate.waiting += 1
    try:
        staff_id, salt = secrets.token_bytes(16), secrets.token_bytes(16)
        derived = await asyncio.to_thread(derive_passphrase, passphrase, salt)
    finally:
        gate.waiting -= 1
    made = credentials_for(staff_id, salt, derived)

    def accept(connection: Connection) -> Account:
        account = panel.staff.accept(connection, token, made)
        panel.audit.add(connection, account.name, "account_made", account.name, ",".join(sorted(account.roles)))
        return account

    try:
        account = await panel.store.write(accept)
    except Refused:
        return _door(request, "invitation_dead.html", status=404)
    return await _let_in(request, account, derived)


# --- one's own account ----------------------------------------------------------------------------------------------------------


async def me(request: web.Request, *, fault: str = "", status: int = 200) -> web.StreamResponse:
    """One's own account: sessions, passphrase, second factor."""
    panel, session = request.app[PANEL], who(request)
    sessions = await panel.store.read(lambda connection: panel.staff.sessions(connection, session.account.id))
    return page(request, "me.html", status=status, sessions=sessions, fault=fault, fresh=factor_is_fresh(request))


async def end_session(request: web.Request) -> web.StreamResponse:
    """End one of one's own sessions."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    try:
        other = bytes.fromhex(form.get("session", ""))
    except ValueError as error:
        raise web.HTTPNotFound from error

    def end(connection: Connection) -> bool:
        panel.audit.add(connection, session.account.name, "session_ended")
        return panel.staff.end(connection, session.account.id, other)

    if not await panel.store.write(end):
        raise web.HTTPNotFound
    raise go("/saya", "session_ended")


async def passphrase_given(request: web.Request) -> bool:
    """Whether the form's `present` is the reader's passphrase, with growing delays after failures."""
    account, gate = who(request).account, request.app[GATE]
    keys = (f"name|{account.name}", f"from|{request.remote}")
    present = await asyncio.to_thread(derive_passphrase, (await form_of(request)).get("present", "")[:400], account.salt)
    if not gate.throttle.wait(*keys) and hmac.compare_digest(present.verifier, account.verifier):
        return True
    gate.throttle.failed(*keys)
    return False


async def passphrase(request: web.Request) -> web.StreamResponse:
    """Change one's passphrase: the present one and the second factor are asked for, all other sessions end."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    account, new = session.account, form.get("passphrase", "")
    fault = weakness(account.name, new) or ("passphrase_differs" if new != form.get("again", "") else "")
    if not fault and not await passphrase_given(request):
        fault = "wrong"
    if not fault and (account.totp or session.keys) and not await take_factor(request):
        fault = "wrong_code"
    if fault:
        return await me(request, fault=fault, status=400)
    salt = secrets.token_bytes(16)
    derived = await asyncio.to_thread(derive_passphrase, new, salt)

    def change(connection: Connection) -> None:
        panel.staff.change_passphrase(connection, session, salt, derived)
        panel.audit.add(connection, account.name, "passphrase_changed")

    await panel.store.write(change)
    raise go("/saya", "passphrase_changed")
