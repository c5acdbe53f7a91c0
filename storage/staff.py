"""Staff: accounts, teams, invitations, sessions, receivers, and what needs a second person.

A receiver is an active account with a reading role in a team: new tips are sealed to it. Making one is the master attack of whoever has the
server, so a new receiver counts only after an existing receiver and an auditor agreed and a day has passed (docs/panel.md).
Methods take the connection of their transaction; Argon2id is never run inside one (but by the command line's `add` and `ensure_first`).
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyotp
from nacl.encoding import RawEncoder
from nacl.hash import blake2b
from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from storage import views
from storage.models import Approval as ApprovalRow
from storage.models import Case, Group, Seal, Staff, StaffSession
from storage.models import Invitation as InvitationRow
from storage.security_keys import SecurityKey, forget_all, keys_of
from storage.vault import (
    Broken,
    Passphrase,
    derive_passphrase,
    keyed,
    new_receiver_key,
    new_signing_key,
    seal,
    unseal,
    wrapped_signing_key,
)

if TYPE_CHECKING:  # the list knows this module
    from storage.receivers import ReceiverList

ROLES = ("reviewer", "verifier", "admin", "auditor", "broadcaster", "approver")
READING = frozenset({"reviewer", "verifier"})
"""Who holds one of these roles is a receiver and reads the tips of their team."""
KEYED = frozenset({"broadcaster", "approver", "admin"})
"""Who holds one of these roles signs in with a security key: a code can be asked for by a false page, and these roles reach everybody."""

WAITING, ACTIVE, REMOVED = "waiting", "active", "removed"
CENTRAL = "Tim pusat"

PASSPHRASE_AT_LEAST, PASSPHRASE_AT_MOST = 15, 200
"""NIST SP 800-63B: 15 characters where a passphrase may stand alone, no rules of composition."""

INVITATION_SECONDS = 48 * 3600
RECEIVER_WAITS_SECONDS = 24 * 3600
APPROVAL_SECONDS = 7 * 24 * 3600
IDLE_SECONDS, SESSION_SECONDS = 20 * 60, 10 * 3600
FRESH_SECONDS = 5 * 60
"""How long a second factor counts as fresh for a dangerous action."""

TOTP_SECONDS = 30
ZONE = ZoneInfo("Asia/Jakarta")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}")
COMMONEST = Path(__file__).with_name("commonest.txt")
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that are not mistaken for one another."""


class Refused(Exception):
    """Something that is not done; `reason` names the sentence that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Team:
    """A team and the region it answers for (empty: the central one)."""

    id: int
    name: str
    region: str


@dataclass(frozen=True, slots=True)
class Account:
    """A staff member as the panel knows them."""

    id: bytes
    name: str
    roles: frozenset[str]
    group_id: int | None
    state: str
    salt: bytes
    verifier: bytes
    public_key: bytes
    private_key: bytes
    totp: bytes
    ready_at: int
    receiver_ok: str
    auditor_ok: str
    since: dt.date
    receiver_sig: bytes = b""
    auditor_sig: bytes = b""
    signing_key: bytes = b""
    signing_private: bytes = b""

    @property
    def powers(self) -> frozenset[str]:
        """The roles that count now: a waiting receiver does not read yet."""
        return self.roles if self.state == ACTIVE else self.roles - READING

    @property
    def receives(self) -> bool:
        """New tips of the team are sealed to this account."""
        return self.state == ACTIVE and bool(self.roles & READING)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a passphrase gives a new account; made outside any transaction, because it takes half a second."""

    staff_id: bytes
    salt: bytes
    verifier: bytes
    public_key: bytes
    wrapped: bytes
    signing_key: bytes
    signing_private: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """A login in one browser, opened with its cookie."""

    id: bytes
    account: Account
    private_key: bytes
    factor: bool
    started: int
    active: int
    factor_at: int
    pending: str
    csrf: str
    signing: bytes = b""
    challenge_key: bytes = b""
    asked: int = 0
    keys: tuple[SecurityKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Invitation:
    """A proposed account."""

    name: str
    roles: frozenset[str]
    group_id: int | None
    by: str
    expires: int


@dataclass(frozen=True, slots=True)
class Approval:
    """Something that waits for a second person, or has their agreement."""

    id: bytes
    kind: str
    subjects: tuple[str, ...]
    asked_by: bytes
    asker: str
    agreed_by: str
    asked_at: int


# --- passphrases and credentials ------------------------------------------------------------------------------------------------


def weakness(name: str, passphrase: str) -> str:
    """Why a passphrase is not taken (a reason of `Refused`), or empty."""
    if len(passphrase) < PASSPHRASE_AT_LEAST:
        return "passphrase_short"
    if len(passphrase) > PASSPHRASE_AT_MOST:
        return "passphrase_long"
    plain = re.sub(r"[\W_]+", "", passphrase.casefold())
    repeated = any(plain == (plain[:size] * len(plain))[: len(plain)] for size in range(1, len(plain) // 2 + 1))
    common = {"", *COMMONEST.read_text("utf-8").split()}
    bare = {plain, re.sub(r"\d+$", "", plain), plain.replace(re.sub(r"\W", "", name.casefold()), "")}
    return "passphrase_common" if len(set(plain)) < 6 or repeated or bare & common else ""


def new_passphrase() -> str:
    """24 random signs in six groups (about 119 bits)."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(6))


def make_credentials(passphrase: str) -> Credentials:
    """Salt, proof and receiver keypair of a new account (blocking: call it in a thread)."""
    staff_id, salt = secrets.token_bytes(16), secrets.token_bytes(16)
    return credentials_for(staff_id, salt, derive_passphrase(passphrase, salt))


def credentials_for(staff_id: bytes, salt: bytes, derived: Passphrase) -> Credentials:
    """The same from a derivation that is there already."""
    key, signing = new_receiver_key(derived, staff_id), new_signing_key(derived, staff_id)
    return Credentials(staff_id, salt, derived.verifier, key.public, key.wrapped, signing.public, signing.wrapped)


# --- the command line and the first start ------------------------------------------------------------------------------------------


def ensure_first(connection: Connection, clock: Callable[[], datetime]) -> tuple[str, str] | None:
    """Make the central team and a first account with every role; its name and passphrase, or None when there are accounts already."""
    if connection.execute(select(Staff.id).limit(1)).first() is not None:
        return None
    passphrase = new_passphrase()
    add(connection, "admin", ROLES, "", passphrase, today=clock().date())
    return "admin", passphrase


def add(
    connection: Connection,
    name: str,
    roles: Collection[str],
    group: str,
    passphrase: str,
    *,
    today: dt.date | None = None,
    ready_at: int = 0,
) -> bytes:
    """Make an account; its id. `group` is a team's name, empty: the central team. With `ready_at` it waits for approval, else it is active.

    Raises `Refused`.
    """
    name = _checked_name(connection, name)
    wanted = _checked_roles(roles)
    if reason := weakness(name, passphrase):
        raise Refused(reason)
    team = _central(connection) if not group else connection.execute(select(Group.id).where(Group.name == group)).scalar()
    if team is None:
        raise Refused("no_group")
    made = make_credentials(passphrase)
    _insert(connection, name, wanted, team, WAITING if ready_at else ACTIVE, made, today or datetime.now(ZONE).date(), ready_at)
    return made.staff_id


def listed(connection: Connection) -> list[Account]:
    """All accounts, removed ones last."""
    found = [_account(row) for row in connection.execute(select(Staff)).mappings()]
    return sorted(found, key=lambda account: (account.state == REMOVED, account.name))


def receivers(connection: Connection) -> list[Account]:
    """The accounts to which new tips are sealed."""
    return [account for account in listed(connection) if account.receives]


def teams(connection: Connection) -> list[Team]:
    """All teams, the central one first."""
    query = select(Group.id, Group.name, Group.region).order_by(Group.region, Group.id)
    return [Team(row.id, row.name, row.region) for row in connection.execute(query)]


def add_team(connection: Connection, name: str, region: str) -> int:
    """Make a team for a region; raises `Refused`."""
    name = " ".join(name.split())[:120]
    if len(name) < 3 or not re.fullmatch(r"(\d\d(\.\d\d(\.\d\d)?)?)?", region):
        raise Refused("team_form")
    if connection.execute(select(Group.id).where(Group.name == name)).first() is not None:
        raise Refused("team_taken")
    return int(connection.execute(insert(Group).values(name=name, region=region).returning(Group.id)).scalar_one())


class Accounts:
    """Logins, invitations, approvals and removals, as the panel does them; the signed list of receivers follows each change."""

    def __init__(
        self, panel_key: bytes, clock: Callable[[], datetime], *, practice: bool = False, receivers: ReceiverList | None = None
    ) -> None:
        self._key, self.clock, self.practice = keyed(panel_key, b"accounts", b""), clock, practice
        self.receivers = receivers

    def now(self) -> int:
        """Unix time, in seconds."""
        return int(self.clock().timestamp())

    # --- accounts -----------------------------------------------------------------------------------------------------------------

    def find(self, connection: Connection, name: str) -> Account | None:
        """The account with this login name that may log in."""
        query = select(Staff).where(Staff.name == name.strip().casefold(), Staff.state.in_((ACTIVE, WAITING)))
        row = connection.execute(query).mappings().first()
        return None if row is None else _account(row)

    def get(self, connection: Connection, staff_id: bytes) -> Account | None:
        """The account with this id."""
        row = connection.execute(select(Staff).where(Staff.id == staff_id)).mappings().first()
        return None if row is None else _account(row)

    def needs_key(self, account: Account) -> bool:
        """Whether this account's second factor has to be a security key."""
        return not self.practice and bool(account.roles & KEYED)

    def ensure_first(self, connection: Connection) -> tuple[str, str] | None:
        """`ensure_first`, with the first account in the signed list."""
        made = ensure_first(connection, self.clock)
        if made is not None and self.receivers is not None:
            account = self.find(connection, made[0])
            self.receivers.renew(connection, founding=frozenset({account.id} if account else ()))
        return made

    def add(self, connection: Connection, name: str, roles: Collection[str], group: str, passphrase: str) -> Account:
        """Make an account, as the operator at the machine may. Raises `Refused`.

        It counts at once while the installation is founded; afterwards somebody who would read tips waits, as with an invitation.
        """
        known = self.receivers
        founding = known is None or known.founding(connection) or (self.practice and not known.read(connection).fault)
        waits = bool(frozenset(roles) & READING) and not founding
        ready_at = self._ready_at() if waits else 0
        staff_id = add(connection, name, roles, group, passphrase, today=self.clock().date(), ready_at=ready_at)
        self._renew(connection, founding=frozenset({staff_id}) if founding else frozenset(), auditors=frozenset({staff_id}))
        return self._standing(connection, staff_id)

    def reset_factor(self, connection: Connection, staff_id: bytes) -> int:
        """Forget the second factors of an account whose owner lost them; its sessions end. How many security keys there were."""
        account = self._standing(connection, staff_id)
        connection.execute(update(Staff).where(Staff.id == account.id).values(totp=b"", totp_step=0))
        self.end_sessions(connection, account.id)
        return forget_all(connection, account.id)

    def _renew(self, connection: Connection, founding: frozenset[bytes] = frozenset(), auditors: frozenset[bytes] = frozenset()) -> None:
        if self.receivers is not None:
            self.receivers.renew(connection, founding=founding, auditors=auditors)

    def _take_back(self, connection: Connection, name: str) -> None:
        """What somebody approved who may not approve any more has to be approved anew."""
        for by, signature in ((Staff.receiver_ok, Staff.receiver_sig), (Staff.auditor_ok, Staff.auditor_sig)):
            given = and_(Staff.state == WAITING, by == name)
            connection.execute(update(Staff).where(given).values({by: "", signature: b""}))

    def change_passphrase(self, connection: Connection, session: Session, salt: bytes, derived: Passphrase) -> None:
        """Wrap the receiver's key under another passphrase and end all other sessions; the keypair stays."""
        account = session.account
        place = b"staff.private_key" + account.id + account.public_key
        wrapped = seal(derived.wrap, b"r", place, session.private_key, pad=64) if session.private_key else b""
        signing = wrapped_signing_key(derived, account.id, account.signing_key, session.signing) if session.signing else b""
        values = {"salt": salt, "verifier": derived.verifier, "private_key": wrapped, "signing_private": signing}
        connection.execute(update(Staff).where(Staff.id == account.id).values(**values))
        self.end_sessions(connection, account.id, keep=session.id)

    def change_roles(self, connection: Connection, staff_id: bytes, roles: Collection[str], group_id: int | None) -> None:
        """Give an account other roles or another team; who becomes a receiver by it has to be approved. Raises `Refused`."""
        account, wanted = self._standing(connection, staff_id), _checked_roles(roles)
        if wanted & READING and group_id is None:
            raise Refused("no_group")
        moved = group_id != account.group_id
        if account.receives and (moved or not wanted & READING):
            self._not_the_last(connection, account)
        values: dict[str, Any] = {"roles": ",".join(sorted(wanted)), "group_id": group_id}
        if not wanted & READING:
            values |= {"state": ACTIVE}
        elif moved or not account.receives:
            values |= {"state": WAITING, "ready_at": self._ready_at(), "receiver_ok": "", "auditor_ok": ""}
            values |= {"receiver_sig": b"", "auditor_sig": b""}
        if moved or not wanted & READING:
            self._close_to(connection, staff_id)
        connection.execute(update(Staff).where(Staff.id == staff_id).values(**values))
        self.end_sessions(connection, staff_id)
        self._take_back(connection, account.name)
        self._renew(connection, auditors=frozenset({staff_id}))

    def remove(self, connection: Connection, staff_id: bytes) -> None:
        """Take an account away: its seals, claims and sessions go at once. Raises `Refused`."""
        account = self._standing(connection, staff_id)
        if account.receives:
            self._not_the_last(connection, account)
        self._close_to(connection, staff_id)
        self.end_sessions(connection, staff_id)
        connection.execute(delete(ApprovalRow).where(ApprovalRow.asked_by == staff_id))
        connection.execute(
            update(Staff)
            .where(Staff.id == staff_id)
            .values(
                state=REMOVED,
                roles="",
                salt=b"",
                verifier=b"",
                private_key=b"",
                signing_private=b"",
                totp=b"",
                receiver_ok="",
                auditor_ok="",
                receiver_sig=b"",
                auditor_sig=b"",
            )
        )
        forget_all(connection, staff_id)
        views.forget(connection, staff_id)
        self._take_back(connection, account.name)
        self._renew(connection)

    def _standing(self, connection: Connection, staff_id: bytes) -> Account:
        account = self.get(connection, staff_id)
        if account is None or account.state == REMOVED:
            raise Refused("no_account")
        return account

    def _not_the_last(self, connection: Connection, account: Account) -> None:
        in_team = [other for other in receivers(connection) if other.group_id == account.group_id]
        if len(in_team) <= 2 and not self.practice:
            raise Refused("last_receivers")

    def _close_to(self, connection: Connection, staff_id: bytes) -> None:
        connection.execute(delete(Seal).where(Seal.staff_id == staff_id))
        connection.execute(update(Case).where(Case.claimed_by == staff_id).values(claimed_by=None))

    # --- invitations and new receivers ----------------------------------------------------------------------------------------------

    def invite(self, connection: Connection, by: str, name: str, roles: Collection[str], group_id: int | None) -> str:
        """Propose an account: the token of its one-time link, which stands nowhere else. Raises `Refused`."""
        connection.execute(delete(InvitationRow).where(InvitationRow.expires <= self.now()))
        name, wanted = _checked_name(connection, name), _checked_roles(roles)
        if connection.execute(select(InvitationRow.id).where(InvitationRow.name == name)).first() is not None:
            raise Refused("name_taken")
        if wanted & READING and group_id is None:
            raise Refused("no_group")
        if group_id is not None and connection.execute(select(Group.id).where(Group.id == group_id)).first() is None:
            raise Refused("no_group")
        token = secrets.token_urlsafe(32)
        connection.execute(
            insert(InvitationRow).values(
                id=_hash(token.encode()),
                name=name,
                roles=",".join(sorted(wanted)),
                group_id=group_id,
                by=by,
                expires=self.now() + INVITATION_SECONDS,
            )
        )
        return token

    def invitation(self, connection: Connection, token: str) -> Invitation | None:
        """The invitation of a link, while it lives."""
        query = select(InvitationRow).where(InvitationRow.id == _hash(token.encode()), InvitationRow.expires > self.now())
        row = connection.execute(query).mappings().first()
        return None if row is None else _invitation(row)

    def invitations(self, connection: Connection) -> list[Invitation]:
        """The invitations that nobody has opened yet."""
        query = select(InvitationRow).where(InvitationRow.expires > self.now()).order_by(InvitationRow.name)
        return [_invitation(row) for row in connection.execute(query).mappings()]

    def withdraw_invitation(self, connection: Connection, name: str) -> bool:
        """Make an invitation's link useless."""
        return connection.execute(delete(InvitationRow).where(InvitationRow.name == name)).rowcount == 1

    def accept(self, connection: Connection, token: str, made: Credentials) -> Account:
        """Make the invited account and use the link up. A receiver waits for approval; others may begin. Raises `Refused`."""
        invitation = self.invitation(connection, token)
        if invitation is None:
            raise Refused("invitation_dead")
        _checked_name(connection, invitation.name)
        connection.execute(delete(InvitationRow).where(InvitationRow.id == _hash(token.encode())))
        reads = bool(invitation.roles & READING)
        _insert(
            connection,
            invitation.name,
            invitation.roles,
            invitation.group_id,
            WAITING if reads else ACTIVE,
            made,
            self.clock().date(),
            ready_at=self._ready_at() if reads else 0,
        )
        self._renew(connection, auditors=frozenset({made.staff_id}))
        return self._standing(connection, made.staff_id)

    def _ready_at(self) -> int:
        return self.now() + (0 if self.practice else RECEIVER_WAITS_SECONDS)

    def may_approve(self, connection: Connection, account: Account, by: Account) -> frozenset[str]:
        """In which capacities `by` may approve a waiting receiver now: receiver, auditor, or neither."""
        if account.state != WAITING or account.id == by.id or by.state != ACTIVE:
            return frozenset()
        found = set()
        team = [other for other in receivers(connection) if other.group_id == account.group_id]
        if not account.receiver_ok and by.receives and (by.group_id == account.group_id or not team):
            found.add("receiver")
        if not account.auditor_ok and "auditor" in by.roles:
            found.add("auditor")
        if not self.practice and by.name in (account.receiver_ok, account.auditor_ok):
            return frozenset()
        return frozenset(found)

    def approve(self, connection: Connection, staff_id: bytes, by: Account, signing: bytes = b"") -> frozenset[str]:
        """Approve a waiting receiver, in one capacity (in practice mode in every one that fits). Raises `Refused`.

        `signing` is the private half of the approver's signing key: the new entry of the signed list carries the signature.
        """
        account = self._standing(connection, staff_id)
        capacities = self.may_approve(connection, account, by)
        if not capacities:
            raise Refused("not_yours_to_approve")
        used = capacities if self.practice else frozenset(sorted(capacities, reverse=True)[:1])
        for capacity in used:
            signature = self.receivers.approval(connection, account, capacity, by, signing) if self.receivers is not None else b""
            values = {f"{capacity}_ok": by.name, f"{capacity}_sig": signature}
            connection.execute(update(Staff).where(Staff.id == staff_id).values(**values))
        self.settle(connection)
        return used

    def settle(self, connection: Connection) -> list[str]:
        """Let waiting receivers count who have both approvals and whose day has passed; their names."""
        due = and_(Staff.state == WAITING, Staff.ready_at <= self.now(), Staff.receiver_ok != "", Staff.auditor_ok != "")
        names = list(connection.execute(select(Staff.name).where(due)).scalars())
        if names:
            connection.execute(update(Staff).where(due).values(state=ACTIVE))
            self._renew(connection)
        return names

    def waiting(self, connection: Connection) -> list[Account]:
        """The receivers who do not count yet: shown to everyone."""
        return [account for account in listed(connection) if account.state == WAITING]

    # --- sessions --------------------------------------------------------------------------------------------------------------------

    def begin(self, connection: Connection, staff_id: bytes, private_key: bytes, *, factor: bool, signing: bytes = b"") -> str:
        """Start a session; its cookie. The first half finds it, the second opens the receiver's key in it."""
        now = self.now()
        over = or_(StaffSession.started <= now - SESSION_SECONDS, StaffSession.active <= now - IDLE_SECONDS)
        connection.execute(delete(StaffSession).where(over))
        first, second = secrets.token_bytes(32), secrets.token_bytes(32)
        name = _hash(first)
        connection.execute(
            insert(StaffSession).values(
                id=name,
                staff_id=staff_id,
                private_key=seal(second, b"s", b"staff_session.private_key" + name, private_key, pad=64),
                signing_private=seal(second, b"s", b"staff_session.signing_private" + name, signing, pad=64),
                factor=factor,
                started=now,
                active=now,
                factor_at=now if factor else 0,
                pending=b"",
            )
        )
        return base64.urlsafe_b64encode(first + second).decode().rstrip("=")

    def session(self, connection: Connection, cookie: str) -> Session | None:
        """The session of a cookie, while it lives and its account stands."""
        try:
            halves = base64.b64decode(cookie.encode("ascii") + b"==", altchars=b"-_", validate=True)
        except (ValueError, UnicodeEncodeError):
            return None
        if len(halves) != 64:
            return None
        first, second = halves[:32], halves[32:]
        row = connection.execute(select(StaffSession).where(StaffSession.id == _hash(first))).mappings().first()
        now = self.now()
        if row is None or row["started"] <= now - SESSION_SECONDS or row["active"] <= now - IDLE_SECONDS:
            return None
        account = self.get(connection, row["staff_id"])
        if account is None or account.state == REMOVED:
            return None
        try:
            private_key = unseal(second, b"s", b"staff_session.private_key" + row["id"], row["private_key"])
            signing = unseal(second, b"s", b"staff_session.signing_private" + row["id"], row["signing_private"])
        except Broken:
            return None
        pending = self._unwrapped(b"staff_session.pending" + row["id"], row["pending"]) if row["pending"] else ""
        csrf = keyed(second, b"csrf", b"").hex()
        return Session(
            row["id"],
            account,
            private_key,
            row["factor"],
            row["started"],
            row["active"],
            row["factor_at"],
            pending,
            csrf,
            signing,
            keyed(second, b"challenge", b""),
            row["asked"],
            keys_of(connection, account.id),
        )

    def touch(self, connection: Connection, session_id: bytes) -> None:
        """The session was used just now."""
        connection.execute(update(StaffSession).where(StaffSession.id == session_id).values(active=self.now()))

    def raise_session(self, connection: Connection, session: Session) -> str:
        """Replace a session that has given its second factor by a new one; its cookie."""
        connection.execute(delete(StaffSession).where(StaffSession.id == session.id))
        return self.begin(connection, session.account.id, session.private_key, factor=True, signing=session.signing)

    def refresh_factor(self, connection: Connection, session_id: bytes) -> None:
        """The second factor was given again just now."""
        connection.execute(update(StaffSession).where(StaffSession.id == session_id).values(factor_at=self.now()))

    def sessions(self, connection: Connection, staff_id: bytes) -> list[tuple[bytes, int, int]]:
        """Id, start and last use of the live sessions of an account, newest first."""
        now = self.now()
        query = select(StaffSession.id, StaffSession.started, StaffSession.active).where(
            StaffSession.staff_id == staff_id, StaffSession.started > now - SESSION_SECONDS, StaffSession.active > now - IDLE_SECONDS
        )
        return [(row.id, row.started, row.active) for row in connection.execute(query.order_by(StaffSession.started.desc()))]

    def end(self, connection: Connection, staff_id: bytes, session_id: bytes) -> bool:
        """End one session of an account."""
        mine = and_(StaffSession.id == session_id, StaffSession.staff_id == staff_id)
        return connection.execute(delete(StaffSession).where(mine)).rowcount == 1

    def end_sessions(self, connection: Connection, staff_id: bytes, keep: bytes = b"") -> None:
        """End all sessions of an account but one."""
        connection.execute(delete(StaffSession).where(StaffSession.staff_id == staff_id, StaffSession.id != keep))

    # --- second factor ---------------------------------------------------------------------------------------------------------------

    def propose_totp(self, connection: Connection, session: Session) -> str:
        """A new TOTP secret for this session's account; it counts once a code of it was given."""
        secret = pyotp.random_base32()
        place = b"staff_session.pending" + session.id
        sealed = seal(self._key, b"t", place, secret.encode(), pad=64)
        connection.execute(update(StaffSession).where(StaffSession.id == session.id).values(pending=sealed))
        return secret

    def confirm_totp(self, connection: Connection, session: Session, code: str) -> bool:
        """Take the proposed secret when the code fits it; all other sessions of the account end."""
        step = self._step_of(session.pending, code) if session.pending else None
        if step is None:
            return False
        sealed = seal(self._key, b"t", b"staff.totp" + session.account.id, session.pending.encode(), pad=64)
        connection.execute(update(Staff).where(Staff.id == session.account.id).values(totp=sealed, totp_step=step))
        connection.execute(update(StaffSession).where(StaffSession.id == session.id).values(pending=b"", factor_at=self.now()))
        self.end_sessions(connection, session.account.id, keep=session.id)
        return True

    def take_code(self, connection: Connection, account: Account, code: str) -> bool:
        """Whether a TOTP code is right; its time step is used up, so that no code counts twice, however it is written."""
        secret = self._unwrapped(b"staff.totp" + account.id, account.totp)
        step = self._step_of(secret, code)
        if step is None:
            return False
        unused = and_(Staff.id == account.id, Staff.totp_step < step)
        return connection.execute(update(Staff).where(unused).values(totp_step=step)).rowcount == 1

    def _step_of(self, secret: str, code: str) -> int | None:
        """The time step a code belongs to: this one, or a neighbour (clocks differ)."""
        digits = "".join(code.split())
        if not re.fullmatch(r"[0-9]{6}", digits):
            return None
        now, totp = self.now() // TOTP_SECONDS, pyotp.TOTP(secret)
        fits = [step for step in (now - 1, now, now + 1) if hmac.compare_digest(totp.generate_otp(step), digits)]
        return max(fits) if fits else None

    def _unwrapped(self, place: bytes, sealed: bytes) -> str:
        return unseal(self._key, b"t", place, sealed).decode()

    # --- a second person -----------------------------------------------------------------------------------------------------------------

    def ask_approval(self, connection: Connection, kind: str, subjects: Sequence[str], by: Account) -> bytes:
        """Ask for a second person's agreement."""
        connection.execute(delete(ApprovalRow).where(ApprovalRow.asked_at <= self.now() - APPROVAL_SECONDS))
        name = secrets.token_bytes(16)
        connection.execute(
            insert(ApprovalRow).values(id=name, kind=kind, subjects=",".join(subjects), asked_by=by.id, agreed_by="", asked_at=self.now())
        )
        return name

    def approvals(self, connection: Connection) -> list[Approval]:
        """What was asked for and is not used up, newest first."""
        query = select(ApprovalRow, Staff.name.label("asker")).join(Staff, Staff.id == ApprovalRow.asked_by)
        query = query.where(ApprovalRow.asked_at > self.now() - APPROVAL_SECONDS).order_by(ApprovalRow.asked_at.desc())
        return [
            Approval(
                row["id"], row["kind"], tuple(row["subjects"].split(",")), row["asked_by"], row["asker"], row["agreed_by"], row["asked_at"]
            )
            for row in connection.execute(query).mappings()
        ]

    def agree(self, connection: Connection, approval: bytes, by: Account) -> None:
        """Agree to what somebody else asked for; nobody agrees to their own. Raises `Refused`."""
        open_one = and_(ApprovalRow.id == approval, ApprovalRow.agreed_by == "", ApprovalRow.asked_by != by.id)
        if connection.execute(update(ApprovalRow).where(open_one).values(agreed_by=by.name)).rowcount != 1:
            raise Refused("not_yours_to_approve")

    def use_approval(self, connection: Connection, approval: bytes, by: Account) -> Approval:
        """Use up an agreement for what `by` asked. Raises `Refused` when there is none."""
        found = next((known for known in self.approvals(connection) if known.id == approval and known.asked_by == by.id), None)
        if found is None or not found.agreed_by:
            raise Refused("not_approved")
        connection.execute(delete(ApprovalRow).where(ApprovalRow.id == approval))
        return found


# --- inside --------------------------------------------------------------------------------------------------------------------------


def _hash(value: bytes) -> bytes:
    return blake2b(value, digest_size=32, person=b"netra staff", encoder=RawEncoder)


def _account(row: Any) -> Account:
    return Account(
        row["id"],
        row["name"],
        frozenset(filter(None, row["roles"].split(","))),
        row["group_id"],
        row["state"],
        row["salt"],
        row["verifier"],
        row["public_key"],
        row["private_key"],
        row["totp"],
        row["ready_at"],
        row["receiver_ok"],
        row["auditor_ok"],
        row["since"],
        row["receiver_sig"],
        row["auditor_sig"],
        row["signing_key"],
        row["signing_private"],
    )


def _invitation(row: Any) -> Invitation:
    return Invitation(row["name"], frozenset(row["roles"].split(",")), row["group_id"], row["by"], row["expires"])


def _checked_name(connection: Connection, name: str) -> str:
    name = name.strip().casefold()
    if not NAME.fullmatch(name):
        raise Refused("name_form")
    if connection.execute(select(Staff.id).where(Staff.name == name)).first() is not None:
        raise Refused("name_taken")
    return name


def _checked_roles(roles: Collection[str]) -> frozenset[str]:
    wanted = frozenset(roles)
    if not wanted or wanted - set(ROLES):
        raise Refused("roles")
    return wanted


def _central(connection: Connection) -> int:
    team = connection.execute(select(func.min(Group.id)).where(Group.region == "")).scalar()
    return int(team) if team is not None else add_team(connection, CENTRAL, "")


def _insert(
    connection: Connection,
    name: str,
    roles: Collection[str],
    group_id: int | None,
    state: str,
    made: Credentials,
    today: dt.date,
    ready_at: int = 0,
) -> None:
    connection.execute(
        insert(Staff).values(
            id=made.staff_id,
            name=name,
            roles=",".join(sorted(roles)),
            group_id=group_id,
            state=state,
            salt=made.salt,
            verifier=made.verifier,
            public_key=made.public_key,
            private_key=made.wrapped,
            signing_key=made.signing_key,
            signing_private=made.signing_private,
            totp=b"",
            totp_step=0,
            ready_at=ready_at,
            receiver_ok="",
            auditor_ok="",
            since=today,
        )
    )
