"""Security keys: signing in with one, registering and removing them."""

from __future__ import annotations

import asyncio

from aiohttp import web
from sqlalchemy import Connection

from panel import doors
from panel.doors import GATE, audit, confirmed, factor_is_fresh, passphrase_given, raised, take_key, use_challenge, who
from panel.pages import PANEL, form_of, go, page, site_of
from storage import security_keys
from storage.security_keys import NAME_AT_MOST, new_question


async def key_page(request: web.Request) -> web.StreamResponse:
    """Ask for a security key."""
    session = who(request)
    if not session.keys:
        raise go(doors.next_door(request.app[PANEL], session.account, session.keys, coded=session.factor_at > 0))
    return page(request, "key.html", fault="", wait=0)


async def key(request: web.Request) -> web.StreamResponse:
    """Take the answer of a security key as the second factor."""
    session = who(request)
    wait = request.app[GATE].throttle.wait(f"key|{session.account.name}", f"from|{request.remote}")
    if wait:
        return page(request, "key.html", status=429, fault="throttled", wait=wait)
    if not session.keys or not await take_key(request, (await form_of(request)).get("key", "")):
        return page(request, "key.html", status=401, fault="wrong_key", wait=0)
    return await raised(request, "security_key")


def _may_register(request: web.Request) -> bool:
    """Whether a half session may register the first key: nothing else protects the account, or its code was right a moment ago."""
    session = who(request)
    return not session.keys and (not session.account.totp or session.factor_at > 0)


async def first_page(request: web.Request) -> web.StreamResponse:
    """Show how the first security key is registered."""
    session = who(request)
    if not _may_register(request):
        raise go(doors.next_door(request.app[PANEL], session.account, session.keys))
    return _new(request, "/masuk/kunci/baru")


def _new(request: web.Request, action: str, *, fault: str = "", status: int = 200) -> web.Response:
    panel, session = request.app[PANEL], who(request)
    asked = new_question(session, site_of(request), panel.staff.now())
    required = panel.staff.needs_key(session.account)
    return page(request, "key_new.html", status=status, action=action, asked=asked, required=required, fault=fault)


async def first(request: web.Request) -> web.StreamResponse:
    """Register the first security key, and end the login with it."""
    if not _may_register(request):
        raise web.HTTPForbidden
    if not await _registered(request):
        raise go("/masuk/kunci/baru", "key_not_taken")
    return await raised(request, "security_key_new")


async def _registered(request: web.Request) -> bool:
    """Take a new key's answer; the account's other sessions end."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    name = " ".join(form.get("name", "").split())[:NAME_AT_MOST] or "1"
    if not await use_challenge(request):
        return False
    new = await asyncio.to_thread(security_keys.made, session, site_of(request), panel.staff.now(), form.get("key", ""))
    if new is None:
        await audit(request, "key_failed", actor=session.account.name)
        return False

    def keep(connection: Connection) -> bool:
        if not security_keys.keep(connection, session.account.id, name, new, panel.clock().date()):
            return False
        panel.staff.end_sessions(connection, session.account.id, keep=session.id)
        panel.audit.add(connection, session.account.name, "key_registered")
        return True

    return await panel.store.write(keep)


async def add_page(request: web.Request) -> web.StreamResponse:
    """Show how a further security key is registered; first the factors that are there are asked for."""
    if not factor_is_fresh(request):
        return page(request, "key_again.html")
    return _new(request, "/saya/kunci")


async def again(request: web.Request) -> web.StreamResponse:
    """Take the second factor once more, before something is changed about it."""
    if not await confirmed(request):
        raise go("/saya/kunci", "wrong_code")
    raise go("/saya/kunci")


async def add(request: web.Request) -> web.StreamResponse:
    """Register a further security key: the passphrase and a fresh second factor are asked for."""
    if not factor_is_fresh(request):
        raise go("/saya/kunci", "wrong_code")
    if not await passphrase_given(request):
        return _new(request, "/saya/kunci", fault="wrong", status=400)
    if not await _registered(request):
        raise go("/saya/kunci", "key_not_taken")
    raise go("/saya", "key_registered")


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove one of one's own keys; the last one only where another second factor is left."""
    panel, session, form = request.app[PANEL], who(request), await form_of(request)
    try:
        name = bytes.fromhex(form.get("id", ""))
    except ValueError as error:
        raise web.HTTPNotFound from error
    if len(session.keys) == 1 and not panel.practice and (panel.staff.needs_key(session.account) or not session.account.totp):
        return await doors.me(request, fault="last_key", status=400)
    if not await passphrase_given(request):
        return await doors.me(request, fault="wrong", status=400)
    if not await confirmed(request):
        raise go("/saya", "wrong_code")

    def forget(connection: Connection) -> bool:
        if not security_keys.forget(connection, session.account.id, name):
            return False
        panel.staff.end_sessions(connection, session.account.id, keep=session.id)
        panel.audit.add(connection, session.account.name, "key_removed")
        return True

    if not await panel.store.write(forget):
        raise web.HTTPNotFound
    raise go("/saya", "key_removed")
