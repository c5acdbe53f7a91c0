"""The audit log: every step of a staff member is a row chained to the one before; each day's end is signed.

A changed, removed or inserted row breaks the chain. A cut tail is found by a signed head: those in the table, and those that were
printed or published, which nobody who holds the server can take back. Rows name acts and random ids, never content.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from nacl.encoding import RawEncoder
from nacl.exceptions import BadSignatureError
from nacl.hash import blake2b
from nacl.signing import SigningKey, VerifyKey
from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from storage.models import Audit as Row
from storage.models import AuditHead
from storage.store import Retry

START = bytes(32)
"""The link before the first row."""

SYSTEM = "system"
HEAD = "netra-audit"


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the log."""

    id: int
    day: dt.date
    actor: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Head:
    """The signed end of the chain on one day; `text` is what is printed and published."""

    day: dt.date
    entry: int
    link: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """One line that can be kept outside."""
        return f"{HEAD} {self.day.isoformat()} {self.entry} {self.link.hex()} {self.signature.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head in a printed line; raises `ValueError`."""
        parts = text.split()
        if len(parts) != 5 or parts[0] != HEAD:
            raise ValueError("this is not a line of an audit head")
        return cls(dt.date.fromisoformat(parts[1]), int(parts[2]), bytes.fromhex(parts[3]), bytes.fromhex(parts[4]))


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a check: `fault` is empty, or one word that says what is wrong at row `at`."""

    rows: int
    heads: int
    fault: str = ""
    at: int = 0

    @property
    def whole(self) -> bool:
        """Nothing was changed, removed or cut."""
        return not self.fault


class AuditLog:
    """Appends to the log and checks it; every method takes the connection of its transaction."""

    def __init__(self, signing_key: bytes, clock: Callable[[], datetime]) -> None:
        self._key, self.clock = SigningKey(signing_key), clock

    @property
    def public_key(self) -> bytes:
        """The key by which anybody can check a head."""
        return bytes(self._key.verify_key)

    def add(self, connection: Connection, actor: str, action: str, subject: str = "", detail: str = "") -> None:
        """Append one act. The first act of a new day signs the end of the day before."""
        today = self.clock().date()
        last = connection.execute(select(Row.id, Row.day, Row.link).order_by(Row.id.desc()).limit(1)).first()
        if last is not None and last.day < today:
            self._sign(connection, last.day, last.id, last.link)
        act = Act(last.id + 1 if last else 1, today, actor[:80], action[:40], subject[:120], detail)
        link = _link(last.link if last else START, act)
        try:
            connection.execute(insert(Row).values(**asdict(act), link=link))
        except IntegrityError as error:  # another process appended first
            raise Retry from error

    def head(self, connection: Connection) -> Head | None:
        """Sign the present end of the chain; None while the log is empty."""
        last = connection.execute(select(Row.id, Row.link).order_by(Row.id.desc()).limit(1)).first()
        return None if last is None else self._sign(connection, self.clock().date(), last.id, last.link)

    def heads(self, connection: Connection) -> list[Head]:
        """The signed heads, newest first."""
        rows = connection.execute(select(AuditHead).order_by(AuditHead.day.desc())).mappings()
        return [Head(row["day"], row["entry"], row["link"], row["signature"]) for row in rows]

    def verify(self, connection: Connection, published: Sequence[Head] = ()) -> Verified:
        """Walk the whole chain and compare it with every signed head, those in the table and those kept outside."""
        heads = {(head.entry, head.link): head for head in (*self.heads(connection), *published)}
        for head in heads.values():
            if not self._signed(head):
                return Verified(0, len(heads), "signature", head.entry)
        expected: dict[int, bytes] = {}
        for head in heads.values():
            if expected.setdefault(head.entry, head.link) != head.link:
                return Verified(0, len(heads), "head", head.entry)
        rows, link, place = 0, START, 0
        for row in connection.execute(select(Row).order_by(Row.id)).mappings():
            act = Act(row["id"], row["day"], row["actor"], row["action"], row["subject"], row["detail"])
            if rows == 0 and act.id > 1:  # older rows were removed by the retention schedule, up to a signed head
                if act.id - 1 not in expected:
                    return Verified(rows, len(heads), "missing", act.id - 1)
                place, link = act.id - 1, expected[act.id - 1]
            if act.id != place + 1:
                return Verified(rows, len(heads), "missing", place + 1)
            link = _link(link, act)
            if link != row["link"]:
                return Verified(rows, len(heads), "changed", act.id)
            if expected.get(act.id, link) != link:
                return Verified(rows, len(heads), "head", act.id)
            place, rows = act.id, rows + 1
        beyond = [entry for entry in expected if entry > place]
        return Verified(rows, len(heads), "cut", min(beyond)) if beyond else Verified(rows, len(heads))

    def acts(
        self,
        connection: Connection,
        *,
        actor: str = "",
        action: str = "",
        subject: str = "",
        since: dt.date | None = None,
        until: dt.date | None = None,
        before: int = 0,
        limit: int = 100,
    ) -> list[Act]:
        """Rows that fit, newest first; `before` is the id of the last row of the page before."""
        query = select(Row.id, Row.day, Row.actor, Row.action, Row.subject, Row.detail).order_by(Row.id.desc()).limit(limit)
        for column, value in ((Row.actor, actor), (Row.action, action), (Row.subject, subject)):
            if value:
                query = query.where(column == value)
        if since:
            query = query.where(Row.day >= since)
        if until:
            query = query.where(Row.day <= until)
        if before:
            query = query.where(Row.id < before)
        return [Act(*row) for row in connection.execute(query)]

    def actions(self, connection: Connection) -> list[str]:
        """The words that the log knows for acts."""
        return list(connection.execute(select(Row.action).distinct().order_by(Row.action)).scalars())

    def prune(self, connection: Connection, before: dt.date) -> int:
        """Remove the rows of days before this one, up to a signed head that stays; how many were removed."""
        last = connection.execute(select(func.max(AuditHead.entry)).where(AuditHead.day < before)).scalar()
        if last is None:
            return 0
        connection.execute(delete(AuditHead).where(AuditHead.entry < last))
        return connection.execute(delete(Row).where(Row.id <= last, Row.day < before)).rowcount

    def _sign(self, connection: Connection, day: dt.date, entry: int, link: bytes) -> Head:
        head = Head(day, entry, link, self._key.sign(_signed_words(day, entry, link)).signature)
        connection.execute(delete(AuditHead).where(AuditHead.day == day))
        connection.execute(insert(AuditHead).values(day=day, entry=entry, link=link, signature=head.signature))
        return head

    def _signed(self, head: Head) -> bool:
        try:
            VerifyKey(self.public_key).verify(_signed_words(head.day, head.entry, head.link), head.signature)
        except (BadSignatureError, ValueError):
            return False
        return True


def _signed_words(day: dt.date, entry: int, link: bytes) -> bytes:
    return f"{HEAD} {day.isoformat()} {entry} {link.hex()}".encode()


def _link(before: bytes, act: Act) -> bytes:
    words = json.dumps([act.id, act.day.isoformat(), act.actor, act.action, act.subject, act.detail], ensure_ascii=False)
    return blake2b(before + words.encode(), digest_size=32, person=b"netra audit", encoder=RawEncoder)
