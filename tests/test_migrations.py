"""Migrations: the models are the migrated schema, every revision goes up and down with data, nothing is lost on the way."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Date, Engine, Float, Integer, LargeBinary, func, insert, inspect, select, text

from storage import schema
from storage.models import Table
from storage.schema import Outdated, check, current, latest, migrate
from storage.store import connect

TABLES = Table.metadata.sorted_tables


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An empty database."""
    made = connect(url)
    yield made
    made.dispose()


def revisions() -> list[str]:
    """All revisions, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(schema.FOLDER))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def value(column: Any, number: int) -> Any:
    """A value that fits a column."""
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, Integer | Float):
        return number
    if isinstance(column.type, Date):
        return dt.date(2024, 11, 18)
    if isinstance(column.type, LargeBinary):
        return bytes([number]) * (column.type.length or 40)
    return f"v{number}"


def fill(engine: Engine) -> None:
    """One row in every table, pointing at one another where they can."""
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(insert(table).values({column.name: value(column, 1) for column in table.columns}))


def counts(engine: Engine) -> dict[str, int]:
    """How many rows each table has."""
    with engine.connect() as connection:
        return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES}


def test_models_are_the_migrated_schema(engine: Engine) -> None:
    """Alembic finds nothing to change after all migrations."""
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []


def test_tables_by_key_have_no_row_numbers(tmp_path: Path) -> None:
    """On SQLite the rows of tips, drafts and photos lie in the order of random keys, also after migration."""
    engine = connect(f"sqlite:///{tmp_path / 'netra.db'}")
    migrate(engine)
    with engine.connect() as connection:
        sql = {row.name: row.sql for row in connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))}
    engine.dispose()
    for table in TABLES:
        assert ("WITHOUT ROWID" in sql[table.name]) == (table.dialect_options["sqlite"]["with_rowid"] is False), table.name
    for name in ("tip_case", "item", "evidence", "seal", "conversation", "draft_evidence", "seen", "statistic"):
        assert "WITHOUT ROWID" in sql[name]


def test_each_revision_goes_up_and_down_with_data(engine: Engine) -> None:
    """From the newest down to nothing and up again, with a row in every table at the start."""
    migrate(engine)
    fill(engine)
    assert set(counts(engine).values()) == {1}
    for revision in [*revisions()[:-1][::-1], "base"]:
        migrate(engine, revision)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    for revision in revisions():
        migrate(engine, revision)
        with engine.connect() as connection:
            assert current(connection) == revision
    fill(engine)
    assert set(counts(engine).values()) == {1}


def test_each_revision_keeps_the_rows(engine: Engine) -> None:
    """Going up over every revision after the first loses no row; running it again changes nothing."""
    migrate(engine)
    fill(engine)
    migrate(engine)
    assert set(counts(engine).values()) == {1}
    check(engine)


def test_there_is_one_head_and_the_files_are_in_order() -> None:
    """Revisions are numbered in the order in which they apply."""
    assert revisions() == sorted(revisions()) and revisions()[-1] == latest()


def test_a_remade_table_does_not_take_other_rows_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite remakes a table to change it: photos and messages that point to it must not vanish by the cascade."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.FOLDER, folder)
    engine = connect(f"sqlite:///{tmp_path / 'netra.db'}")
    migrate(engine)
    fill(engine)
    (folder / "versions" / "9999_remade.py").write_text(
        '"""A change that remakes a table."""\nimport sqlalchemy as sa\nfrom alembic import op\n'
        f'revision, down_revision, branch_labels, depends_on = "9999", "{latest()}", None, None\n\n\n'
        'def upgrade() -> None:\n    with op.batch_alter_table("tip_case", recreate="always") as batch:\n'
        '        batch.add_column(sa.Column("more", sa.Integer(), nullable=True))\n\n\n'
        'def downgrade() -> None:\n    with op.batch_alter_table("tip_case", recreate="always") as batch:\n'
        '        batch.drop_column("more")\n'
    )
    monkeypatch.setattr(schema, "FOLDER", folder)
    migrate(engine)
    assert set(counts(engine).values()) == {1}
    migrate(engine, revisions()[-2])
    assert set(counts(engine).values()) == {1}
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_a_program_says_when_the_schema_is_not_its_own(engine: Engine) -> None:
    """One sentence for a database without tables, one for a newer one."""
    with pytest.raises(Outdated, match="netra migrate"):
        check(engine)
    migrate(engine)
    check(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Outdated, match="newer than this program"):
        check(engine)


def test_every_column_says_what_it_is_for_and_how_long_it_lives() -> None:
    """The list that `netra selftest` prints has no gap."""
    for table in TABLES:
        for column in table.columns:
            assert column.info.get("purpose") and column.info.get("life"), f"{table.name}.{column.name}"
