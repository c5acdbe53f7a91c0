"""Messages that a platform still holds and that are to be deleted there: remembered until it is done, at most two days."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from storage.models import Erasure
from storage.vault import Broken, EpochKeys, keyed, seal, unseal

Note = tuple[str, Sequence[str]]
"""A message's id at the platform, and those of its media."""


class ErasureNotes:
    """Notes of what is still to be deleted at a platform, sealed under the draft key."""

    def __init__(self, epochs: EpochKeys) -> None:
        self.epochs = epochs

    def remember_all(self, connection: Connection, notes: Sequence[Note]) -> Sequence[None]:
        """Keep notes; the same message may be noted again and again."""
        number, key = self.epochs.current()
        rows = {}
        for message, media in notes:
            name = keyed(key, b"erasure", message.encode(), 16)
            body = json.dumps([message, list(media)]).encode()
            rows[name] = {"id": name, "epoch": number, "body": seal(key, b"e", b"erasure.body" + name, body, pad=256)}
        connection.execute(delete(Erasure).where(Erasure.id.in_(list(rows))))
        connection.execute(insert(Erasure), list(rows.values()))
        return [None] * len(notes)

    def forget_all(self, connection: Connection, messages: Sequence[str]) -> Sequence[None]:
        """They are deleted there."""
        names = [keyed(key, b"erasure", message.encode(), 16) for _, key in self.epochs.live() for message in messages]
        connection.execute(delete(Erasure).where(Erasure.id.in_(names)))
        return [None] * len(messages)

    def all(self, connection: Connection) -> list[tuple[str, list[str]]]:
        """What is still to be deleted."""
        found = []
        for row in connection.execute(select(Erasure)).mappings():
            key = self.epochs.get(row["epoch"])
            if key is None:
                continue
            try:
                message, media = json.loads(unseal(key, b"e", b"erasure.body" + row["id"], row["body"]))
            except Broken:
                continue
            found.append((message, media))
        return found
