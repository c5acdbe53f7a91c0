"""Broadcasts: drafts, approvals, and the durable state of every delivery. `docs/broadcasts.md` has the reasons.

A delivery is *claimed* in a commit before its request and *settled* in a commit after it. A claim without a result, found by the next
run, is *uncertain*: it is listed, never repeated. Who was reached is nowhere stored; results are counts per channel and reason, and
rows only for what failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, bindparam, case, delete, exists, func, insert, or_, select, update

from bot.messages import Address
from storage.drafts import LANGUAGES, TITLE_AT_MOST, Draft, OnWhatsApp, When, problems
from storage.models import AnswerChange, BroadcastCount, BroadcastLane, BroadcastPage, BroadcastSwitch, Delivery, Subscriber
from storage.models import Broadcast as Row
from storage.staff import Refused
from storage.subscribers import CHANNELS, Subscribers, stop_by_name
from storage.vault import Broken, keyed

DRAFT, PROPOSED, APPROVED, HOLDING, RUNNING, PAUSED = "draft", "proposed", "approved", "holding", "running", "paused"
DONE, CANCELLED, EXPIRED = "done", "cancelled", "expired"
SYSTEM = "system"
"""The writer of a draft that the program prepared, as the audit log calls it."""
EDITABLE = frozenset({DRAFT, PROPOSED, APPROVED, HOLDING})
OVER = frozenset({DONE, CANCELLED, EXPIRED})

HOLD_SECONDS = 600
"""Everybody on the team can still stop an approved broadcast in these last minutes (facts: security, section 8)."""
HOUR_SECONDS = 3600
LEASE_SECONDS = 30
KEPT_SECONDS = 30 * 24 * 3600


# --- what comes back --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast as it stands."""

    id: int
    state: str
    draft: Draft
    written_by: str
    approved_by: str
    begins: int
    began: int
    ended: int
    why: str
    expected: int
    rate: int


@dataclass(frozen=True, slots=True)
class Results:
    """How far a broadcast has come: counts per channel, outcome and reason, and what is open."""

    counts: Mapping[tuple[str, str, str], int]
    claimed: int
    waiting: int

    def total(self, outcome: str) -> int:
        """The number of one outcome over all channels and reasons."""
        return sum(number for (_, known, _), number in self.counts.items() if known == outcome)

    @property
    def settled(self) -> int:
        """All that have an outcome."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Counted:
    """An audience counted: those who would get it by channel, and the others by the first reason that leaves them out."""

    reached: Mapping[str, int]
    excluded: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many would get it."""
        return sum(self.reached.values())


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who was claimed and is to be written to now."""

    name: bytes
    address: Address
    language: str
    zone: str
    heard_today: bool
    tries: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claimed delivery: sent, skipped, stopped, failed, uncertain, or retry after `seconds`; `released`: not begun."""

    name: bytes
    channel: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a runner may send now; `stop` says that it has to stop, `retry_at` when something waits for another try."""

    recipients: tuple[Recipient, ...] = ()
    stop: bool = False
    retry_at: int | None = None


# --- the tables -----------------------------------------------------------------------------------------------------------------------


class Broadcasts:
    """Reads and writes broadcasts; every method takes the connection of its transaction."""

    def __init__(self, key: bytes, subscribers: Subscribers, clock: Callable[[], datetime], domains: Collection[str] = ()) -> None:
        self._key, self.subscribers, self.clock = keyed(key, b"broadcasts", b""), subscribers, clock
        self.domains = frozenset(domain.strip().lower() for domain in domains if domain.strip())

    def now(self) -> int:
        """Unix time, in seconds."""
        return int(self.clock().timestamp())

    def problems(self, draft: Draft) -> list[str]:
        """What keeps a draft from being proposed."""
        return problems(draft, self.domains, self.clock().date())

    # --- reading ----------------------------------------------------------------------------------------------------------------

    def get(self, connection: Connection, number: int) -> Broadcast | None:
        """One broadcast."""
        row = connection.execute(select(Row).where(Row.id == number)).mappings().first()
        return None if row is None else _broadcast(row)

    def listed(self, connection: Connection, *, states: Collection[str] = (), limit: int = 200) -> list[Broadcast]:
        """Broadcasts, newest first."""
        query = select(Row).order_by(Row.id.desc()).limit(limit)
        if states:
            query = query.where(Row.state.in_(states))
        return [_broadcast(row) for row in connection.execute(query).mappings()]

    def results(self, connection: Connection, number: int) -> Results:
        """How far it has come."""
        query = select(BroadcastCount).where(BroadcastCount.broadcast_id == number)
        counts = {(row["channel"], row["outcome"], row["reason"]): int(row["number"]) for row in connection.execute(query).mappings()}
        open_ones = select(Delivery.state, func.count()).where(Delivery.broadcast_id == number).group_by(Delivery.state)
        states = {str(state): int(count) for state, count in connection.execute(open_ones)}
        return Results(counts, states.get("claimed", 0), states.get("retry", 0))

    def count(self, connection: Connection, draft: Draft) -> Counted:
        """The audience, counted now."""
        if draft.again:
            query = select(Delivery.channel, func.count()).where(Delivery.broadcast_id == draft.again, Delivery.state == "failed")
            return Counted({str(channel): int(n) for channel, n in connection.execute(query.group_by(Delivery.channel))}, {})
        audience = draft.audience
        reasons: list[tuple[Any, str]] = [(Subscriber.channel.not_in(draft.channels), "channel")]
        if audience.roles:
            reasons.append((Subscriber.role.not_in(audience.roles), "role"))
        if audience.regions:
            reasons.append((~_in_regions(audience.regions), "region"))
        if audience.languages:
            reasons.append((Subscriber.language.not_in(audience.languages), "language"))
        reasons.append((~_wants(draft.kind), "kind"))
        reasons.append((and_(Subscriber.channel == "whatsapp", ~self._window(draft)), "window"))
        why = case(*reasons, else_="")
        # Sums, not groups: SQLite would sort a million rows in memory to group them.
        sums = {channel: and_(why == "", Subscriber.channel == channel) for channel in CHANNELS}
        sums |= {name: why == name for _, name in reasons}
        row = connection.execute(select(*(func.sum(case((that, 1), else_=0)) for that in sums.values())).select_from(Subscriber)).one()
        counted = {name: int(number) for name, number in zip(sums, row, strict=True) if number}
        reached = {name: number for name, number in counted.items() if name in CHANNELS}
        excluded = {name: number for name, number in counted.items() if name not in CHANNELS}
        if draft.templates_at_most and "id" in draft.whatsapp and draft.whatsapp["id"].template:
            over = reached.get("whatsapp", 0) - draft.templates_at_most
            if over > 0:
                reached["whatsapp"] -= over
                excluded["budget"] = over
        return Counted(reached, excluded)

    def _window(self, draft: Draft) -> Any:
        """Who can be written to on WhatsApp: by template always, by free words on the day they last wrote."""
        by_template = [language for language in LANGUAGES if _said(draft, language).template]
        by_words = [language for language in LANGUAGES if _said(draft, language).session]
        in_window = and_(Subscriber.heard == self.clock().date(), Subscriber.language.in_(by_words))
        return or_(Subscriber.language.in_(by_template), and_(Subscriber.heard.is_not(None), in_window))

    # --- writing and approving ------------------------------------------------------------------------------------------------------

    def save(self, connection: Connection, draft: Draft, by: str, number: int = 0) -> int:
        """Keep a draft, new or changed; any change takes back a proposal and an approval. Raises `Refused`."""
        values = {
            "state": DRAFT,
            "title": draft.title[:TITLE_AT_MOST],
            "body": draft.body(),
            "day": draft.when.day,
            "written_by": by,
            "again": draft.again,
            **UNAPPROVED,
        }
        if not number:
            return int(connection.execute(insert(Row).values(**values).returning(Row.id)).scalar_one())
        if connection.execute(update(Row).where(Row.id == number, Row.state.in_(EDITABLE)).values(**values)).rowcount != 1:
            raise Refused("not_editable")
        return number

    def copy(self, connection: Connection, number: int, by: str, when: When | None = None) -> int:
        """A new draft with the same content, for other days if given. Raises `Refused`."""
        draft = self._there(connection, number).draft
        return self.save(connection, replace(draft, when=when or draft.when, again=0), by)

    def again(self, connection: Connection, number: int, by: str) -> int:
        """A new draft for those whom this broadcast failed to reach; it needs its own approval. Raises `Refused`."""
        old = self._there(connection, number)
        if old.state not in OVER or not self.count(connection, replace(old.draft, again=number)).total:
            raise Refused("nothing_failed")
        today = self.clock().date()
        when = When(today, today, old.draft.when.start, old.draft.when.end)
        return self.save(connection, replace(old.draft, when=when, again=number), by)

    def untold(self, connection: Connection, changes: Collection[str]) -> set[str]:
        """Those of these changes of answers for which no reminder was prepared yet."""
        return set(changes) - set(connection.execute(select(AnswerChange.name).where(AnswerChange.name.in_(changes))).scalars())

    def prepare(self, connection: Connection, draft: Draft, changes: Collection[str]) -> int:
        """Keep a draft that the program wrote because answers change; two persons are needed for it as for every other."""
        today = self.clock().date()
        connection.execute(insert(AnswerChange), [{"name": name, "day": today} for name in changes])
        return self.save(connection, draft, SYSTEM)

    def propose(self, connection: Connection, number: int, by: str = "") -> None:
        """Ask for approval; who proposes what the program wrote answers for it as its writer. Raises `Refused`, with the first problem
        of an incomplete draft.
        """
        found = self._there(connection, number)
        if found.state != DRAFT:
            raise Refused("not_draft")
        if wrong := self.problems(found.draft):
            raise Refused(wrong[0])
        writer = found.written_by if found.written_by != SYSTEM else by
        if not writer:
            raise Refused("own")
        connection.execute(update(Row).where(Row.id == number).values(state=PROPOSED, written_by=writer))

    def approve(self, connection: Connection, number: int, by: str, seen: str) -> Broadcast:
        """Approve what was seen (its digest); never by its writer. The caller has checked the second factor. Raises `Refused`."""
        found = self._there(connection, number)
        if found.state != PROPOSED:
            raise Refused("not_proposed")
        if by == found.written_by:
            raise Refused("own")
        if seen != found.draft.digest:
            raise Refused("changed")
        if wrong := self.problems(found.draft):
            raise Refused(wrong[0])
        now = self.now()
        begins = max(min(found.draft.when.first(zone) for zone in found.draft.audience.zones), now + HOLD_SECONDS)
        connection.execute(
            update(Row)
            .where(Row.id == number)
            .values(
                state=APPROVED if begins - HOLD_SECONDS > now else HOLDING,
                approved_by=by,
                approval=self._approval(number, found.draft.digest, found.written_by, by),
                approved_at=now,
                begins=begins,
                why="",
            )
        )
        return self._there(connection, number)

    def withdraw(self, connection: Connection, number: int) -> None:
        """Take a proposal or an approval back; it is a draft again. Raises `Refused`."""
        mine = and_(Row.id == number, Row.state.in_((PROPOSED, APPROVED, HOLDING)))
        if connection.execute(update(Row).where(mine).values(state=DRAFT, **UNAPPROVED)).rowcount != 1:
            raise Refused("not_editable")

    def remove(self, connection: Connection, number: int) -> None:
        """Throw a draft away. Raises `Refused`."""
        if connection.execute(delete(Row).where(Row.id == number, Row.state == DRAFT)).rowcount != 1:
            raise Refused("not_draft")

    def ask_test(self, connection: Connection, number: int, staff_id: bytes) -> None:
        """Have the message sent to one staff member's own chat."""
        connection.execute(update(Row).where(Row.id == number).values(test_for=staff_id))

    def asked_tests(self, connection: Connection) -> list[tuple[int, bytes, Draft]]:
        """The test messages that are asked for: broadcast, staff member, content."""
        query = select(Row.id, Row.test_for, Row.body).where(Row.test_for != b"")
        return [(row.id, row.test_for, Draft.read(row.body)) for row in connection.execute(query)]

    def test_taken(self, connection: Connection, number: int) -> None:
        """The test message is on its way."""
        connection.execute(update(Row).where(Row.id == number).values(test_for=b""))

    def _approval(self, number: int, digest: str, writer: str, approver: str) -> bytes:
        return keyed(self._key, b"approval", json.dumps([number, digest, writer, approver]).encode())

    def _there(self, connection: Connection, number: int) -> Broadcast:
        found = self.get(connection, number)
        if found is None:
            raise Refused("unknown")
        return found

    # --- pause, resume, cancel, stop everything -----------------------------------------------------------------------------------------

    def pause(self, connection: Connection, number: int, why: str) -> None:
        """Hold a broadcast where it is. Raises `Refused`."""
        going = and_(Row.id == number, Row.state.in_((APPROVED, HOLDING, RUNNING)))
        if connection.execute(update(Row).where(going).values(state=PAUSED, why=why)).rowcount != 1:
            raise Refused("not_going")

    def resume(self, connection: Connection, number: int) -> None:
        """Go on where it was held. Raises `Refused`."""
        found = self._there(connection, number)
        if found.state != PAUSED:
            raise Refused("not_paused")
        connection.execute(update(Row).where(Row.id == number).values(state=RUNNING if found.began else APPROVED, why=""))

    def cancel(self, connection: Connection, number: int) -> None:
        """End a broadcast that is not over; who was not written to stays so. Raises `Refused`."""
        if self._there(connection, number).state in OVER:
            raise Refused("over")
        self._end(connection, number, CANCELLED, "by_staff")

    def stop_all(self, connection: Connection, by: str) -> None:
        """The switch that stops everything: nothing is sent until it is released."""
        if self.stopped_by(connection) is None:
            connection.execute(insert(BroadcastSwitch).values(id=1, by=by, since=self.now()))

    def release(self, connection: Connection) -> None:
        """Let broadcasts go on."""
        connection.execute(delete(BroadcastSwitch))

    def stopped_by(self, connection: Connection) -> str | None:
        """Who stopped everything; None when nobody did."""
        found: str | None = connection.execute(STOPPED_BY).scalar()
        return found

    # --- the runner ----------------------------------------------------------------------------------------------------------------------

    def due(self, connection: Connection, runner: str, *, alone: bool = False) -> list[Broadcast]:
        """Move every broadcast on that is due; take those that run and that nobody else has. `alone`: no other process sends."""
        now = self.now()
        for found in self.listed(connection, states=(APPROVED, HOLDING, RUNNING, PAUSED)):
            if found.state != PAUSED and found.state != RUNNING:
                self._begin(connection, found, now)
        if self.stopped_by(connection) is not None:
            return []
        taken = []
        for row in connection.execute(select(Row).where(Row.state == RUNNING).order_by(Row.id)).mappings().all():
            if row["runner"] == runner or row["lease"] < now or alone:
                connection.execute(update(Row).where(Row.id == row["id"]).values(runner=runner, lease=now + LEASE_SECONDS))
                taken.append(_broadcast(row))
        for found in self.listed(connection, states=(APPROVED, HOLDING, PAUSED)):
            if _late(found, self.clock()):
                self._end(connection, found.id, EXPIRED, "late")
        return taken

    def _begin(self, connection: Connection, found: Broadcast, now: int) -> None:
        if found.begins > now:
            if found.state == APPROVED and found.begins - HOLD_SECONDS <= now:
                connection.execute(update(Row).where(Row.id == found.id).values(state=HOLDING))
            return
        if _late(found, self.clock()):
            self._end(connection, found.id, EXPIRED, "late")
            return
        row = connection.execute(select(Row.approval).where(Row.id == found.id)).first()
        right = self._approval(found.id, found.draft.digest, found.written_by, found.approved_by)
        if row is None or row.approval != right:
            self._end(connection, found.id, CANCELLED, "changed")
            return
        recent = self.listed(connection, states=(RUNNING, PAUSED, *OVER))
        if any(
            other.began > now - HOUR_SECONDS and other.id != found.draft.again and other.draft.audience.overlaps(found.draft.audience)
            for other in recent
        ):
            connection.execute(update(Row).where(Row.id == found.id).values(state=HOLDING, why="hour"))
            return
        counted = self.count(connection, found.draft)
        expected = counted.total + sum(counted.excluded.get(why, 0) for why in ("window", "budget"))  # they are walked, and skipped
        connection.execute(update(Row).where(Row.id == found.id).values(state=RUNNING, began=now, why="", expected=expected))
        connection.execute(delete(BroadcastLane).where(BroadcastLane.broadcast_id == found.id))
        lanes = [(channel, zone) for channel in found.draft.channels for zone in found.draft.audience.zones]
        connection.execute(insert(BroadcastLane), [{"broadcast_id": found.id, "channel": one, "zone": two} for one, two in lanes])

    def doubt(self, connection: Connection, number: int, page: int = 0) -> int:
        """At the start of a run or of a page: what an earlier one claimed and did not settle is uncertain now; how many."""
        claimed = and_(Delivery.broadcast_id == number, Delivery.page == page, Delivery.state == "claimed")
        found = 0
        for row in connection.execute(select(Delivery.channel, func.count()).where(claimed).group_by(Delivery.channel)).all():
            self._add(connection, number, row[0], "uncertain", "crash", int(row[1]))
            found += int(row[1])
        connection.execute(update(Delivery).where(claimed).values(state="uncertain", reason="crash"))
        return found

    def candidates(
        self, connection: Connection, broadcast: Broadcast, channel: str, zone: str, *, after: bytes | None, limit: int, last: bytes = b""
    ) -> list[bytes]:
        """The next subscribers of a lane, in order, after the one that was read last (None: where the lane stands), up to `last`."""
        if after is None:
            here = select(BroadcastLane.cursor, BroadcastLane.done).where(
                BroadcastLane.broadcast_id == broadcast.id, BroadcastLane.channel == channel, BroadcastLane.zone == zone
            )
            lane = connection.execute(here).first()
            if lane is None or lane.done:
                return []
            after = lane.cursor
        query = _audience(broadcast.draft, channel, zone).where(Subscriber.id > after).order_by(Subscriber.id).limit(limit)
        if last:
            query = query.where(Subscriber.id <= last)
        return [bytes(name) for name in connection.execute(query).scalars()]

    def claim(
        self,
        connection: Connection,
        broadcast: Broadcast,
        channel: str,
        runner: str,
        *,
        zones: Sequence[str],
        lane: str = "",
        names: Sequence[bytes] = (),
        retries: int = 0,
        lane_over: bool = False,
        settled: Sequence[Outcome] = (),
        rate: int = 0,
        page: int = 0,
    ) -> Claim:
        """Settle results, then claim deliveries: up to `retries` that wait for another try, and `names` of a lane. All in one commit.

        With a `page` the runner holds that page instead of the broadcast.

        Nobody is claimed who stopped in the meantime, whom this broadcast has passed, or when the broadcast may not go on.
        """
        self.settle(connection, broadcast.id, settled)
        now = self.now()
        mine = {"broadcast": broadcast.id, "by": runner, "until": now + LEASE_SECONDS}
        holds = connection.execute(RENEW_PAGE, mine | {"page": page}) if page else connection.execute(RENEW, mine)
        if self.stopped_by(connection) is not None or holds.rowcount != 1:
            return Claim(stop=True)
        if rate:
            connection.execute(update(Row).where(Row.id == broadcast.id).values(rate=rate))
        found = self._claim_retries(connection, broadcast, channel, zones, retries, now, page) if retries else []
        if lane:
            found += self._claim_new(connection, broadcast, channel, lane, names, page)
            here = {"broadcast": broadcast.id, "on": channel, "at": lane}
            if page:
                whole = {"broadcast": broadcast.id, "page": page}
                connection.execute(*((END_PAGE, whole) if lane_over else (MOVE_PAGE, whole | {"reached": names[-1]})))
                lane_over = False
            elif names:
                connection.execute(MOVE_LANE, here | {"reached": names[-1]})
            if lane_over:
                connection.execute(update(BroadcastLane).where(LANE).values(done=True), here)
        waiting = {"broadcast": broadcast.id, "on": channel, "zones": zones, "page": page}
        return Claim(tuple(found), retry_at=connection.execute(NEXT_RETRY, waiting).scalar())

    def _claim_retries(
        self, connection: Connection, broadcast: Broadcast, channel: str, zones: Sequence[str], limit: int, now: int, page: int
    ) -> list[Recipient]:
        waiting = and_(
            Delivery.broadcast_id == broadcast.id,
            Delivery.page == page,
            Delivery.channel == channel,
            Delivery.state == "retry",
            Delivery.not_before <= now,
            Delivery.zone.in_(zones),
        )
        names = {
            row.subscriber: row.tries for row in connection.execute(select(Delivery.subscriber, Delivery.tries).where(waiting).limit(limit))
        }
        if not names:
            return []
        query = select(*WALKED).where(Subscriber.id.in_(names))
        found = self._opened(connection, broadcast.id, channel, connection.execute(query).all(), names)
        claimed = and_(Delivery.broadcast_id == broadcast.id, Delivery.subscriber.in_([one.name for one in found]))
        connection.execute(update(Delivery).where(claimed).values(state="claimed"))
        return found

    def _claim_new(
        self, connection: Connection, broadcast: Broadcast, channel: str, zone: str, names: Sequence[bytes], page: int
    ) -> list[Recipient]:
        if not names:
            return []
        lane = {"broadcast": broadcast.id, "channel": channel, "zone": zone, "names": names}
        found = self._opened(connection, broadcast.id, channel, connection.execute(NOT_PASSED, lane).all(), {})
        if found:
            connection.execute(
                MARK,
                [
                    {
                        "broadcast_id": broadcast.id,
                        "subscriber": one.name,
                        "channel": channel,
                        "zone": zone,
                        "page": page,
                        "state": "claimed",
                    }
                    for one in found
                ],
            )
        return found

    def _opened(
        self, connection: Connection, number: int, channel: str, rows: Sequence[Any], tries: Mapping[bytes, int]
    ) -> list[Recipient]:
        """The recipients of these rows; one whose seal is broken is counted and passed over."""
        found, today = [], self.clock().date()
        for row in rows:
            try:
                address = self.subscribers.address(row.id, row.channel, row.address)
            except Broken:
                connection.execute(delete(Delivery).where(Delivery.broadcast_id == number, Delivery.subscriber == row.id))
                self._add(connection, number, channel, "failed", "broken", 1)
            else:
                found.append(Recipient(row.id, address, row.language, row.zone, row.heard == today, tries.get(row.id, 0)))
        return found

    def settle(self, connection: Connection, number: int, settled: Sequence[Outcome]) -> None:
        """Write what became of claimed deliveries; a result that comes after somebody else took over is dropped."""
        groups: dict[tuple[str, str, str, int], list[bytes]] = {}
        for one in settled:
            due = self.now() + int(one.seconds + 0.999) if one.outcome == "retry" else 0
            groups.setdefault((one.channel, one.outcome, one.reason, due), []).append(one.name)
        for (channel, outcome, reason, due), names in groups.items():
            mine = {"broadcast": number, "names": names}
            if outcome in ("sent", "skipped", "stopped"):
                changed = connection.execute(UNMARK, mine).rowcount
                if changed < len(names):  # who stopped or moved since the claim may come back in another time zone's walk
                    changed += connection.execute(REMARK, mine | {"became": "settled", "why": "", "more": 0, "due": 0}).rowcount
            elif outcome in ("failed", "uncertain"):
                changed = connection.execute(REMARK, mine | {"became": outcome, "why": reason, "more": 0, "due": 0}).rowcount
            else:
                more = 0 if outcome == "released" else 1
                connection.execute(REMARK, mine | {"became": "retry", "why": reason, "more": more, "due": due})
                continue
            if outcome == "stopped":
                stop_by_name(connection, names)
            if changed:
                self._add(connection, number, channel, outcome, reason, changed)

    def _add(self, connection: Connection, number: int, channel: str, outcome: str, reason: str, more: int) -> None:
        here = {"broadcast": number, "on": channel, "how": outcome, "why": reason, "more": more}
        if connection.execute(COUNT_ON, here).rowcount:
            return
        connection.execute(insert(BroadcastCount).values(broadcast_id=number, channel=channel, outcome=outcome, reason=reason, number=more))

    def measured(self, connection: Connection, number: int, rate: int) -> None:
        """Note how fast a broadcast goes, in messages a minute."""
        connection.execute(update(Row).where(Row.id == number, Row.state == RUNNING).values(rate=rate))

    def finish(self, connection: Connection, broadcast: Broadcast, runner: str) -> bool:
        """End a broadcast that has nobody left: all lanes walked, or their hours over; True when it ended."""
        lanes = select(BroadcastLane.zone).where(BroadcastLane.broadcast_id == broadcast.id, ~BroadcastLane.done)
        left = set(connection.execute(lanes).scalars())
        open_ones = select(Delivery.zone, Delivery.state).where(
            Delivery.broadcast_id == broadcast.id, Delivery.state.in_(("claimed", "retry"))
        )
        rows = connection.execute(open_ones.distinct()).all()
        if any(row.state == "claimed" for row in rows):
            return False
        left |= {row.zone for row in rows}
        left |= set(connection.execute(select(BroadcastPage.zone).where(BroadcastPage.broadcast_id == broadcast.id)).scalars())
        if any(broadcast.draft.when.opens(zone, self.clock()) is not None for zone in left):
            return False
        mine = and_(Row.id == broadcast.id, Row.state == RUNNING, Row.runner == runner)
        if connection.execute(select(Row.id).where(mine)).first() is None:
            return False
        self._end(connection, broadcast.id, EXPIRED if left else DONE, "late" if left else "")
        return True

    def _end(self, connection: Connection, number: int, state: str, why: str) -> None:
        """Close a broadcast; what waited for another try is skipped."""
        waiting = and_(Delivery.broadcast_id == number, Delivery.state == "retry")
        for row in connection.execute(select(Delivery.channel, func.count()).where(waiting).group_by(Delivery.channel)).all():
            self._add(connection, number, row[0], "skipped", "cancelled" if state == CANCELLED else "late", int(row[1]))
        connection.execute(delete(Delivery).where(Delivery.broadcast_id == number, Delivery.state.in_(("retry", "settled"))))
        connection.execute(delete(BroadcastPage).where(BroadcastPage.broadcast_id == number))
        connection.execute(update(Row).where(Row.id == number).values(state=state, why=why, ended=self.now(), rate=0))

    def prune(self, connection: Connection) -> None:
        """Forget whom a broadcast failed to reach, 30 days after its end."""
        old = select(Row.id).where(Row.state.in_(OVER), Row.ended < self.now() - KEPT_SECONDS)
        connection.execute(delete(Delivery).where(Delivery.broadcast_id.in_(old)))


# A running broadcast says these ten times a second: built once, since building a statement costs more than running it.
WALKED = (Subscriber.id, Subscriber.channel, Subscriber.address, Subscriber.language, Subscriber.zone, Subscriber.heard)
NAMES: Any = bindparam("names", expanding=True)
CLAIMED = and_(Delivery.broadcast_id == bindparam("broadcast"), Delivery.subscriber.in_(NAMES), Delivery.state == "claimed")
HERE = exists().where(Subscriber.id == Delivery.subscriber, Subscriber.zone == Delivery.zone)
PASSED = exists().where(Delivery.broadcast_id == bindparam("broadcast"), Delivery.subscriber == Subscriber.id)
NOT_PASSED = (
    select(*WALKED)
    .where(Subscriber.id.in_(NAMES), Subscriber.channel == bindparam("channel"), Subscriber.zone == bindparam("zone"), ~PASSED)
    .order_by(Subscriber.id)
)
MARK = insert(Delivery)
UNMARK = delete(Delivery).where(CLAIMED, HERE)
REMARK = (
    update(Delivery)
    .where(CLAIMED)
    .values(state=bindparam("became"), reason=bindparam("why"), not_before=bindparam("due"), tries=Delivery.tries + bindparam("more"))
)
COUNT_ON = (
    update(BroadcastCount)
    .where(
        BroadcastCount.broadcast_id == bindparam("broadcast"),
        BroadcastCount.channel == bindparam("on"),
        BroadcastCount.outcome == bindparam("how"),
        BroadcastCount.reason == bindparam("why"),
    )
    .values(number=BroadcastCount.number + bindparam("more"))
)
RENEW = (
    update(Row)
    .where(Row.id == bindparam("broadcast"), Row.state == RUNNING, Row.runner == bindparam("by"))
    .values(lease=bindparam("until"))
)
PAGE = and_(BroadcastPage.broadcast_id == bindparam("broadcast"), BroadcastPage.number == bindparam("page"))
GOING = exists().where(Row.id == bindparam("broadcast"), Row.state == RUNNING)
RENEW_PAGE = update(BroadcastPage).where(PAGE, BroadcastPage.runner == bindparam("by"), GOING).values(lease=bindparam("until"))
MOVE_PAGE = update(BroadcastPage).where(PAGE).values(cursor=bindparam("reached"))
END_PAGE = update(BroadcastPage).where(PAGE).values(cursor=BroadcastPage.last)
LANE = and_(
    BroadcastLane.broadcast_id == bindparam("broadcast"), BroadcastLane.channel == bindparam("on"), BroadcastLane.zone == bindparam("at")
)
MOVE_LANE = update(BroadcastLane).where(LANE).values(cursor=bindparam("reached"))
NEXT_RETRY = select(func.min(Delivery.not_before)).where(
    Delivery.broadcast_id == bindparam("broadcast"),
    Delivery.channel == bindparam("on"),
    Delivery.state == "retry",
    Delivery.page == bindparam("page"),
    Delivery.zone.in_(bindparam("zones", expanding=True)),
)
STOPPED_BY = select(BroadcastSwitch.by)

UNAPPROVED: dict[str, Any] = {"approved_by": "", "approval": b"", "approved_at": 0, "begins": 0, "why": ""}


def _late(found: Broadcast, now: datetime) -> bool:
    return all(found.draft.when.opens(zone, now) is None for zone in found.draft.audience.zones)


def _said(draft: Draft, language: str) -> OnWhatsApp:
    return draft.whatsapp.get(language) or draft.whatsapp.get("id") or OnWhatsApp()


def _broadcast(row: RowMapping) -> Broadcast:
    return Broadcast(
        row["id"],
        row["state"],
        Draft.read(row["body"]),
        row["written_by"],
        row["approved_by"],
        row["begins"],
        row["began"],
        row["ended"],
        row["why"],
        row["expected"],
        row["rate"],
    )


def _in_regions(regions: Sequence[str]) -> Any:
    return or_(*(or_(Subscriber.region == region, Subscriber.region.startswith(f"{region}.")) for region in regions))


def _wants(kind: str) -> Any:
    return Subscriber.kinds.contains(f",{kind},")


def _audience(draft: Draft, channel: str, zone: str) -> Select[bytes]:
    """The subscribers of one lane."""
    query = select(Subscriber.id).where(Subscriber.channel == channel, Subscriber.zone == zone)
    if draft.again:
        failed = and_(Delivery.subscriber == Subscriber.id, Delivery.broadcast_id == draft.again, Delivery.state == "failed")
        return query.join(Delivery, failed)
    audience = draft.audience
    if audience.roles:
        query = query.where(Subscriber.role.in_(audience.roles))
    if audience.regions:
        query = query.where(_in_regions(audience.regions))
    if audience.languages:
        query = query.where(Subscriber.language.in_(audience.languages))
    return query.where(_wants(draft.kind))
