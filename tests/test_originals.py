"""Originals for a court: asked in plain words, locked for offline keys alone, released by two people, gone after 90 days."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy import Connection, select, update

from bot.messages import Address, Attachment, Inbound
from storage import originals
from storage.age import Recovery, decrypted
from storage.cases import OpenCase
from storage.models import Case, Original
from storage.originals import Waiting
from storage.staff import Account, Accounts, Refused
from tests.conftest import Clock
from tests.talk import NUMBERS, Machine, Talk
from tests.test_export import account, private_key
from tests.test_push import WHAT

ORIGINAL = b"\xff\xd8\xff" + b"GPS -5.02 105.30 SM-A546E " * 50
ELSEWHERE = Address("telegram", "1")


@pytest.fixture
def recovery(machine: Machine) -> Recovery:
    """An offline key that this machine's originals are locked for."""
    made = Recovery.new()
    machine.originals.offline = (made.recipient,)
    return made


def with_photos(machine: Machine, count: int = 1) -> Talk:
    """Somebody at the question for photos, who has sent some and is done."""
    talk = Talk(machine)
    talk.says("lapor").taps("Lainnya").taps("Tidak yakin").taps("Hari ini").says(WHAT).taps("Lewati")
    kept = []
    for _ in range(count):
        evidence = secrets.token_bytes(16)
        facts = {"original_sha256": secrets.token_hex(32), "taken": "", "likeness": "0" * 16}
        machine.store.write_now(
            lambda connection, evidence=evidence, facts=facts: machine.conversations.keep_photo(
                connection, talk.address, evidence, b"\xff\xd8\xffclean", facts
            )
        )
        machine.originals.hold(talk.address, evidence.hex(), ORIGINAL)
        kept.append(Attachment(evidence=evidence.hex()))
    talk._send(Inbound(talk.address, f"m{next(NUMBERS)}", attachments=tuple(kept)))
    return talk.taps("Selesai")


def opened(machine: Machine) -> OpenCase:
    me, key = account(machine).id, private_key(machine)
    with machine.store.engine.connect() as connection:
        case = machine.cases.by_seal(connection, me, key, machine.cases.metadata(connection)[0].id)
    assert case is not None
    return case


def available(machine: Machine, case: OpenCase) -> frozenset[str]:
    return machine.store.read_now(lambda connection: originals.available(connection, case.id))


def test_a_yes_keeps_the_original_for_the_offline_key_alone(machine: Machine, recovery: Recovery) -> None:
    """No byte of it stands in the database in clear; the case says that it is there; the offline key opens what two people release."""
    talk = with_photos(machine, 2).hears("tip.originals")
    assert talk.labels[0] == "Tidak"
    talk.taps("Ya").taps("Lewati").hears("tip.originals_kept").taps("Kirim")
    case = opened(machine)
    photos = case.entries[0].photos
    assert available(machine, case) == frozenset(photos)
    for path in machine.folder.glob("netra.db*"):
        assert b"SM-A546E" not in path.read_bytes() and b"age-encryption" not in path.read_bytes()
    file = released(machine, case, photos[0])
    assert b"SM-A546E" not in file
    assert decrypted(file, recovery) == ORIGINAL


def test_no_is_the_default_and_keeps_nothing(machine: Machine, recovery: Recovery) -> None:
    """After a no the original is nowhere."""
    with_photos(machine).taps("Tidak").taps("Lewati").taps("Kirim")
    assert available(machine, opened(machine)) == frozenset()
    assert machine.store.read_now(lambda connection: connection.execute(select(Original.id)).all()) == []


def test_without_an_offline_key_nothing_is_asked(machine: Machine) -> None:
    """Where only this server could keep originals, the question is not asked."""
    with_photos(machine).is_asked("tip.more")


def test_without_photos_nothing_is_asked(machine: Machine, recovery: Recovery) -> None:
    """A tip in words alone is not asked about originals."""
    with_photos(machine, 0).is_asked("tip.more")


def test_a_restart_loses_originals_and_does_not_promise_them(machine: Machine, recovery: Recovery) -> None:
    """An original that was in memory is gone after a restart: a yes that was given is not shown as kept any more."""
    talk = with_photos(machine).taps("Ya").taps("Lewati").hears("tip.originals_kept")
    machine.originals._files.clear()
    talk.taps("Kirim").is_asked("tip.send")
    assert machine.texts.plain("id", "tip.originals_kept") not in talk.text
    talk.taps("Kirim")
    assert available(machine, opened(machine)) == frozenset()


# --- who waits in memory ---------------------------------------------------------------------------------------------------------


def test_waiting_originals_are_bounded_and_forgotten() -> None:
    """Beyond the limit the oldest go; after a day all go; what a conversation names no more goes at once; none is readable here."""
    now = [0.0]
    waiting = Waiting((Recovery.new().recipient,), memory=8000, monotonic=lambda: now[0])
    for number in range(8):
        waiting.hold(ELSEWHERE, str(number), bytes(1500))
    assert not waiting.there(["0"]) and waiting.there(["7"]) and waiting.there(["6", "7"])
    waiting.hold(Address("telegram", "2"), "x", ORIGINAL)
    assert b"SM-A546E" not in waiting.of(["x"])["x"]
    waiting.keep_only(ELSEWHERE, ["7"])
    assert waiting.there(["7", "x"]) and not waiting.there(["6"])
    now[0] = 24 * 3600 + 1.0
    waiting.hold(ELSEWHERE, "new", b"1")
    assert waiting.there(["new"]) and not waiting.there(["7"]) and not waiting.there([])


def test_without_offline_keys_nothing_waits() -> None:
    """No original is held in memory where none could be kept."""
    waiting = Waiting()
    waiting.hold(ELSEWHERE, "x", ORIGINAL)
    assert not waiting.there(["x"])


# --- release and end ---------------------------------------------------------------------------------------------------------------


def released(machine: Machine, case: OpenCase, photo: str) -> bytes:
    """An original, asked for by one and agreed to by another."""
    staff = Accounts(machine.keys.panel, machine.clock)
    one, other = account(machine), second(machine)

    def release(connection: Connection) -> bytes:
        asked = originals.ask_release(connection, staff, photo, one)
        with pytest.raises(Refused):
            originals.release(connection, staff, asked, one, case.id, case.key, photo)
        with pytest.raises(Refused):
            staff.agree(connection, asked, one)
        staff.agree(connection, asked, other)
        file = originals.release(connection, staff, asked, one, case.id, case.key, photo)
        with pytest.raises(Refused):
            originals.release(connection, staff, asked, one, case.id, case.key, photo)
        return file

    return machine.store.write_now(release)


def second(machine: Machine) -> Account:
    machine.receiver("kedua")
    return account(machine, "kedua")


def test_an_agreement_is_for_one_original(machine: Machine, recovery: Recovery) -> None:
    """What was agreed for one photo does not release another."""
    with_photos(machine, 2).taps("Ya").taps("Lewati").taps("Kirim")
    case, staff = opened(machine), Accounts(machine.keys.panel, machine.clock)
    first, other = case.entries[0].photos
    one, two = account(machine), second(machine)

    def swap(connection: Connection) -> None:
        asked = originals.ask_release(connection, staff, first, one)
        staff.agree(connection, asked, two)
        originals.release(connection, staff, asked, one, case.id, case.key, other)

    with pytest.raises(Refused):
        machine.store.write_now(swap)


def test_originals_are_destroyed_after_ninety_days_unless_held(machine: Machine, recovery: Recovery, clock: Clock) -> None:
    """On day 91 they go; under a legal hold they stay; the clean copies are not touched."""
    with_photos(machine).taps("Ya").taps("Lewati").taps("Kirim")
    case = opened(machine)

    def expire(connection: Connection) -> int:
        return originals.expire(connection, clock().date(), Case.held.is_(True))

    clock.forward(days=90)
    assert machine.store.write_now(expire) == 0
    clock.forward(days=1)
    machine.store.write_now(lambda connection: machine.cases.hold(connection, case.id, True))
    assert machine.store.write_now(expire) == 0
    machine.store.write_now(lambda connection: machine.cases.hold(connection, case.id, False))
    assert machine.store.write_now(expire) == 1
    assert available(machine, case) == frozenset() and opened(machine).entries[0].photos


def test_originals_go_with_their_case(machine: Machine, recovery: Recovery) -> None:
    """A withdrawn tip takes its originals with it."""
    with_photos(machine).taps("Ya").taps("Lewati").taps("Kirim")
    case = opened(machine)
    machine.store.write_now(lambda connection: machine.cases.destroy(connection, case.id))
    assert machine.store.read_now(lambda connection: connection.execute(select(Original.id)).all()) == []


def test_an_original_is_bound_to_its_photo(machine: Machine, recovery: Recovery) -> None:
    """Two originals that were swapped in the table are refused, never released."""
    with_photos(machine, 2).taps("Ya").taps("Lewati").taps("Kirim")
    case = opened(machine)

    def swap(connection: Connection) -> None:
        first, other = connection.execute(select(Original.id, Original.body)).all()
        connection.execute(update(Original).where(Original.id == first.id).values(body=other.body))
        connection.execute(update(Original).where(Original.id == other.id).values(body=first.body))

    machine.store.write_now(swap)
    with pytest.raises(Exception, match=r"^$") as refused:
        released(machine, case, case.entries[0].photos[0])
    assert type(refused.value).__name__ == "Broken"
