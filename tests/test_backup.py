"""Backups: out in two sets, back again, and nothing in them that only passes through."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app
from storage import backup
from storage.age import Recovery, Unreadable
from storage.store import Store
from storage.vault import Keys
from tests.conftest import Clock
from tests.talk import Machine, Talk
from tests.test_export import WORDS, account, private_key, sent

PASSPHRASE = "kunci cadangan di lemari besi"


def database(machine: Machine) -> Path:
    return Path(machine.url.removeprefix("sqlite:///"))


def backed_up(machine: Machine, folder: Path, recovery: Recovery) -> Path:
    return backup.back_up(database(machine), folder, recovery.recipient, machine.folder / "run", machine.clock())


def test_the_data_comes_back_as_it_was(machine: Machine, tmp_path: Path) -> None:
    """A backup of a running system, restored elsewhere, holds every case, readable by its receivers."""
    cases = {sent(machine, f"{WORDS} {number}", photos=1) for number in range(3)}
    recovery, target = Recovery.new(), tmp_path / "new" / "netra.db"
    backup.restore(backed_up(machine, tmp_path / "backups", recovery), target, recovery)
    store = Store(f"sqlite:///{target}")
    try:
        me, key = account(machine), private_key(machine)
        with store.engine.connect() as connection:
            assert {one.id for one in machine.cases.listed(connection, me.id, key)} == cases
            opened = machine.cases.by_seal(connection, me.id, key, next(iter(cases)))
            assert opened is not None
            assert machine.cases.photo(connection, opened.key, opened.id, opened.entries[0].photos[0]) is not None
    finally:
        store.close()
    assert target.stat().st_mode & 0o077 == 0


def test_drafts_and_sessions_are_not_in_a_backup(machine: Machine, tmp_path: Path) -> None:
    """What only passes through (drafts, inbox, outbox, traces, sessions) stays out, down to the bytes of the file."""
    Talk(machine).says("lapor").taps("Lainnya")
    recovery, target = Recovery.new(), tmp_path / "new" / "netra.db"
    with sqlite3.connect(database(machine)) as connection:
        (draft,) = connection.execute("SELECT body FROM conversation").fetchone()
    backup.restore(backed_up(machine, tmp_path / "backups", recovery), target, recovery)
    with sqlite3.connect(target) as connection:
        for table in backup.PASSING:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert draft[40:80] not in target.read_bytes()


def test_every_table_that_passes_through_exists(machine: Machine) -> None:
    """The list of what stays out follows the schema: no renamed table slips into a backup."""
    with sqlite3.connect(database(machine)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert set(backup.PASSING) <= there


def test_a_backup_is_noise_without_the_recovery_key(machine: Machine, tmp_path: Path) -> None:
    """The file holds no row in clear, opens for no other key, and a changed one is refused before anything is put in place."""
    sent(machine)
    recovery, target = Recovery.new(), tmp_path / "new" / "netra.db"
    file = backed_up(machine, tmp_path / "backups", recovery)
    assert b"SQLite format" not in file.read_bytes() and b"penelaah" not in file.read_bytes()
    with pytest.raises(Unreadable):
        backup.restore(file, target, Recovery.new())
    changed = file.with_name("changed.age")
    body = bytearray(file.read_bytes())
    body[-1] ^= 1
    changed.write_bytes(bytes(body))
    with pytest.raises(Unreadable):
        backup.restore(changed, target, recovery)
    assert not target.exists() and not list(target.parent.iterdir())


def test_no_copy_in_clear_stays_behind(machine: Machine, tmp_path: Path) -> None:
    """The copy that is made in memory is gone afterwards, also when encrypting fails."""
    backed_up(machine, tmp_path / "backups", Recovery.new())
    with pytest.raises(Exception, match=r".*"):
        backup.back_up(database(machine), tmp_path / "backups", "age1nonsense", machine.folder / "run", machine.clock())
    assert not [path for path in (machine.folder / "run").iterdir() if path.name.startswith("backup-")]
    assert len(list((tmp_path / "backups").iterdir())) == 1


def test_data_backups_expire_after_seven_days(machine: Machine, tmp_path: Path, clock: Clock) -> None:
    """A withdrawn tip lives on in a backup for seven days and no longer; other files of the folder stay."""
    recovery, folder = Recovery.new(), tmp_path / "backups"
    first = backed_up(machine, folder, recovery)
    (folder / "netra-data-notes.age").write_text("x")
    clock.forward(days=7)
    second = backed_up(machine, folder, recovery)
    assert first.exists() and second.exists()
    clock.forward(hours=1)
    third = backed_up(machine, folder, recovery)
    assert not first.exists() and second.exists() and third.exists()
    assert (folder / "netra-data-notes.age").exists()
    assert timedelta(days=backup.DAYS) < timedelta(days=14)


def test_the_keys_come_back_under_their_passphrase(machine: Machine, tmp_path: Path) -> None:
    """Set B restores every key file; another passphrase opens nothing; it is never put beside set A."""
    folder, target = tmp_path / "safe", tmp_path / "keys-again"
    file = backup.back_up_keys(machine.keys.folder, folder, PASSPHRASE, machine.clock())
    assert backup.holds_keys(file)
    with pytest.raises(Unreadable):
        backup.restore_keys(file, target, PASSPHRASE + "x")
    assert set(backup.restore_keys(file, target, PASSPHRASE)) >= set(Keys.NAMES)
    again = Keys(target)
    assert (again.receipt_pepper, again.push) == (machine.keys.receipt_pepper, machine.keys.push)
    with pytest.raises(backup.Failed):
        backup.restore_keys(file, target, PASSPHRASE)
    backed_up(machine, tmp_path / "backups", Recovery.new())
    with pytest.raises(backup.Failed):
        backup.back_up_keys(machine.keys.folder, tmp_path / "backups", PASSPHRASE, machine.clock())


def test_the_commands_go_round(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`keys recovery`, `keys trust`, `backup`, `restore`: from a fresh key to a database in another folder, by commands alone."""
    machine.close()
    run, monkey = CliRunner(), monkeypatch.setenv
    monkeypatch.chdir(tmp_path)
    monkey("NETRA_DATA_DIR", str(machine.folder))
    monkey("NETRA_KEYS_DIR", str(machine.keys.folder))
    monkey("NETRA_RUN_DIR", str(machine.folder / "run"))
    refused = run.invoke(app, ["backup", "--to", str(tmp_path / "b")])
    assert refused.exit_code != 0 and "recovery key" in str(refused.exception)
    lines = [line.strip() for line in run.invoke(app, ["keys", "recovery"]).output.splitlines()]
    recipient, first, second = (
        next(line for line in lines if line.startswith(start)) for start in ("age1", "netra-half-a", "netra-half-b")
    )
    assert run.invoke(app, ["keys", "trust", recipient]).exit_code == 0
    assert run.invoke(app, ["keys", "trust", recipient]).exit_code != 0
    assert Keys(machine.keys.folder).offline == (recipient,)
    assert run.invoke(app, ["backup", "--to", str(tmp_path / "b")]).exit_code == 0
    (file,) = (tmp_path / "b").iterdir()
    assert run.invoke(app, ["restore", str(file)], input=f"{first}\n{second}\n").exit_code != 0  # a database is there
    monkey("NETRA_DATA_DIR", str(tmp_path / "elsewhere"))
    restored = run.invoke(app, ["restore", str(file)], input=f"{second}\n{first}\n")
    assert restored.exit_code == 0, restored.output
    assert (tmp_path / "elsewhere" / "netra.db").exists()
    machine.store = Store(machine.url)
