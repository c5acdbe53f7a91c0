"""A case as one sealed file, and how a receiver opens it on a laptop of their own, without server, database or network.

The file is a ZIP of what stands in the tables, still sealed: `tip.json` names the case and holds its key sealed to one receiver, `items/`
and `evidence/` hold the records. Whoever lacks that receiver's key file and passphrase learns the alias, the day, and rough sizes.
The format is described in docs/vault.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from storage.cases import Entry, entry_of
from storage.models import Case, Evidence, Group, Item, Seal, Staff, StaffSession
from storage.vault import Broken, CaseKey, case_key_by_seal, derive_passphrase, keyed, open_receiver_key, unseal, write_once

FORMAT, KEY_FORMAT = "netra-tip-1", "netra-key-1"
STAMP = (1980, 1, 1, 0, 0, 0)
"""Every member of the ZIP carries the same time, the earliest one that the format has."""

LARGEST = 400 * 1024 * 1024
"""Bytes of an export that is read: ten photos and more fit in far less."""


class Unopened(Exception):
    """A file that cannot be opened; the message says why in one sentence."""


# --- on the server --------------------------------------------------------------------------------------------------------------------


def export_case(connection: Connection, case: bytes, staff: bytes) -> bytes | None:
    """A case as one file for one receiver, nothing of it opened; None when it is gone or not sealed to them."""
    query = select(Case, Seal.body.label("seal"), Group.name.label("team"), Staff.name.label("receiver"), Staff.public_key.label("for"))
    query = query.join(Seal, Seal.case_id == Case.id).join(Staff, Staff.id == Seal.staff_id).join(Group, Group.id == Case.group_id)
    row = connection.execute(query.where(Case.id == case, Seal.staff_id == staff)).mappings().first()
    if row is None:
        return None
    about = {
        "format": FORMAT,
        "case": case.hex(),
        "alias": row["alias"],
        "day": row["day"].isoformat(),
        "status": row["status"],
        "team": row["team"],
        "receiver": row["receiver"],
        "receiver_key": row["for"].hex(),
        "case_key": row["public_key"].hex(),
        "seal": row["seal"].hex(),
    }
    members = {"tip.json": json.dumps(about, ensure_ascii=False, indent=1).encode(), "head": row["head"]}
    members |= {f"items/{item.id.hex()}": item.body for item in connection.execute(select(Item.id, Item.body).where(Item.case_id == case))}
    for photo in connection.execute(select(Evidence.id, Evidence.facts, Evidence.body).where(Evidence.case_id == case)):
        members |= {f"evidence/{photo.id.hex()}.facts": photo.facts, f"evidence/{photo.id.hex()}.body": photo.body}
    return _zipped(members)


def key_file(connection: Connection, staff: bytes) -> bytes | None:
    """A receiver's key file, once: the private half (under their passphrase) leaves the server with it, and their sessions end.

    None when there is no such account or its key was taken away before.
    """
    row = connection.execute(select(Staff).where(Staff.id == staff)).mappings().first()
    if row is None or not row["private_key"]:
        return None
    held = {"format": KEY_FORMAT, "name": row["name"], "staff": staff.hex(), "public": row["public_key"].hex()}
    held |= {"salt": row["salt"].hex(), "wrapped": row["private_key"].hex()}
    connection.execute(update(Staff).where(Staff.id == staff).values(private_key=b""))
    connection.execute(StaffSession.__table__.delete().where(StaffSession.staff_id == staff))  # type: ignore[attr-defined]
    return json.dumps(held, indent=1).encode()


# --- on the laptop ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of an opened export."""

    name: str
    jpeg: bytes
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """An export in clear."""

    about: Mapping[str, str]
    head: Mapping[str, Any]
    entries: Sequence[Entry]
    photos: Sequence[Photo]


def private_key_of(key: bytes, passphrase: str) -> bytes:
    """The private key in a key file (blocking: Argon2id with 256 MiB). Raises `Unopened`."""
    try:
        held = json.loads(key)
        if held["format"] != KEY_FORMAT:
            raise ValueError
        staff, public, salt, wrapped = (bytes.fromhex(held[name]) for name in ("staff", "public", "salt", "wrapped"))
    except (ValueError, KeyError, TypeError) as error:
        raise Unopened("This is not a key file of a receiver.") from error
    try:
        return open_receiver_key(derive_passphrase(passphrase, salt), staff, public, wrapped)
    except Broken as error:
        raise Unopened("That is not the passphrase of this key file.") from error


def open_export(file: bytes, private_key: bytes) -> Opened:
    """What an export holds. Raises `Unopened`; a record that was changed, cut or put in another place is never shown."""
    try:
        members = _unzipped(file)
        about = json.loads(members["tip.json"])
        if about["format"] != FORMAT:
            raise ValueError
        case, sealed = bytes.fromhex(about["case"]), bytes.fromhex(about["seal"])
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise Unopened("This is not an exported tip.") from error
    try:
        key = case_key_by_seal(private_key, sealed)
        if key.public.hex() != about["case_key"]:
            raise Broken
        head = json.loads(unseal(key.items, b"h", b"tip_case.head" + case, members["head"]))
        items = [(bytes.fromhex(name.removeprefix("items/")), body) for name, body in members.items() if name.startswith("items/")]
        entries = sorted((entry_of(key, case, item, body) for item, body in items), key=lambda entry: entry.order)
        names = [photo for entry in entries for photo in entry.photos]
        photos = [_photo(members, key, case, photo) for photo in names]
    except (Broken, KeyError) as error:
        raise Unopened("This export is not for that key, or it was changed on its way.") from error
    return Opened(about, head, entries, photos)


def write_out(opened: Opened, folder: Path) -> list[Path]:
    """Write an opened export as text and photos, readable by the owner alone. The folder must be new or empty; raises `Unopened`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Unopened(f"The folder {folder} is not empty.")
    files = {"laporan.txt": as_text(opened).encode()}
    files |= {f"foto-{number:02}.jpg": photo.jpeg for number, photo in enumerate(opened.photos, start=1)}
    for name, body in files.items():
        write_once(folder / name, body)
    return [folder / name for name in files]


def as_text(opened: Opened) -> str:
    """An opened export as plain text."""
    lines = [f"{opened.about['alias']} ({opened.about['day']}), {opened.about['team']}", ""]
    for entry in opened.entries:
        if entry.kind == "mine":
            continue
        lines.append(f"--- {entry.day} {entry.kind}{f' ({entry.by})' if entry.by else ''}")
        lines += [f"{name}: {value}" for name, value in entry.facts.items() if value not in ("", None)]
        lines += [entry.words, ""] if entry.words else [""]
    for number, photo in enumerate(opened.photos, start=1):
        lines.append(f"--- foto-{number:02}.jpg")
        lines += [f"{name}: {value}" for name, value in photo.facts.items()]
        lines.append("")
    return "\n".join(lines)


# --- inside ---------------------------------------------------------------------------------------------------------------------


def _photo(members: Mapping[str, bytes], key: CaseKey, case: bytes, name: str) -> Photo:
    evidence = bytes.fromhex(name)
    facts = json.loads(unseal(key.items, b"f", b"evidence.facts" + case + evidence, members[f"evidence/{name}.facts"]))
    jpeg = unseal(key.file(evidence), b"p", b"evidence.body" + case + evidence, members[f"evidence/{name}.body"])
    if "clean_sha256" in facts and hashlib.sha256(jpeg).hexdigest() != facts["clean_sha256"]:
        raise Broken
    if (
        "salt" in facts
        and keyed(bytes.fromhex(facts["salt"]), b"original", bytes.fromhex(facts["original_sha256"])).hex() != facts["commitment"]
    ):
        raise Broken
    return Photo(name, jpeg, facts)


def _zipped(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members, key=lambda name: (name != "tip.json", name)):
            archive.writestr(zipfile.ZipInfo(name, STAMP), members[name])
    return out.getvalue()


def _unzipped(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST:
            raise ValueError
        return {member.filename: archive.read(member) for member in archive.infolist()}
