"""Staff members' own chats, linked by a code from the panel: for /siaran and for test messages."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from bot.messages import Address
from storage.audit import AuditLog
from storage.broadcasts import Broadcasts
from storage.models import StaffChat, StaffChatCode
from storage.staff import ACTIVE, Account, Accounts
from storage.subscribers import Subscribers
from storage.vault import keyed, seal, unseal

CODE_SECONDS = 600
WRONG_CODES = 5
BROADCASTING = frozenset({"broadcaster", "approver"})
ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Letters and digits that are not mistaken for one another; ten of them are 49 bits, for ten minutes, each code once."""


class StaffChats:
    """Links between accounts and chats; every method takes the connection of its transaction."""

    def __init__(self, key: bytes, clock: Callable[[], datetime]) -> None:
        self._names, self._seals, self.clock = keyed(key, b"staff chat name", b""), keyed(key, b"staff chat seal", b""), clock

    def _now(self) -> int:
        return int(self.clock().timestamp())

    def _name(self, address: Address) -> bytes:
        return keyed(self._names, b"staff chat", f"{address.channel}|{address.chat}".encode(), 16)

    def _code(self, code: str) -> bytes:
        return keyed(self._names, b"staff code", "".join(sign for sign in code.upper() if sign.isalnum()).encode(), 16)

    def new_code(self, connection: Connection, staff_id: bytes) -> str:
        """A code that links a chat to this account within ten minutes; an earlier one is dead."""
        dead = (StaffChatCode.staff_id == staff_id) | (StaffChatCode.expires <= self._now())
        connection.execute(delete(StaffChatCode).where(dead))
        code = "".join(secrets.choice(ALPHABET) for _ in range(10))
        connection.execute(insert(StaffChatCode).values(id=self._code(code), staff_id=staff_id, expires=self._now() + CODE_SECONDS))
        return f"{code[:5]}-{code[5:]}"

    def link(self, connection: Connection, address: Address, code: str) -> bytes | None:
        """Link a chat by a code, which is used up; the account, or None when the code is not alive."""
        query = select(StaffChatCode.staff_id).where(StaffChatCode.id == self._code(code), StaffChatCode.expires > self._now())
        staff_id: bytes | None = connection.execute(query).scalar()
        if staff_id is None:
            return None
        connection.execute(delete(StaffChatCode).where(StaffChatCode.id == self._code(code)))
        name = self._name(address)
        connection.execute(delete(StaffChat).where((StaffChat.staff_id == staff_id) | (StaffChat.id == name)))
        sealed = seal(self._seals, b"u", b"staff_chat.address" + name, f"{address.channel}|{address.chat}".encode(), pad=64)
        today: dt.date = self.clock().date()
        connection.execute(insert(StaffChat).values(id=name, staff_id=staff_id, address=sealed, since=today))
        return staff_id

    def unlink(self, connection: Connection, staff_id: bytes) -> bool:
        """Forget an account's chat; False when there was none."""
        return connection.execute(delete(StaffChat).where(StaffChat.staff_id == staff_id)).rowcount == 1

    def staff_of(self, connection: Connection, address: Address) -> bytes | None:
        """The account that a chat is linked to."""
        found: bytes | None = connection.execute(select(StaffChat.staff_id).where(StaffChat.id == self._name(address))).scalar()
        return found

    def wrong_code(self, connection: Connection, staff_id: bytes) -> None:
        """Count a wrong second factor typed in a chat; after five in a row the chat is not linked any more."""
        mine = StaffChat.staff_id == staff_id
        connection.execute(update(StaffChat).where(mine).values(wrong=StaffChat.wrong + 1))
        connection.execute(delete(StaffChat).where(mine, StaffChat.wrong >= WRONG_CODES))

    def right_code(self, connection: Connection, staff_id: bytes) -> None:
        """The second factor was right: the count begins anew."""
        connection.execute(update(StaffChat).where(StaffChat.staff_id == staff_id).values(wrong=0))

    def address_of(self, connection: Connection, staff_id: bytes) -> Address | None:
        """The chat of an account."""
        row = connection.execute(select(StaffChat.id, StaffChat.address).where(StaffChat.staff_id == staff_id)).first()
        if row is None:
            return None
        channel, _, chat = unseal(self._seals, b"u", b"staff_chat.address" + row.id, row.address).decode().partition("|")
        return Address(channel, chat)


@dataclass(frozen=True, slots=True)
class Desk:
    """What reminders need: who gets them, what is sent, and who on the team may do it, in chat."""

    subscribers: Subscribers
    broadcasts: Broadcasts
    staff_chats: StaffChats
    accounts: Accounts
    audit: AuditLog

    def staff(self, connection: Connection, address: Address) -> Account | None:
        """The account that a chat is linked to, if it works with broadcasts now."""
        staff_id = self.staff_chats.staff_of(connection, address)
        account = self.accounts.get(connection, staff_id) if staff_id is not None else None
        return account if account is not None and account.state == ACTIVE and account.powers & BROADCASTING else None
