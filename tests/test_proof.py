"""Proof of receipt: one signed line, which tells nothing by itself and fits one tip alone; and what happens next by when."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from nacl.signing import SigningKey
from sqlalchemy import Connection
from typer.testing import CliRunner

from bot.cli import app
from storage.cases import OpenCase
from storage.proofs import BadProof, Proof, content_of_case, prove, read
from tests.conftest import Clock
from tests.talk import Machine, Talk
from tests.test_export import account, private_key
from tests.test_push import WHAT, answered, tells


def proof_in(talk: Talk) -> str:
    found = re.search(r"netra-bukti \S+ \S+ \S+ \S+", talk.text)
    assert found, talk.text
    return found[0]


def public_key(machine: Machine) -> bytes:
    return bytes(SigningKey(machine.keys.audit_signing).verify_key)


def opened(machine: Machine) -> OpenCase:
    me, key = account(machine).id, private_key(machine)

    def open_first(connection: Connection) -> OpenCase:
        case = machine.cases.by_seal(connection, me, key, machine.cases.listed(connection, me, key)[0].id)
        assert case is not None
        return case

    return machine.store.read_now(open_first)


def test_a_tipster_gets_a_signed_line(machine: Machine) -> None:
    """It names alias and day, verifies with the published key, and the team can show that it belongs to this content."""
    talk = Talk(machine)
    talk.says(tells(talk)).taps("Tanda terima").hears("follow_up.proof")
    line, case = proof_in(talk), opened(machine)
    proof = read(line, public_key(machine))
    assert (proof.alias, proof.day) == (case.alias, date(2024, 11, 18))
    photos = machine.store.read_now(lambda connection: machine.cases.photo_facts(connection, case.key, case.id))
    assert proof.content == content_of_case(case, photos)


def test_the_line_tells_nothing_of_the_content(machine: Machine) -> None:
    """No word of the tip, no code and no case id; the same words in another tip give another line."""
    lines = []
    for _ in range(2):
        talk = Talk(machine)
        code = tells(talk)
        talk.says(code).taps("Tanda terima")
        line = proof_in(talk)
        assert "kaus" not in line and code.replace(" ", "") not in line and code[:9] not in line
        lines.append(read(line, public_key(machine)).content)
    assert lines[0] != lines[1]


def test_what_is_added_later_does_not_change_the_proof(machine: Machine) -> None:
    """A proof stays the same when the conversation about the tip goes on."""
    talk = Talk(machine)
    code = tells(talk)
    talk.says(code).taps("Tanda terima")
    before = proof_in(talk)
    answered(machine)
    talk.says(code).taps("Tulis pesan").says("Ada juga camat di sana.")
    talk.says(code).taps("Tanda terima")
    assert proof_in(talk) == before


def test_a_changed_line_is_refused(machine: Machine) -> None:
    """Another day, alias, content or signature is found, and a line of another system is no proof here."""
    key = machine.keys.audit_signing
    line = prove(key, Proof("senja tenang 123", date(2024, 11, 18), b"x" * 32))
    assert read(line, public_key(machine)).alias == "senja tenang 123"
    parts = line.split()
    for place, wrong in ((1, "2024-11-19"), (2, "senja_tenang_124"), (3, parts[3][:-2] + "AA"), (4, parts[4][:-3] + "AAA")):
        with pytest.raises(BadProof):
            read(" ".join([*parts[:place], wrong, *parts[place + 1 :]]), public_key(machine))
    for rubbish in ("", "netra-bukti", "x " * 5, " ".join(parts[:4])):
        with pytest.raises(BadProof):
            read(rubbish, public_key(machine))
    with pytest.raises(BadProof):
        read(line, bytes(SigningKey.generate().verify_key))


def test_the_command_verifies_a_line(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`netra proof verify` says what a line proves, with this server's key or a given one, and fails for others."""
    line = prove(machine.keys.audit_signing, Proof("senja tenang 123", date(2024, 11, 18), b"x" * 32))
    monkeypatch.setenv("NETRA_KEYS_DIR", str(machine.keys.folder))
    run = CliRunner()
    assert "senja tenang 123" in run.invoke(app, ["proof", "verify", line]).output
    key = run.invoke(app, ["proof", "key"]).output.strip()
    assert bytes.fromhex(key) == public_key(machine)
    assert run.invoke(app, ["proof", "verify", line, "--key", key]).exit_code == 0
    assert run.invoke(app, ["proof", "verify", line.replace("123", "124")]).exit_code != 0
    assert run.invoke(app, ["proof", "verify", line, "--key", bytes(SigningKey.generate().verify_key).hex()]).exit_code != 0


# --- what happens next ------------------------------------------------------------------------------------------------------------


def test_the_next_step_has_a_day(machine: Machine, clock: Clock) -> None:
    """A new tip says what the team does next and by which working day; when that day has passed, it says so and what remains to be done."""
    talk = Talk(machine)
    code = tells(talk)
    talk.says(code)
    assert "Paling lambat: 21/11/2024" in talk.text  # three working days after Monday 18 November
    assert machine.texts.plain("id", "follow_up.then.new") in talk.text
    talk.taps("Selesai")
    clock.forward(days=4)
    talk.says(code)
    assert machine.texts.plain("id", "follow_up.then.late") in talk.text
    assert "Paling lambat" not in talk.text


def test_the_next_step_after_an_answer_and_after_the_end(machine: Machine) -> None:
    """After a question it is the tipster's turn, without a day; after closing the day of deletion is named."""
    talk = Talk(machine)
    code = tells(talk)
    answered(machine)
    talk.says(code)
    assert machine.texts.plain("id", "follow_up.then.asked").replace("*", "") in talk.text
    assert "Paling lambat" not in talk.text
    talk.taps("Selesai")
    case = opened(machine)
    machine.store.write_now(lambda connection: machine.cases.close(connection, case, "penelaah"))
    talk.says(code)
    assert f"Paling lambat: {date(2024, 11, 18) + timedelta(days=90):%d/%m/%Y}" in talk.text
    assert WHAT not in talk.text


def test_a_held_case_is_not_withdrawn(machine: Machine) -> None:
    """Under a legal hold a tip stays, and its tipster is told so."""
    talk = Talk(machine)
    code = tells(talk)
    case = opened(machine)
    machine.store.write_now(lambda connection: machine.cases.hold(connection, case.id, True))
    talk.says(code).taps("Tarik laporan").taps("Ya, hapus").hears("follow_up.held")
    assert opened(machine).id == case.id
