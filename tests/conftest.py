"""Fixtures: a real SQLite store in a temporary folder, a clock that stands still until it is moved, and `talk`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from faq.match import Faq
from tests import postgres as real_postgres
from tests.known_faq import KnownFaq
from tests.talk import Machine, Talk, copied


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2024, 11, 18, 10, 0, tzinfo=ZoneInfo("Asia/Jakarta"))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)


@pytest.fixture(scope="session")
def faq() -> Faq:
    """The FAQ as shipped."""
    return Faq.load()


@pytest.fixture
def clock() -> Clock:
    """Monday 18 November 2024, ten in the morning in Jakarta."""
    return Clock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys and a database with every table and one receiver, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("migrated")
    made = Machine(folder, Clock(), KnownFaq())
    made.receiver()
    made.close()
    return folder


@pytest.fixture
def machine(tmp_path: Path, clock: Clock, faq: Faq, migrated: Path) -> Iterator[Machine]:
    """Store, keys, flows and conductor over a temporary folder, with one receiver."""
    made = copied(migrated, tmp_path, clock, faq)
    yield made
    made.close()


@pytest.fixture
def talk(machine: Machine) -> Talk:
    """A person in a chat."""
    return Talk(machine)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server; the address of a database on it, without its name."""
    with real_postgres.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'netra.db'}"
    return real_postgres.fresh_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def schema_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "netra.db"
    real_postgres.bring_up(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: str) -> str:
    """A PostgreSQL database with the schema, to be emptied before each use."""
    url = real_postgres.fresh_database(postgres)
    real_postgres.bring_up(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with the schema, once of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("schema_file"), tmp_path / "netra.db")
        return f"sqlite:///{tmp_path / 'netra.db'}"
    url: str = request.getfixturevalue("migrated_postgres")
    real_postgres.empty(url)
    return url


@pytest.fixture
def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its floor, for tests that are not about its cost."""
    for name, value in (("LOGIN_OPS", 1), ("LOGIN_MEMORY", 8 << 20), ("RECEIPT_OPS", 1), ("RECEIPT_MEMORY", 8 << 20)):
        monkeypatch.setattr(f"storage.vault.{name}", value)
