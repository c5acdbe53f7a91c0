"""Giving cases to another receiver: by a receiver who can read them, or by the two halves of the recovery key.

Both go in pages, each a short transaction of its own, so that a chat never waits for a large re-grant.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, delete, insert, select

from storage.age import Recovery
from storage.models import Case, Seal
from storage.staff import Account, Refused
from storage.vault import Broken, case_key_by_seal

PAGE = 200
"""Cases of one page: two operations of 0.05 ms and two rows each."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What one page did: how many cases were sealed to the receiver, how many could not be opened, and where the next page begins."""

    count: int
    failed: int
    after: bytes | None


def regrant(connection: Connection, from_staff: bytes, private_key: bytes, to: Account, *, after: bytes = b"", page: int = PAGE) -> Granted:
    """Seal one page of the cases of the new receiver's team that `from_staff` can open to that receiver.

    Call it again with `after` until that is None. Raises `Refused` when the account is not a receiver.
    """
    query = select(Case.id, Seal.body).join(Seal, Seal.case_id == Case.id).where(Seal.staff_id == from_staff)
    return _page(connection, query, private_key, to, after, page)


def recover(connection: Connection, recovery: Recovery, to: Account, *, after: bytes = b"", page: int = PAGE) -> Granted:
    """The same with the recovery key, for cases whose receivers are all gone."""
    return _page(connection, select(Case.id, Case.recovery).where(Case.recovery != b""), recovery.private, to, after, page)


def _page(connection: Connection, query: Select[bytes, bytes], private_key: bytes, to: Account, after: bytes, page: int) -> Granted:
    if not to.receives or to.group_id is None:
        raise Refused("not_a_receiver")
    query = query.where(Case.group_id == to.group_id, Case.id > after).order_by(Case.id).limit(page)
    rows: list[Row[bytes, bytes]] = list(connection.execute(query))
    fresh, failed = [], 0
    for case, sealed in rows:
        try:
            fresh.append({"case_id": case, "staff_id": to.id, "body": case_key_by_seal(private_key, sealed).sealed_to(to.public_key)})
        except Broken:
            failed += 1
    if fresh:
        connection.execute(delete(Seal).where(Seal.staff_id == to.id, Seal.case_id.in_([one["case_id"] for one in fresh])))
        connection.execute(insert(Seal), fresh)
    return Granted(len(fresh), failed, rows[-1][0] if len(rows) == page else None)
