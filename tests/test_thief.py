"""The table "what a thief gets" of the threat model, played: each thief tries every key of the loot on every sealed record."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.messages import Address
from storage import age, backup, originals
from storage.age import Recovery, Unreadable
from storage.cases import NewTip
from storage.models import Case, Group, Staff, Table
from storage.staff import add, add_team, listed
from storage.store import connect
from storage.subscribers import Wish
from storage.vault import (
    ALG_SEALED,
    MAGIC,
    Broken,
    CaseKey,
    EpochKeys,
    Keys,
    Receipts,
    case_key_by_receipt,
    case_key_by_seal,
    derive_passphrase,
    keyed,
    open_receiver_key,
    unseal,
    unseal_with,
)
from tests.talk import PASSPHRASE, Machine, Talk
from tests.test_export import private_key
from tests.test_push import WHAT

CHAT, SUBSCRIBER, DRAFTER = "628111222333", "628444555666", "628777888999"
PERSONS = (b"push", b"push stop", b"subscriber name", b"subscriber seal", b"items", b"proof", b"chat", b"totp", b"panel", b"statistics")
"""The purposes under which keys derive others, as the program names them."""

STAFF_SECRETS = {"staff.totp", "statistic.body", "subscriber.address"}
"""What the keys folder opens (docs/threat-model.md)."""

DRAFTS = {"conversation.body", "outbox.body", "trace.body", "inbox.body"}
OF_A_CASE = {"tip_case.head", "item.body", "evidence.facts", "evidence.body", "original.body", "push_handle.body"}


@dataclass(frozen=True)
class Prey:
    """A server on which everything has happened once."""

    machine: Machine
    recovery: Recovery
    code: str
    case: bytes
    other: bytes
    backup: Path

    @property
    def database(self) -> Path:
        """The file that the first thief takes."""
        return self.machine.folder / "netra.db"

    @property
    def secrets(self) -> list[bytes]:
        """What may stand nowhere in clear."""
        bare = self.code.replace(" ", "")
        return [WHAT[:25].encode(), b"RAHASIA LAIN", b"age-encryption", CHAT.encode(), SUBSCRIBER.encode(), DRAFTER.encode(), bare.encode()]


@pytest.fixture
def prey(machine: Machine, tmp_path: Path) -> Prey:
    """Two tips of two teams (one with photo, original and notices), a reminder that was asked for, a draft that is not sent, a backup."""
    recovery = Recovery.new()
    machine.originals.offline = (recovery.recipient,)
    talk = Talk(machine, "telegram", CHAT)
    talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati").sends_photos(1)
    (photo,) = {photo for answer in talk.state["answers"].values() for photo in answer.get("photos", ())}
    machine.originals.hold(talk.address, photo, b"\xff\xd8\xff GPS -5.02 105.30" * 90)
    talk.taps("Selesai").is_asked("tip.originals").taps("Ya").taps("Lewati").taps("Kirim")
    code = next(span.text for message in talk.heard for span in message.spans if span.style == "code")
    talk.says(code[-4:])
    talk.says(code).taps("Kabari saya").taps("Ya").hears("follow_up.telling")
    machine.store.write_now(lambda connection: add_team(connection, "Tim Aceh", "11"))
    machine.store.write_now(lambda connection: add(connection, "orang-aceh", ["reviewer"], "Tim Aceh", PASSPHRASE + " lain"))
    machine.receipts.refill()
    fresh = machine.receipts.take()
    assert fresh is not None
    tip = NewTip(machine.clock().date(), "id", {"what": "RAHASIA LAIN", "when": ""}, (), "11")
    other = machine.store.write_now(lambda connection: machine.cases.open(connection, Address("telegram", "1"), tip, fresh.receipt))
    wish = Wish("pns", "18", "id", ("weekly",))
    subscriber = Address("telegram", SUBSCRIBER)
    machine.store.write_now(lambda connection: machine.desk.subscribers.subscribe(connection, subscriber, wish, machine.clock().date()))
    Talk(machine, "telegram", DRAFTER).says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(
        "RAHASIA LAIN yang belum dikirim"
    )
    case = machine.store.read_now(lambda connection: connection.execute(select(Case.id).where(Case.id != other)).scalar_one())
    made = backup.back_up(machine.folder / "netra.db", tmp_path / "backups", recovery.recipient, machine.folder / "run", machine.clock())
    machine.store.close()
    return Prey(machine, recovery, code, case, other, made)


def opened_by(prey: Prey, keys: Iterable[bytes]) -> dict[str, list[bytes]]:
    """Every sealed field of the stolen database that these keys, and all that follows from them, open; with what stood in it."""
    engine = connect(f"sqlite:///{prey.database}")
    with engine.connect() as connection:
        rows = {table.name: [dict(row) for row in connection.execute(select(table)).mappings()] for table in Table.metadata.sorted_tables}
    engine.dispose()
    ring = set(keys)
    ring |= {keyed(key, person, b"") for key in ring for person in PERSONS}
    sealed = [row["body"] for row in rows["seal"]] + [row["recovery"] for row in rows["tip_case"]]
    for key, body in itertools.product(sorted(ring), sealed):
        try:
            case = case_key_by_seal(key, body)
        except Broken:
            continue
        ring |= {case.private, case.items, keyed(case.private, b"push", b"")}
        ring |= {case.file(row["id"] + more) for row in rows["evidence"] for more in (b"", b"original")}
    found: dict[str, list[bytes]] = {}
    for table, held in rows.items():
        for row in held:
            for column, value in row.items():
                if (plain := tried(ring, f"{table}.{column}", row, value)) is not None:
                    found.setdefault(f"{table}.{column}", []).append(plain)
    return found


def tried(ring: set[bytes], name: str, row: dict[str, object], record: object) -> bytes | None:
    """What any key opens a record to, in any place that its row could name."""
    if not isinstance(record, bytes) or not record.startswith(MAGIC):
        return None
    names = [b"", *(value for value in row.values() if isinstance(value, bytes) and 0 < len(value) <= 32)]
    names += [value.to_bytes(8, "big") for value in row.values() if type(value) is int and 0 <= value < 1 << 63]
    places = {name.encode() + one + two for one, two in itertools.product(names, names)}
    for key, place in itertools.product(ring, places):
        try:
            return (unseal_with if record[3:4] == ALG_SEALED else unseal)(key, record[4:5], place, record)
        except Broken:
            continue
    return None


def folder_keys(prey: Prey) -> set[bytes]:
    """The keys in the keys folder."""
    return {(prey.machine.folder / "keys" / name).read_bytes() for name in Keys.NAMES}


def run_keys(prey: Prey) -> set[bytes]:
    """The draft keys in the run folder, and what the program derives from them."""
    return {key for _, key in EpochKeys(prey.machine.folder / "run", prey.machine.clock).live()}


def test_a_thief_of_the_database_opens_nothing(prey: Prey) -> None:
    """No record opens, and no word, chat, code or original stands in the file."""
    assert opened_by(prey, [bytes(32)]) == {}
    for path in prey.machine.folder.glob("netra.db*"):
        for secret in prey.secrets:
            assert secret not in path.read_bytes()


def test_a_code_is_not_even_tried_without_the_pepper(prey: Prey) -> None:
    """The right code finds its case with the pepper of the keys folder; without it nothing fits."""
    with connect(f"sqlite:///{prey.database}").connect() as connection:
        row = connection.execute(select(Case.lookup, Case.wrapped).where(Case.id == prey.case)).one()
    bare = prey.code.replace(" ", "")
    blind, able = Receipts(bytes(32)), Receipts((prey.machine.folder / "keys" / "receipt_pepper").read_bytes())
    assert blind.derive(blind.hashed(bare)).lookup != row.lookup
    receipt = able.derive(able.hashed(bare))
    assert receipt.lookup == row.lookup and isinstance(case_key_by_receipt(receipt, prey.case, row.wrapped), CaseKey)


def test_a_stolen_backup_adds_nothing(prey: Prey, tmp_path: Path) -> None:
    """It is noise for everybody without both halves of the recovery key; with both it is the database without drafts."""
    noise = prey.backup.read_bytes()
    assert not [secret for secret in prey.secrets if secret in noise and secret != b"age-encryption"] and b"SQLite" not in noise
    one, other = prey.recovery.halves()
    for wrong in (Recovery.new(), *(Recovery(key) for key in folder_keys(prey))):
        with pytest.raises(Unreadable):
            backup.restore(prey.backup, tmp_path / "stolen.db", wrong)
    with pytest.raises(Unreadable):
        backup.restore(prey.backup, tmp_path / "stolen.db", Recovery.joined(one, one))
    backup.restore(prey.backup, tmp_path / "stolen.db", Recovery.joined(one, other))
    with connect(f"sqlite:///{tmp_path / 'stolen.db'}").connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM tip_case").scalar() == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM conversation").scalar() == 0


def test_database_and_keys_folder_open_no_tip_and_no_draft(prey: Prey) -> None:
    """They open what the threat model admits, the subscribers and the statistics, and nothing of a case or a chat."""
    found = opened_by(prey, folder_keys(prey))
    assert set(found) <= STAFF_SECRETS and found["subscriber.address"] == [SUBSCRIBER.encode()]
    assert not any(
        secret in plain for secret in (b"RAHASIA", WHAT[:25].encode(), CHAT.encode()) for plains in found.values() for plain in plains
    )


def test_a_live_server_adds_the_drafts_of_its_run_folder(prey: Prey) -> None:
    """With the draft keys the unfinished tip is read, and still nothing of what was sent."""
    found = opened_by(prey, folder_keys(prey) | run_keys(prey))
    assert any(b"RAHASIA LAIN yang belum" in plain for plain in found["conversation.body"])
    assert not OF_A_CASE & set(found)
    shutil.rmtree(prey.machine.folder / "run")
    assert not DRAFTS & set(opened_by(prey, folder_keys(prey) | run_keys(prey))), "a disk without its memory opens no draft"


def test_one_receivers_passphrase_opens_the_cases_of_that_team_alone(prey: Prey) -> None:
    """Words and photos of the own team; not the other team's, not an original, not who asked for notices."""
    found = opened_by(prey, [private_key(prey.machine)])
    assert set(found) >= OF_A_CASE
    everything = b"".join(plain for plains in found.values() for plain in plains)
    assert WHAT[:25].encode() in everything and b"RAHASIA LAIN" not in everything and CHAT.encode() not in everything
    (original,) = found["original.body"]
    assert original.startswith(b"age-encryption") and b"GPS" not in original
    with pytest.raises(Unreadable):
        age.decrypted(original, Recovery(private_key(prey.machine)))
    assert b"GPS -5.02" in age.decrypted(original, prey.recovery)


def test_a_passphrase_with_database_and_keys_folder_opens_an_opt_in_notice(prey: Prey) -> None:
    """The one way to a chat, admitted in the table: only of those who asked for notices, for 30 days."""
    (inner,) = opened_by(prey, [private_key(prey.machine)])["push_handle.body"]
    push = keyed((prey.machine.folder / "keys" / "push").read_bytes(), b"push", b"")
    assert CHAT.encode() in unseal_with(push, b"h", b"push_handle.inner" + prey.case, inner)


def test_the_other_team_opens_its_own(prey: Prey) -> None:
    """The search is not blind: the other team's passphrase opens the other case, and not the first."""
    with connect(f"sqlite:///{prey.database}").connect() as connection:
        (them,) = [one for one in listed(connection) if one.name == "orang-aceh"]
        row = connection.execute(
            select(Staff.salt, Staff.public_key, Staff.private_key, Group.name).join(Group).where(Staff.id == them.id)
        ).one()
    private = open_receiver_key(derive_passphrase(PASSPHRASE + " lain", row.salt), them.id, row.public_key, row.private_key)
    everything = b"".join(plain for plains in opened_by(prey, [private]).values() for plain in plains)
    assert b"RAHASIA LAIN" in everything and WHAT[:25].encode() not in everything
    assert originals.DAYS == 90
