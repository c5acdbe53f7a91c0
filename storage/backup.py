"""Backups: the data as an `age` file to the recovery key, the keys as another under a passphrase. Each is useless without the other.

Set A is the database without what passes through it (drafts, inbox, outbox, sessions, traces). It expires after seven days, because a tip
that was withdrawn lives on in it. Set B is the keys folder; it is made after a change of keys and kept elsewhere (docs/vault.md).
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from storage.age import Recovery, decrypt_file, encrypt_file, from_passphrase, needs_passphrase, with_passphrase
from storage.vault import write_once

DAYS = 7
"""A data backup lives this long: shorter than the shortest promise of deletion (14 days)."""

PASSING = (
    "conversation", "draft_evidence", "inbox", "outbox", "seen", "trace", "erasure", "staff_session", "invitation", "staff_chat_code",
    "job",
)  # fmt: skip
"""Tables whose rows only pass through: they are not in a backup."""

DATA, KEYS = "netra-data-", "netra-keys-"


class Failed(Exception):
    """A backup or restore that is not done; the message says why in one sentence."""


def back_up(database: Path, folder: Path, recipient: str, scratch: Path, now: datetime) -> Path:
    """Write set A into a folder and delete the sets there that are older than seven days; the new file.

    The copy in clear of the file (its contents are sealed as ever) exists in `scratch` alone, a folder in memory. Raises `Failed`.
    """
    _private(folder)
    target = folder / f"{DATA}{now:%Y%m%d-%H%M%S}.age"
    with _scratch(scratch, database.stat().st_size) as copy:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source, closing(sqlite3.connect(copy)) as sink:
            source.backup(sink)
            _without_passing(sink)
        _whole(lambda partial: encrypt_file(copy, partial, [recipient]), target)
    _expire(folder, now)
    return target


def back_up_keys(keys: Path, folder: Path, passphrase: str, now: datetime) -> Path:
    """Write set B into a folder. Raises `Failed` where set A lies: the two together open everything."""
    _private(folder)
    if any(folder.glob(f"{DATA}*")):
        raise Failed("Data backups lie in that folder; keep the keys in another place, held by other people.")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(keys.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                member = tarfile.TarInfo(path.name)
                member.size = path.stat().st_size
                archive.addfile(member, io.BytesIO(path.read_bytes()))
    sealed = with_passphrase(out.getvalue(), passphrase)
    target = folder / f"{KEYS}{now:%Y%m%d-%H%M%S}.age"
    _whole(lambda partial: partial.write_bytes(sealed), target)
    return target


def holds_keys(file: Path) -> bool:
    """Whether a backup is set B. Raises `Unreadable` for a file that is no backup."""
    with file.open("rb") as opened:
        return needs_passphrase(opened.read(200))


def restore(file: Path, database: Path, recovery: Recovery) -> None:
    """Bring set A back as the database. Raises `Failed` when there is one already, `Unreadable` for another key or a changed file."""
    if database.exists():
        raise Failed(f"There is a database already ({database.name}): move it away first.")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _whole(lambda partial: decrypt_file(file, partial, recovery), database, check=_sound)


def restore_keys(file: Path, keys: Path, passphrase: str) -> list[str]:
    """Bring set B back as the keys folder; the names. Raises `Failed` when keys are there already."""
    if keys.exists() and any(keys.iterdir()):
        raise Failed("There are keys in the keys folder already: move them away first.")
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = []
    with tarfile.open(fileobj=io.BytesIO(from_passphrase(file.read_bytes(), passphrase))) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is None or "/" in member.name or member.name.startswith("."):
                raise Failed("That file does not hold keys.")
            write_once(keys / member.name, content.read())
            names.append(member.name)
    return names


# --- inside ---------------------------------------------------------------------------------------------------------------------


def _without_passing(copy: sqlite3.Connection) -> None:
    """Empty the tables that only pass things through, and leave no trace of their rows in the file."""
    there = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    copy.execute("PRAGMA secure_delete = ON")
    for name in PASSING:
        if name in there:
            copy.execute(f"DELETE FROM {name}")  # noqa: S608 - the names stand above
    copy.commit()
    copy.execute("PRAGMA journal_mode = DELETE")
    copy.execute("VACUUM")


@contextmanager
def _scratch(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < 2 * size + (16 << 20):
        raise Failed(f"The run folder needs {(2 * size >> 20) + 16} MB of free memory for the copy: free some, or enlarge that tmpfs.")
    copy = folder / f"backup-{secrets.token_hex(4)}"
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield copy
    finally:
        for path in folder.glob(f"{copy.name}*"):
            path.unlink()


def _whole(write: Callable[[Path], object], target: Path, check: Callable[[Path], None] | None = None) -> None:
    """Write a file whole or not at all, for its owner alone."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        write(partial)
        partial.chmod(0o600)
        if check is not None:
            check(partial)
        handle = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _sound(database: Path) -> None:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as copy:
        try:
            if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise Failed("The database in that backup is damaged.")
        except sqlite3.DatabaseError as error:
            raise Failed("That backup does not hold a database.") from error


def _expire(folder: Path, now: datetime) -> None:
    for path in folder.glob(f"{DATA}*.age"):
        try:
            made = datetime.strptime(path.name, f"{DATA}%Y%m%d-%H%M%S.age").replace(tzinfo=now.tzinfo)
        except ValueError:
            continue
        if now - made > timedelta(days=DAYS):
            path.unlink()


def _private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
