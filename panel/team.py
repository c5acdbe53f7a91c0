"""The team: accounts, invitations, new receivers and who approves them, removals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from panel.doors import audit, confirmed, factor_is_fresh, who
from panel.pages import PANEL, form_of, go, page
from storage import staff
from storage.grants import Granted, regrant
from storage.security_keys import holders
from storage.staff import INVITATION_SECONDS, READING, ROLES, Account, Refused


async def team(request: web.Request, *, fault: str = "", status: int = 200) -> web.StreamResponse:
    """Everybody with their roles and teams, and what the reader may do about it."""
    panel, me = request.app[PANEL], who(request).account

    def look(connection: Connection) -> dict[str, Any]:
        accounts, teams, signed = staff.listed(connection), staff.teams(connection), panel.receivers
        return {
            "accounts": accounts,
            "teams": teams,
            "team_names": {known.id: known.name for known in teams},
            "invitations": panel.staff.invitations(connection),
            "approvable": {account.id: panel.staff.may_approve(connection, account, me) for account in accounts},
            "keyed": holders(connection),
            "signed": None if signed is None else {account.id: signed.entry(connection, account) for account in accounts},
        }

    return page(
        request,
        "team.html",
        status=status,
        **await panel.store.read(look),
        roles=ROLES,
        reading=READING,
        me=me,
        now=panel.staff.now(),
        fault=fault,
        fresh=factor_is_fresh(request),
    )


async def _dangerous(request: web.Request, job: Callable[[Connection], None], notice: str) -> web.StreamResponse:
    """Do what the second factor was given for, or say why not."""
    if not await confirmed(request):
        return await team(request, fault="wrong_code", status=401)
    try:
        await request.app[PANEL].store.write(job)
    except Refused as refused:
        return await team(request, fault=refused.reason, status=400)
    raise go("/tim", notice)


async def _fields(request: web.Request) -> tuple[list[str], int | None]:
    form = await request.post()
    roles = [str(value) for value in form.getall("role", [])]
    number = str(form.get("team", ""))
    return roles, int(number) if number.isdecimal() else None


def _account_id(request: web.Request) -> bytes:
    try:
        return bytes.fromhex(request.match_info["account"])
    except ValueError as error:
        raise web.HTTPNotFound from error


async def invite(request: web.Request) -> web.StreamResponse:
    """Propose an account; its link is shown on the answer and nowhere else."""
    panel, me, form = request.app[PANEL], who(request).account, await form_of(request)
    roles, group = await _fields(request)
    if not await confirmed(request):
        return await team(request, fault="wrong_code", status=401)

    def propose(connection: Connection) -> str:
        token = panel.staff.invite(connection, me.name, form.get("name", ""), roles, group)
        panel.audit.add(connection, me.name, "invited", form.get("name", "").strip().casefold(), ",".join(sorted(roles)))
        return token

    try:
        token = await panel.store.write(propose)
    except Refused as refused:
        return await team(request, fault=refused.reason, status=400)
    link = f"{request.scheme}://{request.host}/undangan/{token}"
    return page(request, "invited.html", link=link, name=form.get("name", "").strip().casefold(), hours=INVITATION_SECONDS // 3600)


async def withdraw(request: web.Request) -> web.StreamResponse:
    """Make an invitation's link useless."""
    panel, me, form = request.app[PANEL], who(request).account, await form_of(request)
    name = form.get("name", "")

    def take_back(connection: Connection) -> None:
        if not panel.staff.withdraw_invitation(connection, name):
            raise Refused("no_account")
        panel.audit.add(connection, me.name, "invitation_withdrawn", name)

    return await _dangerous(request, take_back, "invitation_withdrawn")


async def approve(request: web.Request) -> web.StreamResponse:
    """Approve a new receiver, as a receiver of the team or as auditor."""
    panel, session, name = request.app[PANEL], who(request), _account_id(request)
    me = session.account

    def agree(connection: Connection) -> None:
        used = panel.staff.approve(connection, name, me, session.signing)
        known = panel.staff.get(connection, name)
        panel.audit.add(connection, me.name, "receiver_approved", known.name if known else "", ",".join(sorted(used)))

    return await _dangerous(request, agree, "approved")


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove an account with its seals and sessions; nobody removes their own."""
    panel, me, name = request.app[PANEL], who(request).account, _account_id(request)

    def take_away(connection: Connection) -> None:
        known = panel.staff.get(connection, name)
        if name == me.id:
            raise Refused("oneself")
        panel.staff.remove(connection, name)
        panel.audit.add(connection, me.name, "account_removed", known.name if known else "")

    return await _dangerous(request, take_away, "removed")


async def change_roles(request: web.Request) -> web.StreamResponse:
    """Give an account other roles or another team; nobody changes their own."""
    panel, me, name = request.app[PANEL], who(request).account, _account_id(request)
    roles, group = await _fields(request)

    def give(connection: Connection) -> None:
        known = panel.staff.get(connection, name)
        if name == me.id:
            raise Refused("oneself")
        panel.staff.change_roles(connection, name, roles, group)
        panel.audit.add(connection, me.name, "roles_changed", known.name if known else "", ",".join(sorted(roles)))

    return await _dangerous(request, give, "roles_changed")


async def add_team(request: web.Request) -> web.StreamResponse:
    """Make a team for a region."""
    panel, me, form = request.app[PANEL], who(request).account, await form_of(request)

    def make(connection: Connection) -> None:
        number = staff.add_team(connection, form.get("name", ""), form.get("region", "").strip())
        panel.audit.add(connection, me.name, "team_added", str(number))

    return await _dangerous(request, make, "team_added")


async def share(request: web.Request) -> web.StreamResponse:
    """Let another receiver of one's own team open every tip that one can open oneself."""
    panel, session, name = request.app[PANEL], who(request), _account_id(request)
    me = session.account

    def known(connection: Connection) -> Account:
        other = panel.staff.get(connection, name)
        if other is None or not other.receives or other.group_id != me.group_id or other.id == me.id:
            raise Refused("no_account")
        if panel.receivers is not None and panel.receivers.entry(connection, other) is None:
            raise Refused("not_signed")
        if not session.private_key:
            raise Refused("key_elsewhere")
        return other

    if not await confirmed(request):
        return await team(request, fault="wrong_code", status=401)
    count = 0
    after: bytes | None = b""
    try:
        while after is not None:
            begin = after

            def give(connection: Connection, begin: bytes = begin) -> tuple[Granted, str]:
                other = known(connection)
                return regrant(connection, me.id, session.private_key, other, after=begin), other.name

            done, receiver = await panel.store.write(give)
            count, after = count + done.count, done.after
    except Refused as refused:
        return await team(request, fault=refused.reason, status=400)
    await audit(request, "shared", receiver, str(count))
    raise go("/tim", "shared")
