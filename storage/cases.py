"""Cases: tips after they were sent, and the conversation about them. Nothing here knows a chat."""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nacl.public import PrivateKey, PublicKey, SealedBox
from sqlalchemy import ColumnElement, Connection, Row, RowMapping, and_, delete, func, insert, or_, select, update
from sqlalchemy import case as if_so

from bot.messages import Address
from storage import originals
from storage.aliases import new_alias
from storage.conversations import Conversations
from storage.models import Case, Evidence, Group, Item, Original, PushHandle, Seal, Staff
from storage.push import Push
from storage.receivers import ReceiverList
from storage.statistics import WITHDRAWN as COUNTED_WITHDRAWN
from storage.statistics import Statistics
from storage.store import pages
from storage.vault import (
    ALG_SEALED,
    FILE_PAD,
    Broken,
    CaseKey,
    Receipt,
    case_key_by_receipt,
    case_key_by_seal,
    keyed,
    new_case_key,
    seal,
    seal_to,
    unseal,
    unseal_with,
)

NEW, OPEN, CLOSED, WITHDRAWN = "new", "open", "closed", "withdrawn"
TEAM, TIPSTER = "team", "tipster"

ANSWER_DAYS = 3
"""Working days in which the team should answer: as long as a supervisor's first study may take (Perbawaslu 8/2020)."""
FOLDERS = ("new", "mine", "tipster", "team", "near", "closed")
"""How the panel sorts cases: not begun, mine, waiting for the tipster, waiting for us, deadline near, closed."""
NEAR_DAYS = 1
"""A deadline is near from this many days before it on."""


class NoReceivers(Exception):
    """No team can read a tip yet: there is nobody to seal it to."""


@dataclass(frozen=True, slots=True)
class NewTip:
    """A tip to be sealed: its facts, its draft photos, and the region that decides which team gets it."""

    day: dt.date
    language: str
    facts: Mapping[str, Any]
    photos: Sequence[str]
    region: str
    above: bool = False
    """It concerns the office that would receive it: the next level up gets it."""
    originals: Mapping[str, bytes] = field(default_factory=dict)
    """Originals to be kept, by draft photo, as age files for the offline keys."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of a case, opened: kind is tip, tipster, team, note, mine (one receiver's own note), step."""

    id: bytes
    kind: str
    order: int
    day: str
    words: str
    by: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    photos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case that somebody holding its key has opened."""

    id: bytes
    alias: str
    day: dt.date
    status: str
    whose_turn: str
    group_id: int
    head: Mapping[str, Any]
    entries: tuple[Entry, ...]
    key: CaseKey
    touched: dt.date
    closed: dt.date | None = None
    deadline: dt.date | None = None
    claimed_by: bytes | None = None
    together: bytes | None = None
    news: bool = False
    held: bool = False

    @property
    def tip(self) -> Mapping[str, Any]:
        """The tip's own facts."""
        return next((entry.facts for entry in self.entries if entry.kind == "tip"), {})


@dataclass(frozen=True, slots=True)
class Metadata:
    """A case as its row says, for readers who may not open it."""

    id: bytes
    alias: str
    day: dt.date
    status: str
    whose_turn: str
    deadline: dt.date | None
    group_id: int
    claimed_by: bytes | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A case in a list: what its row says, and its head where the reader could open it."""

    id: bytes
    alias: str
    day: dt.date
    status: str
    whose_turn: str
    touched: dt.date
    head: Mapping[str, Any]
    deadline: dt.date | None = None
    claimed_by: bytes | None = None
    together: bytes | None = None
    news: bool = False


def working_days_after(day: dt.date, count: int) -> dt.date:
    """The day `count` Indonesian working days later; in years whose holidays are not decreed yet only weekends are days off."""
    from lokal import is_working_day  # its detectors take 0.15 s to load, which the start need not wait for

    while count:
        day += dt.timedelta(days=1)
        try:
            works = is_working_day(day)
        except ValueError:
            works = day.weekday() < 5
        count -= works
    return day


UNREAD_HEAD = {"indicator": "", "kind": "", "region": "", "region_name": "", "when": "", "photos": 0, "danger": False, "offline": True}
"""What a list shows of a case that is opened on its receivers' laptops alone."""
BROKEN_HEAD = UNREAD_HEAD | {"offline": False, "broken": True}
"""What a list shows of a case whose record was changed or damaged: nothing of it, but the others go on."""


def entry_of(key: CaseKey, case: bytes, item: bytes, record: bytes) -> Entry:
    """One part of a case, opened; raises `Broken`."""
    place = b"item.body" + case + item
    sealed = record[3:4] == ALG_SEALED
    body = json.loads(unseal_with(key.private, b"m", place, record) if sealed else unseal(key.items, b"m", place, record))
    return Entry(item, body["kind"], body["order"], body["day"], body["words"], body["by"], body["facts"], tuple(body["photos"]))


class Cases:
    """Opens, reads and continues cases; every method takes the connection of its transaction."""

    def __init__(
        self,
        conversations: Conversations,
        clock: Callable[[], datetime],
        statistics: Statistics | None = None,
        *,
        recovery: bytes = b"",
        push: Push | None = None,
        receivers: ReceiverList | None = None,
    ) -> None:
        self.conversations, self.clock, self.statistics, self.receivers = conversations, clock, statistics, receivers
        self.recovery, self.push = recovery, push

    def today(self) -> dt.date:
        """The day it is where the cases are worked on."""
        return self.clock().date()

    # --- the tipster's side ------------------------------------------------------------------------------------------------

    def open(self, connection: Connection, address: Address, tip: NewTip, receipt: Receipt) -> bytes:
        """Seal a tip to its team (and the recovery key, where there is one) and wrap it under its receipt. Raises `NoReceivers`."""
        group, receivers = self._team(connection, tip.region, above=tip.above)
        case, key = secrets.token_bytes(16), new_case_key()
        drafts = [photo for photo in tip.photos if self.conversations.photo_facts(connection, photo) is not None]
        head = {name: tip.facts.get(name, "") for name in ("indicator", "kind", "region", "region_name", "when")}
        head |= {"photos": len(drafts), "danger": False}
        connection.execute(
            insert(Case).values(
                id=case,
                lookup=receipt.lookup,
                wrapped=key.wrapped(receipt, case),
                public_key=key.public,
                alias=self._alias(connection),
                group_id=group,
                day=tip.day,
                status=NEW,
                whose_turn=TEAM,
                news=False,
                head=self._seal_head(key, case, head),
                recovery=key.sealed_to(self.recovery) if self.recovery else b"",
                touched=tip.day,
                deadline=working_days_after(tip.day, ANSWER_DAYS),
            )
        )
        connection.execute(
            insert(Seal), [{"case_id": case, "staff_id": staff, "body": key.sealed_to(public)} for staff, public in receivers]
        )
        photos = [self._adopt(connection, case, key, photo, tip.facts.get("when", ""), tip.originals.get(photo)) for photo in drafts]
        self._add(connection, key, case, "tip", facts=dict(tip.facts) | {"language": tip.language}, photos=photos)
        self._place_evidence(connection, case, photos)
        if self.statistics is not None:
            self.statistics.reported(connection, case, tip.day.isoformat()[:7], {**tip.facts, "region": tip.region})
        return case

    def ready(self, connection: Connection) -> bool:
        """Whether a tip could be sealed to anybody now."""
        return any(self._readers(connection, team) for team in connection.execute(select(Group.id)).scalars().all())

    def alias(self, connection: Connection, case: bytes) -> str:
        """The two words by which the public notice page names a case."""
        return str(connection.execute(select(Case.alias).where(Case.id == case)).scalar_one())

    def notices(self, connection: Connection) -> list[str]:
        """The aliases of the cases with news for their tipsters, in no order."""
        found = list(connection.execute(select(Case.alias).where(Case.news.is_(True))).scalars())
        secrets.SystemRandom().shuffle(found)
        return found

    def known(self, connection: Connection, receipt: Receipt) -> bool:
        """Whether a case stands under this receipt."""
        return connection.execute(select(Case.id).where(Case.lookup == receipt.lookup)).first() is not None

    def by_receipt(self, connection: Connection, receipt: Receipt) -> OpenCase | None:
        """The case under this receipt, opened; None when there is none."""
        row = connection.execute(select(Case).where(Case.lookup == receipt.lookup)).mappings().first()
        if row is None:
            return None
        return self._opened(connection, row, case_key_by_receipt(receipt, row["id"], row["wrapped"]))

    def tell_team(
        self, connection: Connection, address: Address, receipt: Receipt, words: str, photos: Sequence[str], *, danger: bool = False
    ) -> bool:
        """Add the tipster's words and photos; False when the case is gone."""
        case = self.by_receipt(connection, receipt)
        if case is None:
            return False
        adopted = [self._adopt(connection, case.id, case.key, photo, case.tip.get("when", "")) for photo in photos]
        adopted = [photo for photo in adopted if photo]
        self._add(connection, case.key, case.id, "tipster", words=words, photos=adopted, facts={"danger": True} if danger else {})
        self._place_evidence(connection, case.id, adopted)
        head = dict(case.head) | {"photos": int(case.head.get("photos", 0)) + len(adopted)}
        if danger:
            head["danger"] = True
        deadline = working_days_after(self.today(), ANSWER_DAYS)
        self._touch(connection, case.id, whose_turn=TEAM, head=self._seal_head(case.key, case.id, head), news=False, deadline=deadline)
        return True

    def read_by_tipster(self, connection: Connection, receipt: Receipt) -> None:
        """The tipster has seen what is new."""
        connection.execute(update(Case).where(Case.lookup == receipt.lookup).values(news=False))

    def withdraw(self, connection: Connection, receipt: Receipt) -> bytes | None:
        """Destroy a case at its tipster's wish: its keys first, then its contents; only the row's bare count remains.

        The id it had; None when there is none, or when it stands under a legal hold.
        """
        row = connection.execute(select(Case.id).where(Case.lookup == receipt.lookup, Case.held.is_(False))).first()
        if row is None:
            return None
        if self.statistics is not None:
            self.statistics.decided(connection, row.id, COUNTED_WITHDRAWN)
        self.destroy(connection, row.id)
        return bytes(row.id)

    def destroy_keys(self, connection: Connection, case: bytes) -> None:
        """Make a case unreadable for everybody: what is left of it anywhere is noise."""
        connection.execute(delete(Seal).where(Seal.case_id == case))
        connection.execute(delete(PushHandle).where(PushHandle.case_id == case))
        connection.execute(update(Case).where(Case.id == case).values(wrapped=b"", recovery=b"", lookup=secrets.token_bytes(16)))

    def destroy(self, connection: Connection, case: bytes) -> None:
        """Remove a case: the keys first (seals and wrap), then items and photos, then the row."""
        self.destroy_keys(connection, case)
        connection.execute(delete(Item).where(Item.case_id == case))
        connection.execute(delete(Original).where(Original.case_id == case))
        connection.execute(delete(Evidence).where(Evidence.case_id == case))
        connection.execute(delete(Case).where(Case.id == case))

    # --- the team's side -----------------------------------------------------------------------------------------------------

    def listed(
        self,
        connection: Connection,
        staff: bytes,
        private_key: bytes,
        *,
        folder: str = "",
        fits: Callable[[Listed], bool] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Listed]:
        """The cases of a folder that were sealed to this receiver, newest first, with their heads opened.

        `fits` looks at what is sealed: as many heads are opened as it takes to fill the page.
        """
        order = (Case.deadline, Case.id) if folder == "near" else (Case.day.desc(), Case.id)
        names = select(Case.id).join(Seal, Seal.case_id == Case.id).where(Seal.staff_id == staff, *self._in_folder(folder, staff))
        names = names.order_by(*order)
        if fits is None:
            page = connection.execute(names.limit(limit).offset(offset)).scalars().all()
            return self._heads(connection, staff, private_key, page)
        found: list[Listed] = []
        for page in pages(connection.execute(names).scalars().all(), 200):
            found.extend(listed for listed in self._heads(connection, staff, private_key, page) if fits(listed))
            if len(found) >= offset + limit:
                break
        return found[offset : offset + limit]

    def counts(self, connection: Connection, staff: bytes) -> dict[str, int]:
        """How many cases of this receiver lie in each folder; nothing is opened for it."""
        sums = [func.coalesce(func.sum(if_so((and_(*self._in_folder(folder, staff)), 1), else_=0)), 0).label(folder) for folder in FOLDERS]
        query = select(func.count().label("all"), *sums).join_from(Seal, Case, Seal.case_id == Case.id).where(Seal.staff_id == staff)
        return {name: int(number) for name, number in connection.execute(query).mappings().one().items()}

    def _in_folder(self, folder: str, staff: bytes) -> list[ColumnElement[bool]]:
        near = self.today() + dt.timedelta(days=NEAR_DAYS)
        conditions: dict[str, list[ColumnElement[bool]]] = {
            "": [],
            "all": [],
            "new": [Case.status == NEW],
            "mine": [Case.claimed_by == staff, Case.status != CLOSED],
            "tipster": [Case.status == OPEN, Case.whose_turn == TIPSTER],
            "team": [Case.status != NEW, Case.whose_turn == TEAM],
            "near": [Case.deadline.is_not(None), Case.deadline <= near],
            "closed": [Case.status == CLOSED],
        }
        return conditions[folder]

    def _heads(self, connection: Connection, staff: bytes, private_key: bytes, names: Sequence[bytes]) -> list[Listed]:
        """These cases in this order, as far as they are sealed to the receiver."""
        columns = (Case.id, Case.alias, Case.day, Case.status, Case.whose_turn, Case.touched, Case.head, Case.deadline, Case.claimed_by)
        query = select(*columns, Case.together, Case.news, Seal.body.label("seal"), Group.offline).join(Seal, Seal.case_id == Case.id)
        query = query.join(Group, Group.id == Case.group_id)
        found: dict[bytes, Listed] = {}
        for row in connection.execute(query.where(Seal.staff_id == staff, Case.id.in_(names))).mappings():
            if row["offline"] or not private_key:
                head = dict(UNREAD_HEAD)
            else:
                try:
                    key = case_key_by_seal(private_key, row["seal"])
                    head = json.loads(unseal(key.items, b"h", b"tip_case.head" + row["id"], row["head"]))
                except Broken:
                    head = dict(BROKEN_HEAD)
            found[row["id"]] = Listed(
                row["id"],
                row["alias"],
                row["day"],
                row["status"],
                row["whose_turn"],
                row["touched"],
                head,
                row["deadline"],
                row["claimed_by"],
                row["together"],
                row["news"],
            )
        return [found[name] for name in names if name in found]

    def one(self, connection: Connection, staff: bytes, private_key: bytes, case: bytes) -> Listed | None:
        """A case as a list shows it; None when it is gone or not sealed to this receiver."""
        return next(iter(self._heads(connection, staff, private_key, [case])), None)

    def each(self, connection: Connection, staff: bytes, private_key: bytes, *, newest: int = 0) -> Iterator[OpenCase]:
        """The receiver's cases one after the other, opened in memory: for searching and comparing; `newest` limits how many.

        Those that are opened offline alone, and those whose records were changed or damaged, are left out.
        """
        if not private_key:
            return
        names = select(Case.id).join(Seal, Seal.case_id == Case.id).join(Group, Group.id == Case.group_id)
        names = names.where(Seal.staff_id == staff, Group.offline.is_(False)).order_by(Case.day.desc(), Case.id)
        ordered = connection.execute(names.limit(newest) if newest else names).scalars().all()
        query = select(Case, Seal.body.label("seal")).join(Seal, Seal.case_id == Case.id)
        for page in pages(ordered, 100):
            rows = {row["id"]: row for row in connection.execute(query.where(Seal.staff_id == staff, Case.id.in_(page))).mappings()}
            items: dict[bytes, list[Any]] = {}
            for item in connection.execute(select(Item.case_id, Item.id, Item.body).where(Item.case_id.in_(page))):
                items.setdefault(item.case_id, []).append(item)
            for name in page:
                if name not in rows:
                    continue
                try:
                    opened = self._open(rows[name], case_key_by_seal(private_key, rows[name]["seal"]), items.get(name, []))
                except Broken:
                    continue
                yield opened

    def metadata(self, connection: Connection, *, limit: int = 100, offset: int = 0) -> list[Metadata]:
        """What an auditor may see of cases: their rows, nothing that is sealed."""
        query = select(Case.id, Case.alias, Case.day, Case.status, Case.whose_turn, Case.deadline, Case.group_id, Case.claimed_by)
        return [Metadata(*row) for row in connection.execute(query.order_by(Case.day.desc(), Case.id).limit(limit).offset(offset))]

    # --- who works on what -----------------------------------------------------------------------------------------------------

    def claim(self, connection: Connection, case_id: bytes, staff: bytes) -> bool:
        """Take a case nobody works on; False when somebody was faster or it is not sealed to this receiver."""
        mine = select(Seal.case_id).where(Seal.staff_id == staff)
        free = and_(Case.id == case_id, Case.claimed_by.is_(None), Case.id.in_(mine))
        return connection.execute(update(Case).where(free).values(claimed_by=staff)).rowcount == 1

    def claim_next(self, connection: Connection, staff: bytes, count: int) -> list[bytes]:
        """Take the oldest new cases that nobody works on."""
        query = select(Case.id).join(Seal, Seal.case_id == Case.id)
        query = query.where(Seal.staff_id == staff, Case.status == NEW, Case.claimed_by.is_(None)).order_by(Case.day, Case.id)
        return [name for name in connection.execute(query.limit(count)).scalars().all() if self.claim(connection, name, staff)]

    def release(self, connection: Connection, case_id: bytes, staff: bytes) -> bool:
        """Give a case back to the team."""
        return connection.execute(update(Case).where(Case.id == case_id, Case.claimed_by == staff).values(claimed_by=None)).rowcount == 1

    def take_over(self, connection: Connection, case_id: bytes, staff: bytes) -> bool:
        """Take a case another receiver works on."""
        mine = select(Seal.case_id).where(Seal.staff_id == staff)
        return connection.execute(update(Case).where(Case.id == case_id, Case.id.in_(mine)).values(claimed_by=staff)).rowcount == 1

    def put_together(self, connection: Connection, cases: Sequence[OpenCase]) -> None:
        """Mark cases as tips about the same event; the groups they were in become one."""
        known = {case.together for case in cases if case.together}
        name = next(iter(sorted(known)), None) or secrets.token_bytes(16)
        among = or_(Case.id.in_([case.id for case in cases]), Case.together.in_(known))
        connection.execute(update(Case).where(among).values(together=name))

    def put_apart(self, connection: Connection, case_id: bytes) -> None:
        """Take a case out of its group."""
        connection.execute(update(Case).where(Case.id == case_id).values(together=None))

    def by_seal(self, connection: Connection, staff: bytes, private_key: bytes, case: bytes) -> OpenCase | None:
        """A case opened by a receiver; None when it is gone, was never sealed to them, or is opened offline alone."""
        query = select(Case, Seal.body.label("seal"), Group.offline).join(Seal, Seal.case_id == Case.id)
        query = query.join(Group, Group.id == Case.group_id).where(Case.id == case, Seal.staff_id == staff)
        row = connection.execute(query).mappings().first()
        if row is None or row["offline"] or not private_key:
            return None
        return self._opened(connection, row, case_key_by_seal(private_key, row["seal"]))

    def take_commitments(self, connection: Connection) -> list[bytes]:
        """Take the commitments of originals that are not on record yet, in an order that says nothing of their coming."""
        found = connection.execute(select(Evidence.commitment).where(Evidence.commitment != b"")).scalars().all()
        connection.execute(update(Evidence).where(Evidence.commitment != b"").values(commitment=b""))
        return sorted(found)

    def tell_tipster(self, connection: Connection, case: OpenCase, by: str, words: str) -> None:
        """Answer the tipster, who reads it with the receipt code; a tipster who asked for it is told that there is news."""
        self._count_answer(connection, case.id, case.day)
        self._add(connection, case.key, case.id, "team", words=words, by=by)
        self._touch(connection, case.id, whose_turn=TIPSTER, status=OPEN if case.status == NEW else case.status, news=True, deadline=None)
        if self.push is not None:
            self.push.tell(connection, case.id, case.key, self.today())

    def answer_unread(self, connection: Connection, staff: bytes, case: bytes, by: str, words: str) -> bool:
        """Answer the tipster of a case that is opened offline alone: sealed to the case's public key, this server cannot read it back.

        False when the case is not sealed to this receiver.
        """
        query = (
            select(Case.public_key, Case.status, Case.day)
            .join(Seal, Seal.case_id == Case.id)
            .where(Case.id == case, Seal.staff_id == staff)
        )
        row = connection.execute(query).first()
        if row is None:
            return False
        self._count_answer(connection, case, row.day)
        item, body = self._item(connection, case, "team", words=words, by=by)
        sealed = seal_to(row.public_key, b"m", b"item.body" + case + item, body)
        connection.execute(insert(Item).values(id=item, case_id=case, body=sealed))
        self._touch(connection, case, whose_turn=TIPSTER, status=OPEN if row.status == NEW else row.status, news=True, deadline=None)
        return True

    def _count_answer(self, connection: Connection, case: bytes, day: dt.date) -> None:
        if self.statistics is not None:
            self.statistics.answered(connection, case, (self.today() - day).days)

    def mute(self, connection: Connection, case: OpenCase) -> bool:
        """Take nothing for a day from the chat that this case came from, without learning which it is.

        That is possible only while its sender wants to be told of news; False otherwise: nothing else leads from a case to a chat.
        """
        handle = self.push.peeled(connection, case.id, case.key, self.today()) if self.push is not None else None
        if handle is None or self.push is None or self.push.mute is None:
            return False
        self.push.mute(handle.address)
        return True

    def hold(self, connection: Connection, case: bytes, on: bool) -> None:
        """Put a case under a legal hold, or end it; the caller has made sure that two people agreed."""
        connection.execute(update(Case).where(Case.id == case).values(held=on))

    def note(self, connection: Connection, case: OpenCase, by: str, words: str) -> None:
        """A note that only the team reads."""
        self._add(connection, case.key, case.id, "note", words=words, by=by)
        self._touch(connection, case.id)

    def step(self, connection: Connection, case: OpenCase, by: str, facts: Mapping[str, Any], **columns: Any) -> None:
        """An action on the case, on its timeline; `columns` are what it changes in the row."""
        self._add(connection, case.key, case.id, "step", by=by, facts=facts)
        self._touch(connection, case.id, **columns)

    def note_to_self(self, connection: Connection, case: OpenCase, by: str, staff: bytes, public_key: bytes, words: str) -> None:
        """A note that only its writer reads: sealed once more, to their own key."""
        sealed = base64.b64encode(SealedBox(PublicKey(public_key)).encrypt(words.encode())).decode()
        self._add(connection, case.key, case.id, "mine", by=by, facts={"owner": staff.hex(), "sealed": sealed})

    @staticmethod
    def own_words(entry: Entry, private_key: bytes) -> str:
        """The words of one's own note."""
        return bytes(SealedBox(PrivateKey(private_key)).decrypt(base64.b64decode(entry.facts["sealed"]))).decode()

    def decide(self, connection: Connection, case: OpenCase, by: str, verdict: str, facts: Mapping[str, Any], for_tipster: str) -> None:
        """Record what became of a case: the verdict with its reason, and what the tipster is told."""
        head = self._seal_head(case.key, case.id, dict(case.head) | {"verdict": verdict})
        self.step(connection, case, by, {"action": "decided", "verdict": verdict, **facts}, head=head)
        if for_tipster:
            self.tell_tipster(connection, case, by, for_tipster)
        if self.statistics is not None:
            self.statistics.decided(connection, case.id, verdict)

    def close(self, connection: Connection, case: OpenCase, by: str) -> None:
        """Close a case; nobody works on it any more."""
        columns = {"status": CLOSED, "whose_turn": TIPSTER, "closed": self.today(), "deadline": None, "claimed_by": None}
        self.step(connection, case, by, {"action": "closed"}, **columns)

    def reopen(self, connection: Connection, case: OpenCase, by: str) -> None:
        """Open a closed case again."""
        columns = {"status": OPEN, "whose_turn": TEAM, "closed": None, "deadline": working_days_after(self.today(), ANSWER_DAYS)}
        self.step(connection, case, by, {"action": "reopened"}, **columns)

    def photo(self, connection: Connection, key: CaseKey, case: bytes, evidence: str) -> tuple[bytes, dict[str, Any]] | None:
        """A photo of a case and what is known of it; None when it is not of this case."""
        query = select(Evidence).where(Evidence.id == bytes.fromhex(evidence), Evidence.case_id == case)
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        facts = json.loads(unseal(key.items, b"f", b"evidence.facts" + case + row["id"], row["facts"]))
        return unseal(key.file(row["id"]), b"p", b"evidence.body" + case + row["id"], row["body"]), facts

    def photo_facts(self, connection: Connection, key: CaseKey, case: bytes) -> dict[str, dict[str, Any]]:
        """What is known of each photo of a case, by its id."""
        rows = connection.execute(select(Evidence.id, Evidence.facts).where(Evidence.case_id == case))
        return {row.id.hex(): json.loads(unseal(key.items, b"f", b"evidence.facts" + case + row.id, row.facts)) for row in rows}

    # --- inside ----------------------------------------------------------------------------------------------------------------

    def _team(self, connection: Connection, region: str, *, above: bool = False) -> tuple[int, list[tuple[bytes, bytes]]]:
        """The most local team that has receivers: the district's, the regency's, the province's, else the central one.

        With `above` the next level up, where there is one.
        """
        teams = connection.execute(select(Group.id, Group.region)).all()
        near = sorted((team for team in teams if region.startswith(team.region)), key=lambda team: -len(team.region))
        others = sorted((team for team in teams if team not in near), key=lambda team: len(team.region))
        able = [(team.id, readers) for team in near if (readers := self._readers(connection, team.id))]
        if not able:
            able = [(team.id, readers) for team in others if (readers := self._readers(connection, team.id))][:1]
        if not able:
            raise NoReceivers
        return able[1] if above and len(able) > 1 else able[0]

    def _readers(self, connection: Connection, team: int) -> list[tuple[bytes, bytes]]:
        """The receivers of a team, with their public keys: those who stand in the signed list with this key and team."""
        rows = connection.execute(select(Staff.id, Staff.public_key, Staff.roles).where(Staff.group_id == team, Staff.state == "active"))
        reading = [(row.id, row.public_key) for row in rows if {"reviewer", "verifier"} & set(row.roles.split(","))]
        if self.receivers is None:
            return reading
        signed = self.receivers.read(connection)
        return [(name, key) for name, key in reading if signed.counts(name, key, team)]

    def _alias(self, connection: Connection) -> str:
        while True:
            alias = new_alias()
            if connection.execute(select(Case.id).where(Case.alias == alias)).first() is None:
                return alias

    def _adopt(self, connection: Connection, case: bytes, key: CaseKey, photo: str, claimed: str, original: bytes | None = None) -> str:
        """Move a draft photo into a case under a new id and key; its metadata becomes statements."""
        draft = self.conversations.photo(connection, photo)
        if draft is None:
            return ""
        jpeg, facts = draft
        evidence, salt = secrets.token_bytes(16), secrets.token_bytes(32)
        taken = facts.pop("taken", "")
        facts["taken_as_claimed"] = "absent" if not taken or not claimed else "yes" if taken == claimed else "no"
        facts["salt"] = salt.hex()
        commitment = keyed(salt, b"original", bytes.fromhex(facts["original_sha256"]))
        facts["commitment"] = commitment.hex()
        connection.execute(
            insert(Evidence).values(
                id=evidence,
                case_id=case,
                facts=seal(key.items, b"f", b"evidence.facts" + case + evidence, json.dumps(facts).encode()),
                body=seal(key.file(evidence), b"p", b"evidence.body" + case + evidence, jpeg, FILE_PAD),
                commitment=commitment,
            )
        )
        if original is not None:
            originals.keep(connection, case, key, evidence, original, self.today())
        return evidence.hex()

    def _place_evidence(self, connection: Connection, case: bytes, photos: Sequence[str]) -> None:
        """Every photo named by an item is there: the transaction fails rather than lose one."""
        count = connection.execute(select(func.count()).select_from(Evidence).where(Evidence.case_id == case)).scalar_one()
        if count < len(photos):
            raise RuntimeError("a photo was not kept")

    def _add(
        self,
        connection: Connection,
        key: CaseKey,
        case: bytes,
        kind: str,
        *,
        words: str = "",
        by: str = "",
        facts: Mapping[str, Any] | None = None,
        photos: Sequence[str] = (),
    ) -> None:
        item, body = self._item(connection, case, kind, words=words, by=by, facts=facts, photos=photos)
        connection.execute(insert(Item).values(id=item, case_id=case, body=seal(key.items, b"m", b"item.body" + case + item, body)))

    def _item(
        self,
        connection: Connection,
        case: bytes,
        kind: str,
        *,
        words: str = "",
        by: str = "",
        facts: Mapping[str, Any] | None = None,
        photos: Sequence[str] = (),
    ) -> tuple[bytes, bytes]:
        """A new item's id, and what is to be sealed."""
        order = connection.execute(select(func.count()).select_from(Item).where(Item.case_id == case)).scalar_one()
        body = {
            "kind": kind,
            "order": order,
            "day": self.today().isoformat(),
            "words": words,
            "by": by,
            "facts": dict(facts or {}),
            "photos": list(photos),
        }
        return secrets.token_bytes(16), json.dumps(body, ensure_ascii=False).encode()

    def _opened(self, connection: Connection, row: RowMapping, key: CaseKey) -> OpenCase:
        return self._open(row, key, connection.execute(select(Item.id, Item.body).where(Item.case_id == row["id"])))

    def _open(self, row: RowMapping, key: CaseKey, items: Iterable[Row[Any]]) -> OpenCase:
        case = row["id"]
        if key.public != row["public_key"]:  # somebody else would read what is sealed to this case unread
            raise Broken
        entries = [entry_of(key, case, item.id, item.body) for item in items]
        head = json.loads(unseal(key.items, b"h", b"tip_case.head" + case, row["head"]))
        return OpenCase(
            case,
            row["alias"],
            row["day"],
            row["status"],
            row["whose_turn"],
            row["group_id"],
            head,
            tuple(sorted(entries, key=lambda entry: entry.order)),
            key,
            row["touched"],
            row["closed"],
            row["deadline"],
            row["claimed_by"],
            row["together"],
            row["news"],
            row["held"],
        )

    def _seal_head(self, key: CaseKey, case: bytes, head: Mapping[str, Any]) -> bytes:
        return seal(key.items, b"h", b"tip_case.head" + case, json.dumps(head, ensure_ascii=False).encode())

    def _touch(self, connection: Connection, case: bytes, **columns: Any) -> None:
        connection.execute(update(Case).where(Case.id == case).values(touched=self.today(), **columns))
