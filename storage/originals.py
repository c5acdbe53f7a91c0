"""Untouched originals of photos, kept only after a plain-words yes, and only for offline keys.

On arrival an original is turned at once into an `age` file for the offline keys: from then on this server cannot read it. Until its sender
has said yes and sent the tip, that file exists in memory alone; a restart loses it, and the bot then does not offer it any more.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from bot.messages import Address
from storage.age import encrypted
from storage.models import Case, Original
from storage.staff import Account, Accounts, Refused
from storage.vault import FILE_PAD, CaseKey, seal, unseal

DAYS = 90
"""An original is destroyed after this many days unless two people hold its case (docs/evidence.md)."""

MEMORY = 192 * 1024 * 1024
"""Bytes of originals that wait in memory at most; beyond, the oldest are dropped and their senders are not asked."""

DRAFT_SECONDS = 24 * 3600
"""As long as a draft lives."""

RELEASE = "original"
"""The kind of approval by which an original leaves the server."""


class Waiting:
    """Originals of photos that are not sent yet, in memory, as age files for the offline keys."""

    def __init__(self, offline: Sequence[str] = (), memory: int = MEMORY, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.offline, self._memory, self._now = tuple(offline), memory, monotonic
        self._files: OrderedDict[str, _File] = OrderedDict()
        self._lock = threading.Lock()

    def hold(self, address: Address, photo: str, original: bytes) -> None:
        """Lock an original away for the offline keys (blocking, about 10 ms for 5 MB); nothing happens where there are none."""
        if not self.offline:
            return
        file = encrypted(original, self.offline)
        with self._lock:
            self._files[photo] = _File(address, file, self._now())
            oldest = next(iter(self._files.values()))
            while sum(len(one.body) for one in self._files.values()) > self._memory or self._now() - oldest.since > DRAFT_SECONDS:
                self._files.popitem(last=False)
                oldest = next(iter(self._files.values()), _File(address, b"", self._now()))

    def there(self, photos: Sequence[str]) -> bool:
        """Whether the originals of all these photos can still be kept."""
        return bool(photos) and all(photo in self._files for photo in photos)

    def of(self, photos: Sequence[str]) -> dict[str, bytes]:
        """The age files of these photos."""
        return {photo: self._files[photo].body for photo in photos if photo in self._files}

    def keep_only(self, address: Address, photos: Sequence[str]) -> None:
        """Forget the originals of a chat's photos that its conversation names no more."""
        with self._lock:
            for photo in [name for name, file in self._files.items() if file.address == address and name not in photos]:
                del self._files[photo]


@dataclass(frozen=True, slots=True)
class _File:
    address: Address
    body: bytes
    since: float


def keep(connection: Connection, case: bytes, key: CaseKey, evidence: bytes, file: bytes, today: dt.date) -> None:
    """Keep the age file of an original with its photo."""
    body = seal(_key(key, evidence), b"v", b"original.body" + case + evidence, file, FILE_PAD)
    connection.execute(insert(Original).values(id=evidence, case_id=case, day=today, body=body))


def available(connection: Connection, case: bytes) -> frozenset[str]:
    """The photos of a case whose originals are there ("asli tersedia")."""
    return frozenset(one.hex() for one in connection.execute(select(Original.id).where(Original.case_id == case)).scalars())


def case_of(connection: Connection, evidence: str) -> bytes | None:
    """The case of an original; None when it is gone."""
    return connection.execute(select(Original.case_id).where(Original.id == bytes.fromhex(evidence))).scalar()


def ask_release(connection: Connection, accounts: Accounts, evidence: str, by: Account) -> bytes:
    """Ask a second person to agree that an original leaves the server."""
    return accounts.ask_approval(connection, RELEASE, [evidence], by)


def release(connection: Connection, accounts: Accounts, approval: bytes, by: Account, case: bytes, key: CaseKey, evidence: str) -> bytes:
    """The age file of an original, for whoever holds an offline key. Uses up the second person's agreement; raises `Refused`."""
    used = accounts.use_approval(connection, approval, by)
    if used.kind != RELEASE or used.subjects != (evidence,):
        raise Refused("not_approved")
    name = bytes.fromhex(evidence)
    body = connection.execute(select(Original.body).where(Original.id == name, Original.case_id == case)).scalar()
    if body is None:
        raise Refused("no_original")
    return unseal(_key(key, name), b"v", b"original.body" + case + name, body)


def expire(connection: Connection, today: dt.date, held: ColumnElement[bool] | None = None) -> int:
    """Destroy the originals whose days are over; `held` says which cases stand under a hold. How many were destroyed."""
    over = Original.day < today - dt.timedelta(days=DAYS)
    if held is not None:
        over &= Original.case_id.not_in(select(Case.id).where(held))
    return connection.execute(delete(Original).where(over)).rowcount


def _key(key: CaseKey, evidence: bytes) -> bytes:
    return key.file(evidence + b"original")
