"""The signed list of receivers: a tip is sealed to nobody who does not stand in it.

Whoever can write into the database could make a reader of their own by a row in `staff`; that row is not in the list, and gets nothing.
The installation signs the list with a key of the keys folder; an entry that was added after the founding day carries the signatures of
a receiver and of an auditor, made with keys that only their passphrases open (docs/vault.md, "The list of receivers").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from sqlalchemy import Connection, delete, insert, select

from storage.audit import SYSTEM, AuditLog
from storage.models import SignedReceivers
from storage.staff import ACTIVE, Account, Refused, listed
from storage.vault import keyed

FORMAT = "netra-receivers-1"
FOUNDING_SECONDS = 24 * 3600
"""How long after the first entry the operator adds receivers without two approvals: nobody is there yet who could approve."""

CAPACITIES = ("receiver", "auditor")
MISSING, FORGED = "missing", "forged"


@dataclass(frozen=True, slots=True)
class Listed:
    """A receiver in the list, and who approved them (nobody: they were there at the founding)."""

    id: bytes
    name: str
    public_key: bytes
    signing_key: bytes
    group_id: int
    approved_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """The list as it was read: `fault` says why nobody in it counts (missing or forged), or is empty."""

    fault: str = ""
    version: int = 0
    founded: int = 0
    receivers: Mapping[bytes, Listed] = field(default_factory=dict)
    auditors: Mapping[bytes, tuple[str, bytes]] = field(default_factory=dict)
    entries: Mapping[bytes, Mapping[str, Any]] = field(default_factory=dict)
    digest: str = ""

    def counts(self, staff_id: bytes, public_key: bytes, group_id: int | None) -> bool:
        """Whether the list has this receiver with this key in this team."""
        entry = self.receivers.get(staff_id)
        return entry is not None and (entry.public_key, entry.group_id) == (public_key, group_id)


class ReceiverList:
    """Reads, checks and renews the list; every method takes the connection of its transaction."""

    def __init__(
        self, installation_key: bytes, clock: Callable[[], datetime], *, practice: bool = False, audit: AuditLog | None = None
    ) -> None:
        self._key, self.clock, self.practice, self.audit = SigningKey(keyed(installation_key, b"receivers", b"")), clock, practice, audit
        self._read: tuple[tuple[str, bytes], Listing] | None = None

    @property
    def public_key(self) -> bytes:
        """The key by which anybody can check the list."""
        return bytes(self._key.verify_key)

    def read(self, connection: Connection) -> Listing:
        """The list, checked: once for each state of it, because every tip asks."""
        row = connection.execute(select(SignedReceivers.body, SignedReceivers.signature)).first()
        if row is None:
            return Listing(MISSING)
        known = self._read
        if known is None or known[0] != (row.body, row.signature):
            known = self._read = ((row.body, row.signature), self._checked(row.body, row.signature))
        return known[1]

    def entry(self, connection: Connection, account: Account) -> Listed | None:
        """The entry of an account, when it has its key and its team."""
        found = self.read(connection)
        return found.receivers[account.id] if found.counts(account.id, account.public_key, account.group_id) else None

    def strangers(self, connection: Connection) -> list[str]:
        """Accounts that read by their row and are not in the list: nothing is sealed to them, and everybody is told."""
        found = self.read(connection)
        return [
            account.name
            for account in listed(connection)
            if account.receives and not found.counts(account.id, account.public_key, account.group_id)
        ]

    def fault(self, connection: Connection) -> str:
        """What is wrong with the list as a whole: missing or forged; empty while there is nobody to list, or nothing is wrong."""
        found = self.read(connection)
        return found.fault if found.fault and any(account.receives for account in listed(connection)) else ""

    def founding(self, connection: Connection) -> bool:
        """Whether the operator may still add receivers alone: on the founding day, and while there is nobody to approve them."""
        found = self.read(connection)
        if found.fault:
            return found.fault == MISSING and not any(account.receives for account in listed(connection))
        return not found.receivers or self._now() - found.founded < FOUNDING_SECONDS

    def approval(self, connection: Connection, account: Account, capacity: str, by: Account, signing: bytes) -> bytes:
        """The signature of `by` under a new entry; raises `Refused` for a signer who does not stand in the list with this key."""
        known = self._signers(self.read(connection))[capacity].get(by.name)
        if not signing or known is None or bytes(SigningKey(signing).verify_key) != known:
            raise Refused("not_yours_to_approve")
        return SigningKey(signing).sign(_statement(_row(account), capacity)).signature

    @staticmethod
    def _signers(listing: Listing) -> Mapping[str, Mapping[str, bytes]]:
        """Who may sign in which capacity, by name, with their keys."""
        receivers = {entry.name: entry.signing_key for entry in listing.receivers.values()}
        return {"receiver": receivers, "auditor": dict(listing.auditors.values())}

    def renew(
        self, connection: Connection, *, founding: frozenset[bytes] = frozenset(), auditors: frozenset[bytes] = frozenset()
    ) -> Listing:
        """Sign the list as it should be now: who was in it and still reads, who is approved, and `founding` for the operator's sake.

        Of new auditors it takes `auditors`, which somebody of the staff or the operator has just made such. A list that is missing or
        forged is not renewed but by naming whom to found it with.
        """
        before = self.read(connection)
        if before.fault and not founding:
            return before
        accounts = [account for account in listed(connection) if account.state == ACTIVE]
        entries = [
            entry
            for account in accounts
            if account.receives and (entry := self._entry(account, before, founded=account.id in founding)) is not None
        ]
        checking = [
            {"id": account.id.hex(), "name": account.name, "signing": account.signing_key.hex()}
            for account in accounts
            if "auditor" in account.roles
            and (account.id in founding | auditors or before.auditors.get(account.id) == (account.name, account.signing_key))
        ]
        founded = before.founded or self._now()
        content = {"founded": founded, "receivers": entries, "auditors": checking}
        if not before.fault and content == {
            "founded": before.founded,
            "receivers": list(before.entries.values()),
            "auditors": [{"id": name.hex(), "name": shown, "signing": key.hex()} for name, (shown, key) in before.auditors.items()],
        }:
            return before
        body = json.dumps({"format": FORMAT, "version": before.version + 1, **content}, sort_keys=True)
        connection.execute(delete(SignedReceivers))
        connection.execute(insert(SignedReceivers).values(id=1, body=body, signature=self._key.sign(body.encode()).signature))
        if self.audit is not None:
            self.audit.add(connection, SYSTEM, "receivers_signed", str(before.version + 1), _digest(body))
        return self.read(connection)

    def state(self, connection: Connection) -> str:
        """ "ok", or what an operator has to look at, in a few words."""
        if fault := self.fault(connection):
            return f"the signed list is {fault}: no tip is taken; look at `netra receivers sign`"
        if strangers := self.strangers(connection):
            return f"not in the signed list, and nothing is sealed to them: {', '.join(strangers)}"
        if not self.read(connection).fault and not self.on_record(connection):
            return "the list is not the one in the audit log: an older one was put back"
        return "ok"

    def refound(self, connection: Connection) -> Listing:
        """Make the list anew out of the accounts as they stand, as only the operator may who has looked at each of them."""
        connection.execute(delete(SignedReceivers))
        return self.renew(connection, founding=frozenset(account.id for account in listed(connection)))

    def on_record(self, connection: Connection) -> bool:
        """Whether the list is the last one that the audit log has: an older one that was put back is not."""
        found = self.read(connection)
        if self.audit is None or found.fault:
            return not found.fault
        acts = self.audit.acts(connection, action="receivers_signed", limit=1)
        return not acts or (acts[0].subject, acts[0].detail) == (str(found.version), found.digest)

    def _entry(self, account: Account, before: Listing, *, founded: bool) -> Mapping[str, Any] | None:
        """The entry of an account that reads: the one it had, a founding one, or one that two people approved; else None."""
        row = _row(account)
        old = before.entries.get(account.id)
        if old is not None and all(old[name] == row[name] for name in ("id", "key", "signing", "group")):
            return {**old, "name": account.name}
        if founded:
            return {**row, "ready": 0, "approvals": []}
        if account.ready_at > self._now():
            return None
        signers = self._signers(before)
        given = {"receiver": (account.receiver_ok, account.receiver_sig), "auditor": (account.auditor_ok, account.auditor_sig)}
        approvals = [
            {"as": capacity, "by": by, "key": signers[capacity][by].hex(), "signature": signature.hex()}
            for capacity, (by, signature) in given.items()
            if by in signers[capacity]
        ]
        entry = {**row, "approvals": approvals}
        return entry if self._approved(entry) else None

    def _approved(self, entry: Mapping[str, Any]) -> bool:
        """Whether a receiver and an auditor, two people, signed an entry (in practice mode one person may be both)."""
        approvals = {one["as"]: one for one in entry["approvals"]}
        if set(approvals) != set(CAPACITIES) or (len({one["by"] for one in approvals.values()}) < 2 and not self.practice):
            return False
        return all(
            _signed(bytes.fromhex(one["key"]), _statement(entry, capacity), bytes.fromhex(one["signature"]))
            for capacity, one in approvals.items()
        )

    def _checked(self, body: str, signature: bytes) -> Listing:
        if not _signed(self.public_key, body.encode(), signature):
            return Listing(FORGED)
        content = json.loads(body)
        standing = [entry for entry in content["receivers"] if not entry["approvals"] or self._approved(entry)]
        receivers = {
            bytes.fromhex(entry["id"]): Listed(
                bytes.fromhex(entry["id"]),
                entry["name"],
                bytes.fromhex(entry["key"]),
                bytes.fromhex(entry["signing"]),
                entry["group"],
                tuple(one["by"] for one in entry["approvals"]),
            )
            for entry in standing
        }
        auditors = {bytes.fromhex(one["id"]): (one["name"], bytes.fromhex(one["signing"])) for one in content["auditors"]}
        entries = {bytes.fromhex(entry["id"]): entry for entry in standing}
        return Listing("", content["version"], content["founded"], receivers, auditors, entries, _digest(body))

    def _now(self) -> int:
        return int(self.clock().timestamp())


def _row(account: Account) -> dict[str, Any]:
    """What an entry says of an account."""
    return {
        "id": account.id.hex(),
        "name": account.name,
        "key": account.public_key.hex(),
        "signing": account.signing_key.hex(),
        "group": account.group_id,
        "ready": account.ready_at,
    }


def _statement(entry: Mapping[str, Any], capacity: str) -> bytes:
    """What an approver signs: this person with these keys, in this team, not before this time. The name may change, the keys may not."""
    words = [FORMAT, capacity, *(entry[name] for name in ("id", "key", "signing", "group", "ready"))]
    return json.dumps(words).encode()


def _signed(public_key: bytes, words: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(public_key).verify(words, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def _digest(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
