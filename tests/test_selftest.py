"""`netra selftest`: prints the schema as it is, and fails when anything is not as it must be."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect
from typer.testing import CliRunner

from bot import selftest
from bot.cli import app
from bot.settings import Settings
from storage import decoder, vault
from storage.vault import Keys
from tests.talk import Machine


def settings(folder: Path, **given: object) -> Settings:
    values = {"NETRA_DATA_DIR": folder / "data", "NETRA_KEYS_DIR": folder / "keys", "NETRA_RUN_DIR": folder / "run", **given}
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


def wrong(checks: object) -> list[str]:
    return [check.name for check in checks if check.wrong]  # type: ignore[attr-defined]


def test_every_column_of_the_database_is_printed(machine: Machine) -> None:
    """What is printed equals the schema that stands in the database: no field is kept that is not named with purpose and life."""
    inspector = inspect(machine.store.engine)
    there = {f"{table}.{column['name']}" for table in inspector.get_table_names() for column in inspector.get_columns(table)}
    printed = {name for name, purpose, life in selftest.fields() if purpose and life}
    assert printed == there - {"alembic_version.version_num"}


def test_the_command_passes_on_a_fresh_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All checks pass without data, and the exit code says so."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "KEYS", "RUN"):
        monkeypatch.setenv(f"NETRA_{name}_DIR", str(tmp_path / name.lower()))
    result = CliRunner().invoke(app, ["selftest"])
    assert result.exit_code == 0, result.output
    assert "tip_case.lookup\t" in result.output and "FAILED" not in result.output


def test_the_decoder_is_denied_everything() -> None:
    """File, socket, process, memory and disk are all refused inside the decoder's own limits."""
    checks = list(selftest.denied())
    assert len(checks) == 5 and not wrong(checks)


def test_a_decoder_without_limits_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check is worth something: a decoder that sets no limits fails it."""
    loose = tmp_path / "decoder.py"
    source = Path(decoder.__file__).read_text("utf-8")
    loose.write_text(source.replace("resource.setrlimit(limit, (value, value))", "pass").replace("\n    shut_in()\n", "\n"), "utf-8")
    monkeypatch.setattr(vault, "__file__", str(tmp_path / "vault.py"))
    found = list(selftest.denied())
    assert "the picture decoder cannot open a file" in wrong(found), found


def test_a_wrong_answer_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A primitive that computes something else fails its known answer."""
    monkeypatch.setattr(vault, "RECEIPT_SALT", bytes(16))
    assert wrong(selftest.vectors()) == ["known answer: receipt derivation"]


def test_open_folders_and_bad_keys_fail(tmp_path: Path) -> None:
    """Files that others can read, keys inside the data folder, and short keys are each named."""
    keys = Keys(tmp_path / "keys")
    assert not wrong(selftest.files(settings(tmp_path)))
    (keys.folder / "panel").chmod(0o444)
    assert "the keys folder is closed" in wrong(selftest.files(settings(tmp_path)))
    assert "the key files are whole" in wrong(selftest.given_secrets(settings(tmp_path)))
    (keys.folder / "panel").chmod(0o600)
    (keys.folder / "panel").write_bytes(b"short")
    assert "the key files are whole" in wrong(selftest.given_secrets(settings(tmp_path)))
    inside = settings(tmp_path, NETRA_KEYS_DIR=tmp_path / "data" / "keys")
    assert "the keys are not inside the data folder" in wrong(selftest.files(inside))


@pytest.mark.parametrize("value", ["short", "changeme", "aaaaaaaaaaaaaaaaaaaaaaaa", "<token>"])
def test_poor_secrets_fail(tmp_path: Path, value: str) -> None:
    """A secret that is short, repeated or from an example is refused."""
    assert wrong(selftest.given_secrets(settings(tmp_path, TELEGRAM_WEBHOOK_SECRET=value))) == ["TELEGRAM_WEBHOOK_SECRET is a secret"]
    assert not wrong(selftest.given_secrets(settings(tmp_path, TELEGRAM_WEBHOOK_SECRET="n8Vq2Lx0Zr5Tt7Wb")))


def test_the_exit_code_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failure is enough for a non-zero exit."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "KEYS", "RUN"):
        monkeypatch.setenv(f"NETRA_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("TELEGRAM_WEBHOOK_SECRET", "changeme")
    result = CliRunner().invoke(app, ["selftest"])
    assert result.exit_code != 0 and "FAILED\tTELEGRAM_WEBHOOK_SECRET" in result.output
    assert "changeme" not in result.output
