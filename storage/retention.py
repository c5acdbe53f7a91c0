"""What is deleted when: keys first, durably, then contents, then what they left in the database's files.

The schedule is `facts: security design, section 6` with UU 27/2022, articles 42 to 44; a legal hold stops it for a case. Counts survive.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, delete, or_, select, update

from storage import originals
from storage.audit import SYSTEM, AuditLog
from storage.cases import CLOSED, TEAM, Cases
from storage.conversations import Conversations
from storage.models import Approval, Case, Conversation, Count, DraftEvidence, Invitation, PushHandle, StaffSession, Unanswered
from storage.staff import APPROVAL_SECONDS, IDLE_SECONDS, SESSION_SECONDS
from storage.statistics import Statistics
from storage.store import Store, pages
from storage.vault import Broken, unseal

DRAFT = dt.timedelta(hours=24)
"""A draft lives so long after its person's last message; its key is gone by 48 hours in any case."""
REJECTED = ("not_ours",)
"""Outcomes of tips that nobody needs any more."""
REJECTED_DAYS, CLOSED_DAYS, REVIEW_DAYS = 14, 90, 180
UNANSWERED_DAYS = 180
YEARS_DAYS = 2 * 365
RECEIVED = "evidence_received"
"""The act under which the custody log holds the commitment of an original."""
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
        for idle in pages(store.read_now(self._idle), PAGE):
            removed["drafts"] += store.write_now(partial(self._forget, idle=idle))
        due = store.read_now(self.due)
        for page in pages(due, PAGE):
            store.write_now(partial(self._destroy_keys, cases=page))
            store.scrub()
            store.write_now(partial(self._destroy, cases=page))
        removed["tips"] = len(due)
        removed["for review"] = store.write_now(self._review)
        store.write_now(self._put_on_record)
        removed |= store.write_now(self._rest)
        store.scrub()
        return removed

    def _idle(self, connection: Connection) -> list[tuple[bytes, int]]:
        """The conversations (and their versions) in which nobody said anything for a day; their key still lives for later ones."""
        (today, _), found = self.conversations.epochs.current(), list[tuple[bytes, int]]()
        for epoch, key in self.conversations.epochs.live():
            rows = select(Conversation.id, Conversation.version, Conversation.body).where(Conversation.epoch == epoch)
            for row in connection.execute(rows) if epoch < today else ():
                try:
                    active = json.loads(unseal(key, b"c", b"conversation.body" + row.id, row.body))["active"]
                except (Broken, KeyError):
                    continue
                if self.clock() - datetime.fromisoformat(active) > DRAFT:
                    found.append((row.id, row.version))
        return found

    def _forget(self, connection: Connection, idle: list[tuple[bytes, int]]) -> int:
        """Remove conversations with their photos, unless somebody has spoken meanwhile; how many."""
        gone = []
        for name, version in idle:
            mine = (Conversation.id == name) & (Conversation.version == version)
            gone += [name] * connection.execute(delete(Conversation).where(mine)).rowcount
        connection.execute(delete(DraftEvidence).where(DraftEvidence.chat.in_(gone)))
        return len(gone)

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

    def _put_on_record(self, connection: Connection) -> None:
        """Once a day the commitments of the originals that came in go into the custody log, all at once, so that it shows no hour."""
        today = self.clock().date()
        if not self.audit.acts(connection, action=RECEIVED, since=today, limit=1):
            for commitment in self.cases.take_commitments(connection):
                self.audit.add(connection, SYSTEM, RECEIVED, commitment.hex())

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
