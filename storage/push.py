"""Opt-in notices: one neutral sentence to a tipster who asked for it. Pull with the code stays the default.

The handle (channel, chat, language, stop token) is padded, sealed to the notifier's key, and then sealed under a subkey of the case's key.
A stolen disk opens neither layer; a receiver alone opens only the outer one; the notifier alone cannot reach the inner one.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from nacl.public import PrivateKey
from sqlalchemy import Connection, delete, insert, select

from bot.messages import Address, Outbound
from storage.conversations import Conversations
from storage.models import PushHandle
from storage.vault import Broken, CaseKey, keyed, seal, seal_to, unseal, unseal_with

DAYS = 30
"""A handle dies after this many days (docs/vault.md)."""

CHANNELS = frozenset({"telegram"})
"""Where notices are offered. Not on WhatsApp, where a message after 24 hours needs a template; not in the web chat, which is only asked."""

PAD = 512
"""Every handle has this size, so that its length says nothing of the platform."""


@dataclass(frozen=True, slots=True)
class Handle:
    """Where a notice goes, in memory for a moment."""

    address: Address
    language: str
    token: str


class Push:
    """Keeps, uses and ends handles; every method takes the connection of its transaction."""

    def __init__(
        self,
        key: bytes,
        conversations: Conversations,
        notice: Callable[[str, str], Outbound],
        queued: Callable[[Address], None] | None = None,
    ) -> None:
        self._private, self.conversations, self.notice = keyed(key, b"push", b""), conversations, notice
        self._public = bytes(PrivateKey(self._private).public_key)
        self._stops = keyed(key, b"push stop", b"")
        self.queued = queued
        """Told of an address once something waits for it in the outbox."""
        self.mute: Callable[[Address], None] | None = None
        """Takes nothing more from an address for a day."""

    def keep(self, connection: Connection, case: bytes, key: CaseKey, address: Address, language: str, today: dt.date) -> None:
        """Tell this chat of news of this case for 30 days; a handle that was there is replaced."""
        token = secrets.token_urlsafe(16)
        plain = json.dumps([address.channel, address.chat, language, token]).encode()
        inner = seal_to(self._public, b"h", b"push_handle.inner" + case, plain, PAD)
        body = seal(_outer(key), b"h", b"push_handle.body" + case, inner, PAD)
        connection.execute(delete(PushHandle).where(PushHandle.case_id == case))
        until = today + dt.timedelta(days=DAYS)
        connection.execute(insert(PushHandle).values(case_id=case, stop=self._stop(token), until=until, body=body))

    def has(self, connection: Connection, case: bytes, today: dt.date) -> bool:
        """Whether the tipster of this case wants to be told."""
        query = select(PushHandle.case_id).where(PushHandle.case_id == case, PushHandle.until >= today)
        return connection.execute(query).first() is not None

    def peeled(self, connection: Connection, case: bytes, key: CaseKey, today: dt.date) -> Handle | None:
        """The handle of a case, opened with the case's key; None where there is none, or none that can be read."""
        query = select(PushHandle.body).where(PushHandle.case_id == case, PushHandle.until >= today)
        body = connection.execute(query).scalar()
        if body is None:
            return None
        try:
            inner = unseal(_outer(key), b"h", b"push_handle.body" + case, body)
            channel, chat, language, token = json.loads(unseal_with(self._private, b"h", b"push_handle.inner" + case, inner))
        except Broken:
            return None
        return Handle(Address(channel, chat), language, token)

    def tell(self, connection: Connection, case: bytes, key: CaseKey, today: dt.date) -> bool:
        """Queue the neutral sentence for the tipster, and forget the chat again; False when nobody asked for it."""
        handle = self.peeled(connection, case, key, today)
        if handle is None:
            return False
        self.conversations.send(connection, handle.address, self.notice(handle.language, handle.token))
        if self.queued is not None:
            self.queued(handle.address)
        return True

    def end(self, connection: Connection, case: bytes) -> None:
        """No more notices of this case."""
        connection.execute(delete(PushHandle).where(PushHandle.case_id == case))

    def stop(self, connection: Connection, token: str) -> bool:
        """The same by the token of the button under a notice; False when it had ended before."""
        return connection.execute(delete(PushHandle).where(PushHandle.stop == self._stop(token))).rowcount == 1

    def expire(self, connection: Connection, today: dt.date) -> int:
        """Remove the handles whose days are over; how many."""
        return connection.execute(delete(PushHandle).where(PushHandle.until < today)).rowcount

    def _stop(self, token: str) -> bytes:
        return keyed(self._stops, b"stop", token.encode(), 16)


def _outer(key: CaseKey) -> bytes:
    return keyed(key.private, b"push", b"")
