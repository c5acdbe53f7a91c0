"""What is deleted when: keys first, durably, then contents, then what they left in the database's files.

The schedule is `facts: security design, section 6` with UU 27/2022, articles 42 to 44; a legal hold stops it for a case. Counts survive.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, delete, or_, select, update

from storage import originals
from storage.audit import SYSTEM, AuditLog
from storage.cases import CLOSED, TEAM, Cases
from storage.conversations import Conversations
from storage.models import Approval, Case, Count, Invitation, PushHandle, StaffSession, Unanswered
from storage.staff import APPROVAL_SECONDS, IDLE_SECONDS, SESSION_SECONDS
from storage.statistics import Statistics
from storage.store import Store, pages

REJECTED = ("not_ours",)
"""Outcomes of tips that nobody needs any more."""
REJECTED_DAYS, CLOSED_DAYS, REVIEW_DAYS = 14, 90, 180
UNANSWERED_DAYS = 180
YEARS_DAYS = 2 * 365
PAGE = 50
"""So many cases are destroyed in one transaction, so that nobody's turn waits long."""


class Retention:
    """Deletes what is past its time."""

    def __init__(
        self, cases: Cases, statistics: Statistics, conversations: Conversations, audit: AuditLog, clock: Callable[[], datetime]
    ) -> None:
        self.cases, self.statistics, self.conversations, self.audit, self.clock = cases, statistics, conversations, audit, clock

    def run(self, store: Store) -> dict[str, int]:
        """Delete what is due (blocking: call it in a thread); how much of what was deleted."""
        removed = {"drafts": store.write_now(self.conversations.expire)}
        due = store.read_now(self.due)
        for page in pages(due, PAGE):
            store.write_now(lambda connection, page=page: self._destroy_keys(connection, page))  # type: ignore[misc]
            store.scrub()
            store.write_now(lambda connection, page=page: self._destroy(connection, page))  # type: ignore[misc]
        removed["tips"] = len(due)
        removed["for review"] = store.write_now(self._review)
        removed |= store.write_now(self._rest)
        store.scrub()
        return removed

    def due(self, connection: Connection) -> list[bytes]:
        """The closed cases that are past their time and not under a hold."""
        today = self.clock().date()
        query = select(Case.id, Case.closed).where(Case.status == CLOSED, Case.held.is_(False))
        rows = connection.execute(query.where(Case.closed <= today - dt.timedelta(days=REJECTED_DAYS))).all()
        return [row.id for row in rows if row.closed <= today - dt.timedelta(days=self._days(connection, row.id))]

    def _days(self, connection: Connection, case: bytes) -> int:
        return REJECTED_DAYS if self.statistics.outcome(connection, case) in REJECTED else CLOSED_DAYS

    def _destroy_keys(self, connection: Connection, cases: list[bytes]) -> None:
        for case in cases:
            self.cases.destroy_keys(connection, case)

    def _destroy(self, connection: Connection, cases: list[bytes]) -> None:
        for case in cases:
            self.cases.destroy(connection, case)
            self.audit.add(connection, SYSTEM, "tip_deleted", case.hex(), "retention")

    def _review(self, connection: Connection) -> int:
        """Put cases that were never decided before the team's eyes: their deadline is today, and stays so until they are closed."""
        today = self.clock().date()
        old = (Case.status != CLOSED, Case.day <= today - dt.timedelta(days=REVIEW_DAYS))
        late = or_(Case.deadline.is_(None), Case.deadline > today)
        return connection.execute(update(Case).where(*old, late).values(deadline=today, whose_turn=TEAM)).rowcount

    def _rest(self, connection: Connection) -> dict[str, int]:
        today, now = self.clock().date(), int(self.clock().timestamp())
        old = today - dt.timedelta(days=YEARS_DAYS)
        over = or_(StaffSession.started <= now - SESSION_SECONDS, StaffSession.active <= now - IDLE_SECONDS)
        return {
            "originals": originals.expire(connection, today, Case.held.is_(True)),
            "push handles": connection.execute(delete(PushHandle).where(PushHandle.until < today)).rowcount,
            "unanswered questions": connection.execute(
                delete(Unanswered).where(Unanswered.day <= today - dt.timedelta(days=UNANSWERED_DAYS))
            ).rowcount,
            "sessions": connection.execute(delete(StaffSession).where(over)).rowcount,
            "invitations": connection.execute(delete(Invitation).where(Invitation.expires <= now)).rowcount,
            "approvals": connection.execute(delete(Approval).where(Approval.asked_at <= now - APPROVAL_SECONDS)).rowcount,
            "audit rows": self.audit.prune(connection, old),
            "counts": connection.execute(delete(Count).where(Count.day < old)).rowcount
            + self.statistics.prune(connection, old.isoformat()[:7]),
        }
