"""`netra selftest`: what is stored, whether the keys compute what they must, and whether the walls stand. Nothing here changes anything."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from bot.settings import Settings
from storage import age, vault
from storage.models import Table

KEY = bytes(range(32))
TMPFS = 0x01021994
"""The file system type of a tmpfs (linux/magic.h)."""

PR_GET_DUMPABLE = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, and what is wrong (empty: nothing)."""

    name: str
    wrong: str = ""


def fields() -> list[tuple[str, str, str]]:
    """Every stored field with its purpose and how long it lives, as the schema has them."""
    return [
        (f"{table.name}.{column.name}", str(column.info.get("purpose", "")), str(column.info.get("life", "")))
        for table in Table.metadata.sorted_tables
        for column in table.columns
    ]


def checks(settings: Settings) -> Iterator[Check]:
    """All checks, one after the other."""
    missing = [name for name, purpose, life in fields() if not purpose or not life]
    yield Check("every stored field has a purpose and a life", f"these have none: {', '.join(missing)}" if missing else "")
    yield from vectors()
    yield from denied()
    yield from process()
    yield from files(settings)
    yield from given_secrets(settings)


# --- known answers ----------------------------------------------------------------------------------------------------------------


def vectors() -> Iterator[Check]:
    """What the primitives make of fixed inputs, compared with answers that were written down once."""
    case = vault.CaseKey(KEY)
    hashed = vault.Receipts(KEY).hashed("12345678901234567890")
    passphrase = "empat kuda lari di pantai"  # noqa: S105 - a fixed input
    answers: dict[str, tuple[Callable[[], str], str]] = {
        "check digit": (lambda: vault.damm("1234567890123456789"), "1"),
        "keyed hash": (lambda: hashed.hex(), "1f8877ba06c71313e6e43fdaf3d2c82e2214ba382fb618808d1b23f2d86c4f12"),
        "receipt derivation": (lambda: vault.Receipts(KEY).derive(hashed).lookup.hex(), "dbfa6c131209e310726a4636c56cd3ba"),
        "passphrase derivation": (
            lambda: vault.derive_passphrase(passphrase, KEY[:16]).verifier.hex(),
            "3571f641346d86ecc330029c521d08e3de549ac53510755f60c2d1333a892b74",
        ),
        "case key": (lambda: case.public.hex(), "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"),
        "seal to a receiver": (lambda: vault.case_key_by_seal(KEY, SEALED).private.hex(), KEY.hex()),
        "record": (lambda: vault.unseal(KEY, b"i", b"vector", RECORD).decode(), "netra"),
        "record to a public key": (lambda: vault.unseal_with(KEY, b"m", b"vector", SEALED_RECORD).decode(), "netra"),
        "signature (RFC 8032)": (
            lambda: SigningKey(RFC_8032).verify_key.encode().hex(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        "recovery key": (
            lambda: age.Recovery(KEY).recipient,
            "age13aqvttdk3ujkyjh9kg2w5an6dmy5mq5a84a4uxk3hfhnugfc9p0sy5p2wh",
        ),
    }
    for name, (compute, answer) in answers.items():
        try:
            computed = compute()
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is not the known one
            computed = type(error).__name__
        yield Check(f"known answer: {name}", "" if computed == answer else "another answer than the one written down")
    flipped = RECORD[:-1] + bytes([RECORD[-1] ^ 1])
    try:
        vault.unseal(KEY, b"i", b"vector", flipped)
    except vault.Broken:
        yield Check("a changed record is refused")
    else:
        yield Check("a changed record is refused", "it was shown")


# --- the picture decoder --------------------------------------------------------------------------------------------------------------

PROBE = """
import importlib.util, json, mmap, os, socket, sys
spec = importlib.util.spec_from_file_location("decoder", sys.argv[1])
decoder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(decoder)

def fork():
    if os.fork() == 0:
        os._exit(0)

ATTEMPTS = {
    "open a file": lambda: open("/etc/hostname"),
    "open a socket": lambda: socket.socket(),
    "start a process": fork,
    "take 2 GB of memory": lambda: mmap.mmap(-1, 2 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),  # asked for, never touched
    "write to the disk": lambda: open(sys.argv[2], "w"),
}

def attempts(_):
    found = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except BaseException as error:
            found[name] = type(error).__name__
        else:
            found[name] = ""
    return b"", found

decoder.clean = attempts
ours, theirs = socket.socketpair()
ours.shutdown(socket.SHUT_WR)
decoder.answer(theirs)
answer = ours.recv(1 << 16)
os.write(1, answer[8:])
"""
"""Takes the decoder's place inside its own limits, and tries what a taken-over decoder would try."""


def denied() -> Iterator[Check]:
    """What a taken-over picture decoder tries, in its own limits: all of it must fail."""
    decoder = Path(vault.__file__).with_name("decoder.py")
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-I", "-c", PROBE, str(decoder), str(Path(folder) / "written")], capture_output=True, timeout=120, check=False
        )
    try:
        found: dict[str, str] = json.loads(run.stdout)
    except ValueError:
        yield Check("the picture decoder answers", f"it did not, and ended with {run.returncode}")
        return
    for name, error in found.items():
        yield Check(f"the picture decoder cannot {name}", "" if error else "it could")


# --- the process and its files ------------------------------------------------------------------------------------------------------------


def process() -> Iterator[Check]:
    """What every process of the program has: no core dumps, memory that others of this user cannot read, files for the owner alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    yield Check("files are made for their owner alone", "" if mask == 0o077 else f"the umask is {mask:03o}")
    yield Check("no core dumps", "" if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) else "the core limit is not 0")
    dumpable = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
    yield Check("memory is not readable by others", "" if dumpable == 0 else "the process is dumpable")


def files(settings: Settings) -> Iterator[Check]:
    """Folders and files of the data, the keys and the draft keys: readable by their owner alone, and apart from each other."""
    for name, folder in (("data", settings.data_dir), ("keys", settings.keys_dir), ("run", settings.runtime_dir())):
        if not folder.exists():
            yield Check(f"the {name} folder is closed", "")
            continue
        loose = [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077 and not path.name.endswith(".pub")]
        yield Check(f"the {name} folder is closed", f"others can read {loose[0].name}" if loose else "")
    keys, data = settings.keys_dir.absolute(), settings.data_dir.absolute()
    yield Check("the keys are not inside the data folder", "they are" if keys.is_relative_to(data) else "")
    run = settings.runtime_dir()
    if settings.env == "production" and run.exists():
        yield Check("the draft keys are in memory", "" if file_system(run) == TMPFS else "NETRA_RUN_DIR is not on a tmpfs")


def file_system(folder: Path) -> int:
    """The type of the file system that a folder lies on (statfs)."""
    buffer = (ctypes.c_long * 64)()
    ctypes.CDLL(None).statfs(str(folder).encode(), buffer)
    return int(buffer[0])


def given_secrets(settings: Settings) -> Iterator[Check]:
    """Secrets that were set: none short, none from an example; key files whole."""
    for name in settings.poor_secrets():
        yield Check(f"{name} is a secret", "it is short or stands in examples")
    if settings.keys_dir.exists():
        try:
            vault.Keys(settings.keys_dir)
        except (RuntimeError, OSError) as error:
            yield Check("the key files are whole", str(error))
        else:
            yield Check("the key files are whole")
    yield Check(
        "chance is at work", "" if len({secrets.token_bytes(8) for _ in range(64)}) == 64 else "the system gives the same bytes twice"
    )


SEALED = bytes.fromhex(
    "9cf17f6fd5120f8dcf9803ec356a07bc6d757bae5345cedc1cc70f426d31b5705e08ba005d066aed0d0cc8d382b4b94b33ec84bcbe45ed6a7c90d0ea15021c59"
    "04f5ac67994330a3f8de1eb2b5c6c0d7"
)
RECORD = bytes.fromhex(
    "4e4231016900000000000000000000000000000000000000000000000095068cc282ed916b778e7f39ec163eea3cbcad937a904d0bcbed955dd7e61a31668a60"
    "b839425af0dfffafd4530d92d34943d4b9afa0f80af0236b532b148359b097138bc5b34983565aa03f058eab50"
)
SEALED_RECORD = bytes.fromhex(
    "4e4231026defa652b38bc9d5128a2f092854d3210a2c98f160dece8fd11dc4beb0e4517d6b22fd695971fa0d531326e1ddb0b06f488f6cca63ef840dd1a8200a"
    "e497f7afe705dc634c21305e01e34163419d116b8e8052a0beafe37ac65d04525b6b96ecee765e913ea695b35b7b855f5e1cf1dc23"
)
RFC_8032 = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
