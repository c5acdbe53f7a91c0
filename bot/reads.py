"""What a flow may read: cases by a code that was typed lately. A flow has no way to write."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from bot.chat import Rejected
from bot.receipts import CodeSessions, LastGroups
from bot.turn import NotReady
from storage.cases import Cases, OpenCase


@dataclass(frozen=True, slots=True)
class Reads:
    """The reads of one turn."""

    connection: Connection
    cases: Cases
    sessions: CodeSessions
    last_groups: LastGroups

    def case(self, handle: str) -> OpenCase:
        """The case behind a typed code. Raises `Rejected` with what to do, or `NotReady` until the code is derived."""
        if self.sessions.locked(handle):
            raise Rejected("follow_up.locked")
        if self.sessions.needs_work(handle):
            raise NotReady("code")
        receipt = self.sessions.get(handle)
        if receipt is None:
            raise Rejected("follow_up.session_over")
        case = self.cases.by_receipt(self.connection, receipt)
        if case is None:
            raise Rejected("follow_up.unknown")
        return case
