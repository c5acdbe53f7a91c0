"""Offline keys: sealed exports opened on a laptop, teams whose cases this server never opens, recovery, re-grants."""

from __future__ import annotations

import datetime as dt
import io
import json
import secrets
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update
from typer.testing import CliRunner

from bot.cli import app
from storage import grants
from storage.age import HALVES, Recovery, Unreadable, bech32, public_of, unbech32
from storage.cases import NewTip
from storage.export import Unopened, export_case, key_file, open_export, private_key_of, write_out
from storage.models import Audit, Case, Group, Seal, Staff
from storage.staff import Account, Refused, listed
from storage.store import Store
from storage.vault import Keys, derive_passphrase, open_receiver_key
from tests.conftest import Clock
from tests.talk import PASSPHRASE, Machine, Talk

WORDS = "Camat mengumpulkan kepala desa untuk mendukung satu calon."


def account(machine: Machine, name: str = "penelaah") -> Account:
    return next(one for one in machine.store.read_now(listed) if one.name == name)


def private_key(machine: Machine, name: str = "penelaah") -> bytes:
    known = account(machine, name)
    return open_receiver_key(derive_passphrase(PASSPHRASE, known.salt), known.id, known.public_key, known.private_key)


def sent(machine: Machine, words: str = WORDS, photos: int = 0) -> bytes:
    """A tip that was sent, with photos of its draft; the case's id."""
    talk = Talk(machine)
    kept = []
    for _ in range(photos):
        jpeg = b"\xff\xd8\xff" + secrets.token_bytes(2000)
        facts = {"original_sha256": secrets.token_hex(32), "taken": "2024-11-17", "place": True, "likeness": "0" * 16}
        kept.append(
            machine.store.write_now(
                lambda connection, jpeg=jpeg, facts=facts: machine.conversations.keep_photo(
                    connection, talk.address, secrets.token_bytes(16), jpeg, facts
                )
            )
        )
    machine.receipts.refill()
    fresh = machine.receipts.take()
    assert fresh is not None
    tip = NewTip(machine.clock().date(), "id", {"what": words, "when": "2024-11-17"}, kept, "")
    return machine.store.write_now(lambda connection: machine.cases.open(connection, talk.address, tip, fresh.receipt))


def exported(machine: Machine, case: bytes) -> bytes:
    file = machine.store.read_now(lambda connection: export_case(connection, case, account(machine).id))
    assert file is not None
    return file


# --- the file ---------------------------------------------------------------------------------------------------------------------


def test_an_export_opens_with_its_receivers_key(machine: Machine, tmp_path: Path) -> None:
    """Text and photos come out as they were sent, into files for their owner alone."""
    case = sent(machine, photos=2)
    opened = open_export(exported(machine, case), private_key(machine))
    assert opened.entries[0].facts["what"] == WORDS
    assert len(opened.photos) == 2
    assert all(photo.jpeg.startswith(b"\xff\xd8\xff") for photo in opened.photos)
    written = write_out(opened, tmp_path / "out")
    assert [path.name for path in written] == ["laporan.txt", "foto-01.jpg", "foto-02.jpg"]
    assert WORDS in written[0].read_text("utf-8")
    assert all(path.stat().st_mode & 0o077 == 0 for path in written)


def test_an_export_shows_nothing_of_its_contents(machine: Machine) -> None:
    """Whoever finds the file reads alias, day and team, and not a word more."""
    file = exported(machine, sent(machine, photos=1))
    assert WORDS.encode() not in file and b"\xff\xd8\xff" not in file and b"2024-11-17" not in file
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert set(json.loads(archive.read("tip.json"))) == {
            "format", "case", "alias", "day", "status", "team", "receiver", "receiver_key", "case_key", "seal",
        }  # fmt: skip


def test_a_changed_export_is_refused(machine: Machine) -> None:
    """A flipped bit, a cut or a swap in any sealed part is refused, never shown."""
    file, key = exported(machine, sent(machine, photos=2)), private_key(machine)
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    bodies = [name for name in members if name.endswith(".body")]
    changes = {name: members[name][:-1] + bytes([members[name][-1] ^ 1]) for name in members if name != "tip.json"}
    for name, changed in [*changes.items(), *((name, members[name][:100]) for name in bodies), (bodies[0], members[bodies[1]])]:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for member, body in {**members, name: changed}.items():
                archive.writestr(member, body)
        with pytest.raises(Unopened):
            open_export(out.getvalue(), key)
    with pytest.raises(Unopened):
        open_export(file, secrets.token_bytes(32))
    for rubbish in (b"", b"PK\x03\x04", file[:500]):
        with pytest.raises(Unopened):
            open_export(rubbish, key)


def test_a_case_is_exported_to_its_receivers_alone(machine: Machine) -> None:
    """Who has no seal of the case gets no file."""
    case = sent(machine)
    machine.receiver("lain")
    assert machine.store.read_now(lambda connection: export_case(connection, case, account(machine, "lain").id)) is None
    assert machine.store.read_now(lambda connection: export_case(connection, secrets.token_bytes(16), account(machine).id)) is None


# --- the key file --------------------------------------------------------------------------------------------------------------------


def test_a_key_leaves_the_server_once(machine: Machine) -> None:
    """The key file opens with the passphrase; the server has no private half any more, and gives no second file."""
    before = private_key(machine)
    held = machine.store.write_now(lambda connection: key_file(connection, account(machine).id))
    assert held is not None
    assert private_key_of(held, PASSPHRASE) == before
    with pytest.raises(Unopened):
        private_key_of(held, PASSPHRASE + "!")
    assert account(machine).private_key == b""
    assert machine.store.write_now(lambda connection: key_file(connection, account(machine).id)) is None


def test_new_tips_are_still_sealed_to_a_key_that_left(machine: Machine) -> None:
    """Only the public half is needed to seal; the export opens with the key file."""
    held = machine.store.write_now(lambda connection: key_file(connection, account(machine).id))
    assert held is not None
    opened = open_export(exported(machine, sent(machine)), private_key_of(held, PASSPHRASE))
    assert opened.entries[0].facts["what"] == WORDS


def test_the_command_opens_an_export(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`netra open FILE` needs the file, the key file and the passphrase, and nothing else of the server."""
    file, key, out = tmp_path / "tip.netra", tmp_path / "me.key", tmp_path / "out"
    file.write_bytes(exported(machine, sent(machine, photos=1)))
    held = machine.store.write_now(lambda connection: key_file(connection, account(machine).id))
    assert held is not None
    key.write_bytes(held)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETRA_DATA_DIR", str(tmp_path / "nothing"))
    result = CliRunner().invoke(app, ["open", str(file), "--key", str(key), "--to", str(out)], input=PASSPHRASE + "\n")
    assert result.exit_code == 0, result.output
    assert WORDS in (out / "laporan.txt").read_text("utf-8")
    assert not (tmp_path / "nothing").exists()


# --- teams that open offline alone -----------------------------------------------------------------------------------------------------


def offline(connection: Connection) -> None:
    connection.execute(update(Group).values(offline=True))


def test_the_server_opens_no_case_of_an_offline_team(machine: Machine) -> None:
    """Even with a receiver's key in its session the panel gets row and export, never contents."""
    case, me, key = sent(machine), account(machine).id, private_key(machine)
    machine.store.write_now(offline)
    with machine.store.engine.connect() as connection:
        assert machine.cases.by_seal(connection, me, key, case) is None
        (listed_case,) = machine.cases.listed(connection, me, key)
        assert listed_case.head["offline"] is True and not listed_case.head["when"]
        assert not list(machine.cases.each(connection, me, key))
    assert open_export(exported(machine, case), key).entries[0].facts["what"] == WORDS


def test_an_offline_team_answers_without_reading(machine: Machine) -> None:
    """An answer is sealed to the case's public key: the tipster reads it, the export holds it, the server cannot read it back."""
    case, me, key = sent(machine), account(machine).id, private_key(machine)
    machine.store.write_now(offline)
    answer = "Mohon kirim foto spanduknya."
    assert machine.store.write_now(lambda connection: machine.cases.answer_unread(connection, me, case, "penelaah", answer))
    assert not machine.store.write_now(lambda connection: machine.cases.answer_unread(connection, b"x" * 16, case, "lain", answer))
    opened = open_export(exported(machine, case), key)
    assert [entry.words for entry in opened.entries if entry.kind == "team"] == [answer]


# --- recovery and re-grants ---------------------------------------------------------------------------------------------------------------


def test_the_recovery_key_gives_cases_to_a_new_receiver(machine: Machine) -> None:
    """With both halves a receiver who never had a seal reads every case of the team, page by page."""
    recovery = Recovery.new()
    machine.cases.recovery = public_of(recovery.recipient)
    cases = {sent(machine, f"{WORDS} {number}") for number in range(5)}
    machine.receiver("baru")
    joined, after, pages = Recovery.joined(*reversed(recovery.halves())), b"", 0
    while after is not None:
        done = machine.store.write_now(
            lambda connection, after=after: grants.recover(connection, joined, account(machine, "baru"), after=after, page=2)
        )
        after, pages = done.after, pages + 1
        assert done.failed == 0
    assert pages == 3
    new, key = account(machine, "baru").id, private_key(machine, "baru")
    with machine.store.engine.connect() as connection:
        assert {one.id for one in machine.cases.listed(connection, new, key)} == cases


def test_a_receiver_gives_cases_to_another(machine: Machine) -> None:
    """A re-grant reaches the new receiver's team alone, and only accounts that receive."""
    case = sent(machine)
    machine.receiver("baru")
    giver, key, to = account(machine).id, private_key(machine), account(machine, "baru")
    assert machine.store.write_now(lambda connection: grants.regrant(connection, giver, key, to)) == grants.Granted(1, 0, None)
    with machine.store.engine.connect() as connection:
        assert machine.cases.by_seal(connection, to.id, private_key(machine, "baru"), case) is not None
    machine.store.write_now(lambda connection: connection.execute(update(Staff).where(Staff.id == to.id).values(state="waiting")))
    with pytest.raises(Refused):
        machine.store.write_now(lambda connection: grants.regrant(connection, giver, key, account(machine, "baru")))


def test_without_a_recovery_key_nothing_is_sealed_to_one(machine: Machine) -> None:
    """The recovery key is optional; where there is none, a case has its receivers' seals alone."""
    case = sent(machine)
    with machine.store.engine.connect() as connection:
        assert connection.execute(select(Case.recovery).where(Case.id == case)).scalar() == b""
        assert len(connection.execute(select(Seal.body)).all()) == 1


def test_one_half_says_nothing_and_errors_are_caught() -> None:
    """Halves are random and cannot be taken for one another; a typing error is found before anything is tried."""
    recovery = Recovery.new()
    first, second = recovery.halves()
    assert recovery.halves()[0] != first
    assert Recovery.joined(first.upper(), f" {second} ").private == recovery.private
    with pytest.raises(Unreadable):
        Recovery.joined(first, first)
    for wrong in (first[:-1] + ("q" if first[-1] != "q" else "p"), "", "age1qqqq", first.replace("netra", "nedra")):
        with pytest.raises(Unreadable):
            unbech32(HALVES[0], wrong)
    assert unbech32(HALVES[1], bech32(HALVES[1], recovery.private)) == recovery.private


# --- a case about the receiving office ----------------------------------------------------------------------------------------------------


def test_a_tip_about_the_receiving_office_goes_one_level_up(machine: Machine, clock: Clock) -> None:
    """With `above` the next team that covers the place gets it, where there is one; else the only one there is."""
    with machine.store.engine.connect() as connection:
        only = machine.cases._team(connection, "18.02.05", above=True)[0]
        central = machine.cases._team(connection, "18.02.05")[0]
    assert only == central

    def local(connection: Connection) -> int:
        from sqlalchemy import insert

        team = connection.execute(insert(Group).values(name="Tim Lampung Tengah", region="18.02").returning(Group.id)).scalar_one()
        connection.execute(update(Staff).where(Staff.name == "lokal").values(group_id=team))
        return int(team)

    machine.receiver("lokal")
    team = machine.store.write_now(local)
    with machine.store.engine.connect() as connection:
        assert machine.cases._team(connection, "18.02.05")[0] == team
        assert machine.cases._team(connection, "18.02.05", above=True)[0] == central
    assert clock().date() == dt.date(2024, 11, 18)


# --- the commands -----------------------------------------------------------------------------------------------------------------


def test_the_commands_about_keys(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`keys team`, `keys export` and `keys recover` do what they say once, and say in one line why they do not."""
    recovery = Recovery.new()
    machine.cases.recovery = public_of(recovery.recipient)
    case = sent(machine)
    machine.receiver("baru")
    machine.close()
    monkeypatch.chdir(tmp_path)
    for name, folder in (("DATA", machine.folder), ("KEYS", machine.keys.folder), ("RUN", machine.folder / "run")):
        monkeypatch.setenv(f"NETRA_{name}_DIR", str(folder))
    run, halves = CliRunner(), "\n".join(recovery.halves())
    assert run.invoke(app, ["keys", "recover", "--to", "baru"], input="\n".join(Recovery.new().halves())).exit_code != 0
    assert run.invoke(app, ["keys", "recover", "--to", "nobody"], input=halves).exit_code != 0
    recovered = run.invoke(app, ["keys", "recover", "--to", "baru"], input=halves)
    assert recovered.exit_code == 0 and recovered.output.startswith("1 cases"), recovered.output
    assert run.invoke(app, ["keys", "team", "Tim pusat", "--offline"]).exit_code == 0
    assert run.invoke(app, ["keys", "team", "Tim lain", "--offline"]).exit_code != 0
    key = tmp_path / "baru.key"
    assert run.invoke(app, ["keys", "export", "baru", "--to", str(key)]).exit_code == 0
    assert run.invoke(app, ["keys", "export", "baru", "--to", str(tmp_path / "again.key")]).exit_code != 0
    assert key.stat().st_mode & 0o077 == 0
    machine.store = Store(machine.url)
    file = machine.store.read_now(lambda connection: export_case(connection, case, account(machine, "baru").id))
    assert file is not None
    assert open_export(file, private_key_of(key.read_bytes(), PASSPHRASE)).entries[0].facts["what"] == WORDS
    acts = machine.store.read_now(lambda connection: connection.execute(select(Audit.action)).scalars().all())
    assert {"recovered", "team_offline", "key_exported"} <= set(acts)


@pytest.mark.parametrize("words", ["age1nonsense", "hello", "AGE-SECRET-KEY-1QQQ"])
def test_a_public_half_that_is_none_is_refused_at_the_start(machine: Machine, words: str) -> None:
    """A recovery.pub that holds something else keeps the program from starting, in one sentence."""
    (machine.keys.folder / "recovery.pub").write_text(words, "utf-8")
    with pytest.raises(RuntimeError, match=r"recovery\.pub"):
        Keys(machine.keys.folder)
