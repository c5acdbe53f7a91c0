"""The schema: brought up to date by Alembic, checked at the start by one version number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

FOLDER = Path(__file__).with_name("migrations")


class Outdated(Exception):
    """The database's schema is not the program's."""


def latest() -> str:
    """The newest revision: the file with the highest number."""
    return max(path.name.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def current(connection: Connection) -> str:
    """The database's revision; empty for a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def up_to_date(connection: Connection) -> bool:
    """Whether the database's schema is the program's."""
    return current(connection) == latest()


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to a revision, up or down, in one transaction.

    SQLite changes a table by making a new one and dropping the old; with foreign keys enforced that would delete the rows of
    other tables that point to it. So they rest meanwhile and are checked before the commit.
    """
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect().execution_options(writes=True) as connection:
        driver: Any = connection.connection.driver_connection
        if sqlite:
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                _migrate(connection, config, revision)
                if sqlite and driver.execute("PRAGMA foreign_key_check").fetchall():
                    raise RuntimeError("The migration would leave rows that point to nothing; nothing was changed.")
        finally:
            if sqlite:
                driver.execute("PRAGMA foreign_keys=ON")


def _migrate(connection: Connection, config: Any, revision: str) -> None:
    from alembic import command

    config.attributes["connection"] = connection
    before = current(connection)
    if revision == "base" or (revision != "head" and before and revision < before):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def check(engine: Engine) -> None:
    """Raises `Outdated` with one sentence when the schema is not the program's."""
    with engine.connect() as connection:
        found = current(connection)
    if found != latest():
        raise Outdated(
            "The database needs an update: run `netra migrate`." if found < latest() else "The database is newer than this program."
        )
