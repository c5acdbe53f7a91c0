"""Settings: each described once, unsafe ones refused with a sentence, the time and the folders as set."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.settings import ZONE, BadSetting, Settings, described, example

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without `.env`, and none of our variables set."""
    monkeypatch.chdir(tmp_path)
    for name, *_ in described():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tmp_path


def made(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    """Settings from these environment variables."""
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_the_example_is_what_the_settings_say() -> None:
    """`.env.example` is written from the settings, line by line; `python -m bot.settings` writes it."""
    assert (ROOT / ".env.example").read_text().splitlines() == example().splitlines()


def test_the_example_names_every_setting_with_its_purpose() -> None:
    """Nobody has to read code to configure Netra."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    for name, default, purpose, secret in described():
        line = next(line for line in lines if line.lstrip("# ").startswith(f"{name}="))
        assert line == f"# {name}={default}" or (secret and line == f"# {name}=")
        assert purpose and any(purpose in other for other in lines)


def test_the_example_as_it_stands_changes_nothing(elsewhere: Path) -> None:
    """Copied to `.env` it gives the defaults."""
    before = vars(Settings())
    (elsewhere / ".env").write_text((ROOT / ".env.example").read_text())
    assert vars(Settings()) == before
    (elsewhere / ".env").write_text(re.sub(r"(?m)^# (?=[A-Z_]+=)", "", (ROOT / ".env.example").read_text()))
    assert vars(Settings()) == before


def test_the_defaults_are_safe_and_need_nothing() -> None:
    """`make run` works with no setting: loopback, practice, no outside platform."""
    known = Settings()
    assert known.problems() == [] and (known.host, known.panel_host) == ("127.0.0.1", "127.0.0.1")
    assert known.env == "practice" and not known.telegram_token and not known.twilio_account_sid


PRODUCTION = {"NETRA_ENV": "production", "NETRA_PUBLIC_URL": "https://lapor.example", "NETRA_RUN_DIR": "/run/netra"}
TOKEN = "4711:AbCdEf-ghij_klMNop0123"
HOOK = {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_MODE": "webhook", "NETRA_PUBLIC_URL": "https://lapor.example"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"NETRA_NOW": "2024-11-18T10:00:00+07:00"}, "NETRA_NOW is only allowed with NETRA_ENV=test"),
        (PRODUCTION | {"NETRA_PUBLIC_URL": "http://lapor.example"}, "must begin with https://"),
        (PRODUCTION | {"NETRA_RUN_DIR": ""}, "NETRA_RUN_DIR must name a folder on a tmpfs"),
        (PRODUCTION | {"TELEGRAM_TOKEN": "changeme"}, "TELEGRAM_TOKEN is short or stands in examples"),
        (HOOK, "TELEGRAM_WEBHOOK_SECRET is missing or short"),
        (HOOK | {"TELEGRAM_WEBHOOK_SECRET": "pendek"}, "TELEGRAM_WEBHOOK_SECRET is missing or short"),
        (HOOK | {"TELEGRAM_WEBHOOK_SECRET": "rahasia dengan spasi!"}, "TELEGRAM_WEBHOOK_SECRET may hold only"),
        (HOOK | {"TELEGRAM_WEBHOOK_SECRET": "a" * 32, "NETRA_PUBLIC_URL": ""}, "NETRA_PUBLIC_URL is needed for Telegram"),
        ({"TWILIO_ACCOUNT_SID": "AC1"}, "TWILIO_AUTH_TOKEN is missing"),
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_WHATSAPP_FROM": "whatsapp:+1"}, "NETRA_PUBLIC_URL is needed"),
    ],
)
def test_what_is_unsafe_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], sentence: str) -> None:
    """The program does not start; the operator reads what to change, never a secret's value."""
    problems = " ".join(made(monkeypatch, **values).problems())
    assert sentence in problems
    assert "rahasia dengan spasi" not in problems


def test_production_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete configuration has no problem."""
    assert made(monkeypatch, **PRODUCTION | HOOK | {"TELEGRAM_WEBHOOK_SECRET": "A-z_09" * 4}).problems() == []


def test_a_readable_env_file_is_refused_in_production(monkeypatch: pytest.MonkeyPatch, elsewhere: Path) -> None:
    """Secrets in a file that others can read are no secrets."""
    (elsewhere / ".env").write_text(f"TELEGRAM_TOKEN={TOKEN}\n")
    (elsewhere / ".env").chmod(0o644)
    assert ".env can be read by others" in " ".join(made(monkeypatch, **PRODUCTION).problems())
    (elsewhere / ".env").chmod(0o600)
    assert Settings().problems() == []


def test_a_wrong_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting, not what stood there: it may be a secret in the wrong place."""
    with pytest.raises(BadSetting) as error:
        made(monkeypatch, PORT="8080:RAHASIA", NETRA_ENV="RAHASIA", NETRA_NOW="RAHASIA", TELEGRAM_PAID_BROADCASTS="RAHASIA")
    assert all(name in str(error.value) for name in ("PORT", "NETRA_ENV", "NETRA_NOW", "TELEGRAM_PAID_BROADCASTS"))
    assert "RAHASIA" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"NETRA_DATABASE_URL": "postgres://u:p@h/n"}, "postgresql+psycopg://u:p@h/n"),
        ({"DATABASE_URL": "postgresql://u:p@h/n"}, "postgresql+psycopg://u:p@h/n"),
        ({"DATABASE_URL": "postgresql://a/a", "NETRA_DATABASE_URL": "postgresql+psycopg://b/b"}, "postgresql+psycopg://b/b"),
    ],
)
def test_the_database_s_address(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], url: str) -> None:
    """Ours first, then the usual one, in either spelling; else SQLite in the data folder."""
    assert Settings().url().startswith("sqlite:///") and Settings().url().endswith("/data/netra.db")
    assert made(monkeypatch, **values).url() == url


def test_the_clock_stands_only_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """NETRA_NOW is Jakarta time when it names no zone, and is not looked at outside of tests."""
    assert made(monkeypatch, NETRA_ENV="test", NETRA_NOW="2024-11-18T10:00:00").clock() == datetime(2024, 11, 18, 10, tzinfo=ZONE)
    assert made(monkeypatch, NETRA_ENV="practice").clock().year > 2024
    assert made(monkeypatch, NETRA_ENV="test", NETRA_NOW="").clock().tzinfo is ZONE


def test_two_data_folders_never_share_draft_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default run folder belongs to one user and one data folder, in memory where there is any."""
    folders: set[Any] = {made(monkeypatch, NETRA_DATA_DIR=str(tmp_path / name)).runtime_dir() for name in ("a", "b")}
    assert len(folders) == 2
    assert made(monkeypatch, NETRA_RUN_DIR=str(tmp_path / "run")).runtime_dir() == tmp_path / "run"
