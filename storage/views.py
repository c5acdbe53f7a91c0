"""Saved views: the lists a receiver opens again and again, sealed to their own key, because a filter may hold words of a tip."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from sqlalchemy import Connection, delete, func, insert, select

from storage.models import SavedView

AT_MOST = 20
"""So many views has one person; more would be a list to search."""
NAME_LENGTH = 40
PAD = 512


@dataclass(frozen=True, slots=True)
class View:
    """A saved list: its name, and the address of the list as the panel wrote it."""

    id: bytes
    name: str
    address: str


def keep(connection: Connection, staff: bytes, public_key: bytes, name: str, address: str) -> bool:
    """Save a view; False when the person has as many as there may be."""
    if connection.execute(select(func.count()).where(SavedView.staff_id == staff)).scalar_one() >= AT_MOST:
        return False
    words = json.dumps({"name": name[:NAME_LENGTH], "address": address}).encode()
    sealed = SealedBox(PublicKey(public_key)).encrypt(words.ljust(-(-len(words) // PAD) * PAD))
    connection.execute(insert(SavedView).values(id=secrets.token_bytes(16), staff_id=staff, body=sealed))
    return True


def of(connection: Connection, staff: bytes, private_key: bytes) -> list[View]:
    """A person's views by name; those that their key does not open any more are left out."""
    found = []
    box = SealedBox(PrivateKey(private_key)) if private_key else None
    for row in connection.execute(select(SavedView.id, SavedView.body).where(SavedView.staff_id == staff)):
        if box is None:
            break
        try:
            facts = json.loads(box.decrypt(row.body))
        except CryptoError:
            continue
        found.append(View(row.id, facts["name"], facts["address"]))
    return sorted(found, key=lambda view: (view.name.casefold(), view.id))


def forget(connection: Connection, staff: bytes) -> None:
    """Delete all views of a person."""
    connection.execute(delete(SavedView).where(SavedView.staff_id == staff))


def drop(connection: Connection, staff: bytes, view: bytes) -> bool:
    """Delete one's own view; False when there is none."""
    return connection.execute(delete(SavedView).where(SavedView.id == view, SavedView.staff_id == staff)).rowcount == 1
