"""The signed list of receivers, and giving old cases to a new one: on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from sqlalchemy import Connection, delete, insert, select, update

from bot.messages import Address
from storage import grants
from storage.age import Recovery, public_of
from storage.audit import AuditLog
from storage.cases import Cases, NewTip, NoReceivers
from storage.conversations import Conversations
from storage.models import Approval, Seal, SignedReceivers, Staff, StaffSession
from storage.receivers import FORGED, MISSING, ReceiverList
from storage.staff import WAITING, Account, Accounts, Refused, add_team, credentials_for, listed, receivers
from storage.store import Store
from storage.vault import EpochKeys, Passphrase, Receipt, derive_passphrase, open_receiver_key, open_signing_key
from tests.conftest import Clock
from tests.whole import Whole

CHAT = Address("web_chat", "somebody")
PASSPHRASE = "enam kuda putih berlari jauh"
DERIVED = Passphrase(wrap=bytes(range(32)), verifier=bytes(32))


class Office:
    """An installation in its shipped configuration: accounts, cases and their list."""

    def __init__(self, url: str, folder: Path, clock: Clock, *, practice: bool = False) -> None:
        self.clock, self.store = clock, Store(url)
        self.audit = AuditLog(bytes(range(32)), clock)
        self.list = ReceiverList(bytes(range(32)), clock, practice=practice, audit=self.audit)
        self.staff = Accounts(bytes(range(32)), clock, practice=practice, receivers=self.list)
        self.recovery = Recovery.new()
        conversations = Conversations(EpochKeys(folder / "run", clock))
        self.cases = Cases(conversations, clock, recovery=public_of(self.recovery.recipient), receivers=self.list)
        self.number = 0

    def add(self, name: str, roles: str, team: str = "") -> Account:
        """An account as `netra staff add` makes it."""
        return self.store.write_now(lambda connection: self.staff.add(connection, name, roles.split(), team, PASSPHRASE))

    def invited(self, name: str, roles: str = "reviewer", team: int = 1) -> Account:
        """An account as an accepted invitation makes it."""
        self.number += 1
        made = credentials_for(bytes([200 + self.number]) * 16, bytes(16), DERIVED)
        token = self.store.write_now(lambda connection: self.staff.invite(connection, "boss", name, roles.split(), team))
        return self.store.write_now(lambda connection: self.staff.accept(connection, token, made))

    def get(self, name: str) -> Account:
        """The account with this name, as its row is now."""
        return next(account for account in self.store.read_now(listed) if account.name == name)

    def approve(self, name: str, by: str, signing: bytes = b"") -> frozenset[str]:
        """One approval of a waiting receiver, signed with the approver's own key."""
        approver = self.get(by)
        key = signing or self.signing(approver)
        return self.store.write_now(lambda connection: self.staff.approve(connection, self.get(name).id, approver, key))

    def signing(self, account: Account) -> bytes:
        """The private half of an account's signing key, opened with its passphrase."""
        return open_signing_key(self.derived(account), account.id, account.signing_key, account.signing_private)

    def private(self, name: str) -> bytes:
        """The private half of a receiver's key."""
        account = self.get(name)
        return open_receiver_key(self.derived(account), account.id, account.public_key, account.private_key)

    def derived(self, account: Account) -> Passphrase:
        """What the account's passphrase derives to."""
        if account.salt == bytes(16):
            return DERIVED
        return derive_passphrase(PASSPHRASE, account.salt)

    def tip(self, region: str = "") -> bytes:
        """A tip that was sent."""
        self.number += 1
        receipt = Receipt(bytes([self.number]) * 16, bytes([self.number]) * 31 + b"k")
        tip = NewTip(self.clock().date(), "id", {"what": "Camat berkampanye di balai desa", "when": ""}, [], region)
        return self.store.write_now(lambda connection: self.cases.open(connection, CHAT, tip, receipt))

    def sealed(self, name: str) -> set[bytes]:
        """The cases that were sealed to an account."""
        query = select(Seal.case_id).where(Seal.staff_id == self.get(name).id)
        return set(self.store.read_now(lambda connection: list(connection.execute(query).scalars())))

    def write(self, statement: Any) -> None:
        """What somebody does who can write into the database."""
        self.store.write_now(lambda connection: connection.execute(statement))

    @property
    def state(self) -> str:
        """What `netra doctor` says of the list."""
        return self.store.read_now(self.list.state)


@pytest.fixture
def office(home: str, tmp_path: Path, clock: Clock, cheap_keys: None) -> Iterator[Office]:
    """A founded office: a receiver, a verifier, an auditor and an admin."""
    made = Office(home, tmp_path, clock)
    for name, role in (("rina", "reviewer"), ("vera", "verifier"), ("maya", "auditor"), ("boss", "admin")):
        made.add(name, role)
    yield made
    made.store.close()


def test_a_row_in_the_table_makes_no_reader(office: Office) -> None:
    """Whoever writes an account of their own into the database gets no tip; the state names it, and later changes do not take it in."""
    mine = credentials_for(b"m" * 16, bytes(16), DERIVED)
    row = {"id": mine.staff_id, "name": "mata", "roles": "reviewer", "group_id": 1, "state": "active", "salt": mine.salt}
    row |= {"verifier": mine.verifier, "public_key": mine.public_key, "private_key": mine.wrapped, "since": office.clock().date()}
    row |= {"signing_key": mine.signing_key, "signing_private": mine.signing_private}
    row |= {"receiver_ok": "rina", "auditor_ok": "maya", "receiver_sig": bytes(64), "auditor_sig": bytes(64)}
    assert office.state == "ok"
    office.write(insert(Staff).values(**row))
    case = office.tip()
    assert office.sealed("mata") == set() and office.sealed("rina") == {case}
    assert "mata" in office.state
    office.add("tono", "auditor")
    office.tip()
    assert office.sealed("mata") == set() and "mata" in office.state
    with pytest.raises(Refused):
        office.approve("mata", "rina")


def test_a_row_in_the_table_makes_no_auditor(office: Office) -> None:
    """Nor can an auditor be made by a row, or one's signing key exchanged: what such an account approves is refused."""
    mine = credentials_for(b"m" * 16, bytes(16), DERIVED)
    row = {"id": mine.staff_id, "name": "mata", "roles": "auditor", "group_id": 1, "state": "active", "salt": mine.salt}
    row |= {"verifier": mine.verifier, "public_key": mine.public_key, "private_key": mine.wrapped, "since": office.clock().date()}
    office.write(insert(Staff).values(**row, signing_key=mine.signing_key, signing_private=mine.signing_private))
    office.clock.forward(days=2)
    office.invited("sari")
    with pytest.raises(Refused):
        office.approve("sari", "mata")
    exchanged = {"signing_key": mine.signing_key, "signing_private": mine.signing_private}
    office.write(update(Staff).where(Staff.name == "maya").values(**exchanged))
    office.add("adi", "auditor")
    with pytest.raises(Refused):
        office.approve("sari", "maya", open_signing_key(DERIVED, mine.staff_id, mine.signing_key, mine.signing_private))
    assert office.approve("sari", "adi") == {"auditor"}


def test_another_key_or_team_in_a_row_gets_nothing(office: Office) -> None:
    """A listed receiver whose key was exchanged, or who was put into another team, is not sealed to until the list says so."""
    false = credentials_for(b"f" * 16, bytes(16), DERIVED)
    true = office.get("rina").public_key
    office.write(update(Staff).where(Staff.name == "rina").values(public_key=false.public_key))
    office.tip()
    assert office.sealed("rina") == set() and "rina" in office.state
    office.write(update(Staff).where(Staff.name == "rina").values(public_key=true))
    other = office.store.write_now(lambda connection: add_team(connection, "Tim Lampung", "18"))
    office.write(update(Staff).where(Staff.name == "rina").values(group_id=other))
    office.tip("18.07")
    assert office.sealed("rina") == set() and "rina" in office.state


def test_a_missing_or_changed_list_takes_no_tip(office: Office) -> None:
    """Without a list that the installation signed nothing is sealed to anybody; the operator makes it anew, on record."""
    row = office.store.read_now(lambda connection: connection.execute(select(SignedReceivers)).mappings().one())
    body = json.loads(row["body"])
    body["receivers"][0]["key"] = "00" * 32
    forger = SigningKey(bytes([9]) * 32)
    for change, fault in (
        (update(SignedReceivers).values(body=json.dumps(body)), FORGED),
        (update(SignedReceivers).values(body=json.dumps(body), signature=forger.sign(json.dumps(body).encode()).signature), FORGED),
        (update(SignedReceivers).values(signature=b"short"), FORGED),
        (delete(SignedReceivers), MISSING),
    ):
        office.write(change)
        with pytest.raises(NoReceivers):
            office.tip()
        assert not office.store.read_now(office.cases.ready)
        assert fault in office.state
        office.add(f"a{len(office.store.read_now(listed))}", "auditor")
        assert fault in office.state, "a change of accounts must not sign what was not looked at"
    office.store.write_now(office.list.refound)
    assert office.state == "ok"
    case = office.tip()
    assert case in office.sealed("rina") & office.sealed("vera")


def test_an_older_list_that_is_put_back_is_found(office: Office) -> None:
    """A removed receiver does not come back with the list of yesterday: the audit log has the digest of the last one."""
    office.add("tono", "reviewer")
    old = dict(office.store.read_now(lambda connection: connection.execute(select(SignedReceivers)).mappings().one()))
    office.store.write_now(lambda connection: office.staff.remove(connection, office.get("tono").id))
    assert office.state == "ok"
    office.write(update(SignedReceivers).values(body=old["body"], signature=old["signature"]))
    assert "older" in office.state
    office.tip()
    assert office.sealed("tono") == set(), "the row says removed"


def test_a_new_receiver_carries_two_signatures_and_waits_a_day(office: Office) -> None:
    """The entry is signed by a receiver and an auditor with keys only they can open, and it counts after 24 hours."""
    office.clock.forward(days=2)
    office.invited("sari")
    assert office.approve("sari", "maya") == {"auditor"}
    assert office.approve("sari", "rina") == {"receiver"}
    early = office.tip()
    assert office.store.write_now(office.staff.settle) == []
    office.clock.forward(hours=25)
    assert office.store.write_now(office.staff.settle) == ["sari"]
    late = office.tip()
    assert office.sealed("sari") == {late} and early not in office.sealed("sari")
    entry = office.store.read_now(office.list.read).receivers[office.get("sari").id]
    assert set(entry.approved_by) == {"rina", "maya"} and office.state == "ok"


@pytest.mark.parametrize("trick", ["time", "names", "forged", "key", "team"])
def test_approvals_that_were_not_signed_make_no_reader(office: Office, trick: str) -> None:
    """Who edits the row of a waiting receiver (time, names, keys, team) or signs with another key has nothing of it."""
    office.clock.forward(days=2)
    sari = office.invited("sari")
    if trick == "names":
        office.write(update(Staff).where(Staff.name == "sari").values(receiver_ok="rina", auditor_ok="maya", ready_at=0))
    elif trick == "forged":
        for by in ("maya", "rina"):
            with pytest.raises(Refused):
                office.approve("sari", by, signing=bytes([5]) * 32)
        rina = office.get("rina")
        signature = office.store.read_now(
            partial(office.list.approval, account=sari, capacity="receiver", by=rina, signing=office.signing(rina))
        )
        values = {"receiver_ok": "rina", "auditor_ok": "maya", "receiver_sig": signature, "auditor_sig": signature}
        office.write(update(Staff).where(Staff.name == "sari").values(**values))
    else:
        office.approve("sari", "maya")
        office.approve("sari", "rina")
    if trick == "time":
        office.write(update(Staff).where(Staff.name == "sari").values(ready_at=1))
    if trick == "key":
        office.write(update(Staff).where(Staff.name == "sari").values(public_key=bytes([7]) * 32))
    if trick == "team":
        other = office.store.write_now(lambda connection: add_team(connection, "Tim Lampung", "18"))
        office.write(update(Staff).where(Staff.name == "sari").values(group_id=other))
    office.clock.forward(hours=0 if trick == "time" else 25)
    office.store.write_now(office.staff.settle)
    office.tip("18.07")
    assert office.sealed("sari") == set()
    assert sari.id not in office.store.read_now(office.list.read).receivers and "sari" in office.state


def test_an_approver_who_is_removed_takes_the_approval_along(office: Office) -> None:
    """What somebody approved who was then thrown out has to be approved by somebody else."""
    office.add("tono", "reviewer")
    office.clock.forward(days=2)
    office.invited("sari")
    office.approve("sari", "tono")
    office.approve("sari", "maya")
    office.store.write_now(lambda connection: office.staff.remove(connection, office.get("tono").id))
    office.clock.forward(days=2)
    assert office.store.write_now(office.staff.settle) == []
    assert office.approve("sari", "rina") == {"receiver"}
    assert office.get("sari").receives and office.state == "ok"


def test_the_operator_adds_readers_alone_on_the_founding_day_only(office: Office) -> None:
    """A shell on the server makes no reader at once any more: the account waits for two people and a day. Other roles count at once."""
    assert office.add("tono", "reviewer").receives
    office.clock.forward(hours=25)
    late = office.add("mata", "reviewer verifier")
    assert late.state == WAITING and late.ready_at > office.staff.now()
    assert office.add("adi", "admin auditor").state == "active"
    office.tip()
    assert office.sealed("mata") == set()
    office.approve("mata", "rina")
    office.approve("mata", "adi")
    office.clock.forward(hours=25)
    assert office.store.write_now(office.staff.settle) == ["mata"]


def test_practice_signs_at_once(home: str, tmp_path: Path, clock: Clock, cheap_keys: None) -> None:
    """In practice mode the first account reads at once, and may approve the next one alone."""
    office = Office(home, tmp_path, clock, practice=True)
    made = office.store.write_now(office.staff.ensure_first)
    assert made is not None
    office.invited("sari")
    first = office.get("admin")
    derived = derive_passphrase(made[1], first.salt)
    signing = open_signing_key(derived, first.id, first.signing_key, first.signing_private)
    assert office.approve("sari", "admin", signing) == {"receiver", "auditor"}
    case = office.tip()
    assert office.sealed("admin") == office.sealed("sari") == {case} and office.state == "ok"
    office.store.close()


def test_the_program_as_it_is_built_asks_the_list(tmp_path: Path, cheap_keys: None) -> None:
    """What `netra run` puts together seals by the list: without it no tip can be taken, and the first account stands in it."""
    with Whole(tmp_path) as whole:
        assert whole.netra.store.read_now(whole.netra.cases.ready)
        whole.netra.store.write_now(lambda connection: connection.execute(delete(SignedReceivers)))
        assert not whole.netra.store.read_now(whole.netra.cases.ready)


# --- old cases for a new receiver -------------------------------------------------------------------------------------------------------


def given(office: Office, giver: str, to: str, page: int) -> list[grants.Granted]:
    """Every page of a re-grant."""
    pages, after = [], b""
    while True:
        begin, account, key = after, office.get(to), office.private(giver)
        done = office.store.write_now(
            partial(grants.regrant, from_staff=office.get(giver).id, private_key=key, to=account, after=begin, page=page)
        )
        pages.append(done)
        if done.after is None:
            return pages
        after = done.after


def test_old_cases_reach_a_new_receiver_by_an_existing_one_or_by_recovery(office: Office) -> None:
    """Page by page, of the team alone; doing it again changes nothing; the new receiver opens every one."""
    cases = {office.tip() for _ in range(5)}
    office.add("baru", "reviewer")
    office.add("pulih", "reviewer")
    assert [page.count for page in given(office, "rina", "baru", 2)] == [2, 2, 1]
    assert [page.count for page in given(office, "rina", "baru", 200)] == [5]
    halves = office.recovery.halves()
    joined, to = Recovery.joined(*halves), office.get("pulih")
    done = office.store.write_now(lambda connection: grants.recover(connection, joined, to))
    assert (done.count, done.failed) == (5, 0)
    for name in ("baru", "pulih"):
        account, key = office.get(name), office.private(name)
        opened = office.store.read_now(partial(office.cases.listed, staff=account.id, private_key=key))
        assert {case.id for case in opened} == cases and office.sealed(name) == cases


def test_removing_a_receiver_ends_seals_sessions_and_the_place_in_the_list_at_once(office: Office) -> None:
    """In one transaction: no seal, no session, no key, no approval asked for, no entry; the last but one stays."""
    office.add("tono", "reviewer")
    tono = office.get("tono")
    office.tip()
    cookie = office.store.write_now(lambda connection: office.staff.begin(connection, tono.id, bytes(32), factor=True))
    office.store.write_now(lambda connection: office.staff.ask_approval(connection, "export", ["x"], tono))
    office.store.write_now(lambda connection: office.staff.remove(connection, tono.id))
    assert office.sealed("tono") == set()
    assert office.store.read_now(lambda connection: office.staff.session(connection, cookie)) is None

    def left(connection: Connection) -> list[Any]:
        rows = [connection.execute(select(table).where(column == tono.id)).first() for table, column in (
            (StaffSession, StaffSession.staff_id), (Approval, Approval.asked_by))]  # fmt: skip
        return [row for row in rows if row is not None]

    assert office.store.read_now(left) == []
    assert tono.id not in office.store.read_now(office.list.read).receivers
    gone = office.get("tono")
    assert (gone.private_key, gone.signing_private, gone.verifier, gone.roles) == (b"", b"", b"", frozenset())
    assert [account.name for account in office.store.read_now(receivers)] == ["rina", "vera"]
    with pytest.raises(Refused):
        office.store.write_now(lambda connection: office.staff.remove(connection, office.get("vera").id))
    with pytest.raises(Refused):
        office.store.write_now(lambda connection: grants.regrant(connection, gone.id, bytes(32), gone))
