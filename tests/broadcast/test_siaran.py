"""/siaran: linked staff alone, drafts in chat, approval by another with a fresh code."""

from __future__ import annotations

import pyotp
import pytest
from sqlalchemy import update

from storage.models import Staff, Table
from storage.staff import add
from storage.staff_chats import WRONG_CODES
from storage.vault import seal
from tests.talk import PASSPHRASE, Machine, Talk

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def tables(machine: Machine) -> None:
    """The tables as the models have them."""
    Table.metadata.create_all(machine.store.engine)


def staff(machine: Machine, name: str, role: str) -> Talk:
    """A staff member with a second factor, whose Telegram chat is linked."""
    staff_id = machine.store.write_now(lambda connection: add(connection, name, [role], "", PASSPHRASE, today=machine.clock().date()))
    sealed = seal(machine.desk.accounts._key, b"t", b"staff.totp" + staff_id, SECRET.encode(), pad=64)
    machine.store.write_now(lambda connection: connection.execute(update(Staff).where(Staff.id == staff_id).values(totp=sealed)))
    code = machine.store.write_now(lambda connection: machine.desk.staff_chats.new_code(connection, staff_id))
    person = Talk(machine, "telegram")
    person.says("/siaran").is_asked("broadcast.link_code")
    person.says(code).hears("broadcast.linked")
    return person


def code(machine: Machine) -> str:
    """The code that the authenticator shows now."""
    return pyotp.TOTP(SECRET).at(machine.clock())


def drafted(person: Talk) -> Talk:
    """A broadcast that was written and proposed in chat."""
    person.says("/siaran").taps("Tulis baru").says("Masa tenang").says("Besok masa tenang. Lepas stiker di mobil Anda.")
    person.taps("Tahapan").taps("ASN").taps("Seluruh Indonesia").taps("H-3").is_asked("broadcast.save")
    return person.taps("Ajukan").hears("broadcast.done")


def state(machine: Machine) -> str:
    """The state of the first broadcast."""
    found = machine.store.read_now(lambda connection: machine.desk.broadcasts.get(connection, 1))
    return found.state if found else ""


def test_stranger_learns_nothing(machine: Machine) -> None:
    """Whoever is not linked is asked for a code, and a wrong one opens nothing."""
    stranger = Talk(machine, "telegram")
    stranger.says("/siaran").is_asked("broadcast.link_code")
    stranger.says("ABCDE-23456").hears("broadcast.link_dead").is_asked("broadcast.link_code")
    stranger.says("tidak").hears("broadcast.link_form")


def test_reviewer_has_no_broadcasts(machine: Machine) -> None:
    """A linked chat of another role is asked for a code as any stranger's."""
    staff(machine, "tono", "reviewer").says("/siaran").is_asked("broadcast.link_code")


def test_written_by_one_approved_by_another(machine: Machine) -> None:
    """The writer may not approve; the other approves what they are shown, with a code that counts once."""
    rina, budi = staff(machine, "rina", "broadcaster"), staff(machine, "budi", "approver")
    drafted(rina)
    assert state(machine) == "proposed"
    rina.says("/siaran").taps("1. Masa tenang")
    assert "Setujui" not in rina.labels
    budi.says("/siaran").taps("1. Masa tenang")
    assert "Lepas stiker" in budi.text
    budi.taps("Setujui").is_asked("broadcast.code")
    budi.says("123")
    assert state(machine) == "proposed"
    budi.says(code(machine)).hears("broadcast.done")
    assert state(machine) == "approved"
    found = machine.store.read_now(lambda connection: machine.desk.broadcasts.get(connection, 1))
    assert found is not None
    assert (found.written_by, found.approved_by) == ("rina", "budi")


def test_in_production_a_chat_approves_nothing(machine: Machine) -> None:
    """Whoever has to use a security key approves, resumes and releases in the panel; a code in a chat is never taken."""
    rina, budi = staff(machine, "rina", "broadcaster"), staff(machine, "budi", "approver")
    drafted(rina)
    budi.says("/siaran").taps("1. Masa tenang").taps("Setujui").is_asked("broadcast.code")
    machine.desk.accounts.practice = False
    budi.says(code(machine)).hears("broadcast.refused.key_in_panel")
    budi.says("/siaran").taps("1. Masa tenang").taps("Setujui").hears("broadcast.refused.key_in_panel")
    assert state(machine) == "proposed"


def test_change_between_look_and_code(machine: Machine) -> None:
    """What was changed after it was shown is not approved."""
    rina, budi = staff(machine, "rina", "broadcaster"), staff(machine, "budi", "approver")
    drafted(rina)
    budi.says("/siaran").taps("1. Masa tenang").taps("Setujui")

    def change(connection: object) -> None:
        from dataclasses import replace

        found = machine.desk.broadcasts.get(connection, 1)  # type: ignore[arg-type]
        assert found is not None
        machine.desk.broadcasts.save(connection, replace(found.draft, telegram={"id": "Pilih nomor satu."}), "rina", 1)  # type: ignore[arg-type]
        machine.desk.broadcasts.propose(connection, 1)  # type: ignore[arg-type]

    machine.store.write_now(change)
    budi.says(code(machine))
    assert state(machine) == "proposed"


def test_hold_go_on_and_stop_everything(machine: Machine) -> None:
    """Holding needs no code, going on does; the switch stops everything until it is released with a code."""
    rina, budi = staff(machine, "rina", "broadcaster"), staff(machine, "budi", "approver")
    drafted(rina)
    budi.says("/siaran").taps("1. Masa tenang").taps("Setujui").says(code(machine))
    rina.says("/siaran").taps("1. Masa tenang").taps("Tahan").hears("broadcast.done")
    assert state(machine) == "paused"
    machine.clock.forward(seconds=60)  # type: ignore[attr-defined]
    budi.says("/siaran").taps("1. Masa tenang").taps("Lanjutkan").says(code(machine)).hears("broadcast.done")
    assert state(machine) == "approved"
    rina.says("/siaran").taps("Hentikan semua")
    assert machine.store.read_now(machine.desk.broadcasts.stopped_by) == "rina"
    machine.clock.forward(seconds=60)  # type: ignore[attr-defined]
    rina.says("/siaran").taps("Lanjutkan semua").says(code(machine)).hears("broadcast.done")
    assert machine.store.read_now(machine.desk.broadcasts.stopped_by) is None


def test_wrong_codes_unlink_the_chat(machine: Machine) -> None:
    """Five wrong codes in a row, and the chat is a stranger's again."""
    rina, budi = staff(machine, "rina", "broadcaster"), staff(machine, "budi", "approver")
    drafted(rina)
    for _ in range(WRONG_CODES):
        budi.says("/siaran").taps("1. Masa tenang").taps("Setujui").says("000000").hears("broadcast.refused.code")
    budi.says("/siaran").is_asked("broadcast.link_code")
    assert state(machine) == "proposed"


def test_bad_link_is_named_in_chat(machine: Machine) -> None:
    """What could not be proposed is said before anything is kept."""
    rina = staff(machine, "rina", "broadcaster")
    rina.says("/siaran").taps("Tulis baru").says("Masa tenang").says("Lihat bit.ly/x sekarang juga")
    rina.taps("Tahapan").taps("Semua").taps("Seluruh Indonesia").taps("H-1").hears("broadcast.refused.links")
    assert state(machine) == ""
