"""What a flow may read: cases by a code that was typed lately. A flow has no way to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from bot.chat import Rejected
from bot.messages import Address
from bot.quotas import Quotas
from bot.receipts import CodeSessions, LastGroups
from bot.turn import NotReady
from storage.broadcasts import Broadcast, Results
from storage.cases import Cases, OpenCase
from storage.drafts import Draft
from storage.evidence import look_alike
from storage.originals import Waiting
from storage.staff import Account
from storage.staff_chats import Desk
from storage.subscribers import Wish

NOWHERE = Address("", "")


@dataclass(frozen=True, slots=True)
class Reads:
    """The reads of one turn."""

    connection: Connection
    cases: Cases
    sessions: CodeSessions
    last_groups: LastGroups
    quotas: Quotas = field(default_factory=Quotas)
    originals: Waiting = field(default_factory=Waiting)
    address: Address = NOWHERE
    desk: Desk | None = None

    def surge(self) -> bool:
        """Whether more tips come in than people are likely to send."""
        return self.quotas.surge()

    def originals_there(self, photos: Sequence[str]) -> bool:
        """Whether the untouched originals of these photos can be kept for the offline keys."""
        return self.originals.there(photos)

    def photos_alike(self, photos: Sequence[str]) -> bool:
        """Whether two of these photos of a draft show nearly the same."""
        found = [self.cases.conversations.photo_facts(self.connection, photo) for photo in photos]
        hashes = [int(str(facts.get("likeness", "0")), 16) for facts in found if facts is not None]
        return any(look_alike(one, two) for place, one in enumerate(hashes) for two in hashes[:place])

    def notices(self, case: OpenCase) -> bool:
        """Whether the tipster of this case asked to be told of news."""
        push = self.cases.push
        return push is not None and push.has(self.connection, case.id, self.cases.today())

    def case(self, handle: str) -> OpenCase:
        """The case behind a typed code. Raises `Rejected` with what to do, or `NotReady` until the code is derived."""
        if self.sessions.locked(handle):
            raise Rejected("follow_up.locked")
        if self.sessions.busy(handle):
            raise Rejected("follow_up.busy")
        if self.sessions.needs_work(handle):
            raise NotReady("code")
        receipt = self.sessions.get(handle)
        if receipt is None:
            raise Rejected("follow_up.session_over")
        case = self.cases.by_receipt(self.connection, receipt)
        if case is None:
            raise Rejected("follow_up.unknown")
        return case

    # --- reminders ------------------------------------------------------------------------------------------------------------------

    def _desk(self) -> Desk:
        assert self.desk is not None, "this conversation needs the desk of broadcasts"
        return self.desk

    def subscription(self) -> Wish | None:
        """What reminders this chat asked for."""
        found = self._desk().subscribers.get(self.connection, self.address)
        return found.wish if found else None

    def staff(self) -> Account | None:
        """The broadcaster or approver to whom this chat is linked."""
        return self._desk().staff(self.connection, self.address)

    def signs_in_panel(self) -> bool:
        """Whether the staff member of this chat has a security key as second factor, which a chat cannot ask for."""
        account = self.staff()
        return account is not None and self._desk().accounts.needs_key(account)

    def broadcasts(self, limit: int) -> list[Broadcast]:
        """The last broadcasts."""
        return self._desk().broadcasts.listed(self.connection, limit=limit)

    def broadcast(self, number: int) -> Broadcast | None:
        """One broadcast."""
        return self._desk().broadcasts.get(self.connection, number)

    def broadcast_results(self, number: int) -> Results:
        """How far a broadcast has come."""
        return self._desk().broadcasts.results(self.connection, number)

    def broadcast_audience(self, draft: Draft) -> int:
        """How many would get a draft now."""
        return self._desk().broadcasts.count(self.connection, draft).total

    def broadcast_problems(self, draft: Draft) -> list[str]:
        """What keeps a draft from being proposed."""
        return self._desk().broadcasts.problems(draft)

    def broadcasts_stopped_by(self) -> str | None:
        """Who stopped all broadcasts."""
        return self._desk().broadcasts.stopped_by(self.connection)
