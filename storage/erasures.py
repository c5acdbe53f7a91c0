"""Messages that a platform still holds and that are to be deleted there: remembered until it is done, at most two days."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from storage.models import Erasure
from storage.vault import Broken, EpochKeys, keyed, seal, unseal


class ErasureNotes:
    """Notes of what is still to be deleted at a platform, sealed under the draft key."""

    def __init__(self, epochs: EpochKeys) -> None:
        self.epochs = epochs

    def remember(self, connection: Connection, message: str, media: Sequence[str]) -> None:
        """Keep a note; the same message may be noted twice."""
        number, key = self.epochs.current()
        name = keyed(key, b"erasure", message.encode(), 16)
        connection.execute(delete(Erasure).where(Erasure.id == name))
        body = json.dumps([message, list(media)]).encode()
        connection.execute(insert(Erasure).values(id=name, epoch=number, body=seal(key, b"e", b"erasure.body" + name, body, pad=256)))

    def forget(self, connection: Connection, message: str) -> None:
        """It is deleted there."""
        names = [keyed(key, b"erasure", message.encode(), 16) for _, key in self.epochs.live()]
        connection.execute(delete(Erasure).where(Erasure.id.in_(names)))

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
