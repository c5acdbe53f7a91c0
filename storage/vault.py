"""Keys and seals: what is written is sealed, what is sealed is bound to its place.

Design and measured costs: `docs/vault.md`. All primitives are libsodium's, through PyNaCl.

- A record is ``NB1 | alg | kind | nonce | ciphertext``; its header and its place (table, row, column) are authenticated, so that a
  swapped, truncated or flipped record is refused with `Broken`.
- Drafts stand under an epoch key in the run folder, which a seized, powered-off disk does not have.
- A case has an X25519 pair; its private half is sealed to each receiver and wrapped under the receipt code.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nacl.bindings as sodium
import nacl.exceptions
import nacl.pwhash.argon2id as argon2id
from nacl.encoding import RawEncoder
from nacl.hash import blake2b
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey

MAGIC = b"NB1"
ALG_XCHACHA = b"\x01"
ALG_SEALED = b"\x02"
"""Sealed to a public key (X25519): what may be written by who cannot read."""

NONCE = 24
TEXT_PAD, FILE_PAD = 1024, 64 * 1024
"""Contents are padded to these sizes (bytes), so that a length says little."""

RECEIPT_OPS, RECEIPT_MEMORY = 3, 64 * 1024 * 1024
LOGIN_OPS, LOGIN_MEMORY = 3, 256 * 1024 * 1024
"""Argon2id costs: about 100 ms and 550 ms of CPU on the machine of `bench/vault.py`."""

RECEIPT_SALT = blake2b(b"netra receipt salt 1", digest_size=16, encoder=RawEncoder)
"""One salt for all receipts, because a code must find its row; the pepper and 63 bits of chance answer for it (docs/vault.md)."""

EPOCH = timedelta(hours=24)
EPOCHS_KEPT = 2


class Broken(Exception):
    """A sealed record that is not what was sealed in this place: changed, truncated, swapped, or of another key."""


def keyed(key: bytes, person: bytes, message: bytes, size: int = 32) -> bytes:
    """A keyed BLAKE2b hash for one purpose (`person`, at most 16 bytes)."""
    return hashlib.blake2b(message, digest_size=size, key=key, person=person).digest()


def seal(key: bytes, kind: bytes, place: bytes, plain: bytes, pad: int = TEXT_PAD) -> bytes:
    """`plain`, padded to a multiple of `pad` bytes and sealed for one place."""
    size = len(plain) + 4
    padded = len(plain).to_bytes(4, "big") + plain + bytes(-size % pad)
    header = MAGIC + ALG_XCHACHA + kind
    nonce = secrets.token_bytes(NONCE)
    return header + nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, header + place, nonce, key)


def unseal(key: bytes, kind: bytes, place: bytes, record: bytes) -> bytes:
    """What `seal` sealed in this place; raises `Broken` for anything else."""
    header, nonce, body = record[:5], record[5 : 5 + NONCE], record[5 + NONCE :]
    if header != MAGIC + ALG_XCHACHA + kind or len(nonce) != NONCE:
        raise Broken
    try:
        padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(body, header + place, nonce, key)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Broken from error
    size = int.from_bytes(padded[:4], "big")
    if size > len(padded) - 4:
        raise Broken
    return padded[4 : 4 + size]


def seal_to(public_key: bytes, kind: bytes, place: bytes, plain: bytes, pad: int = TEXT_PAD) -> bytes:
    """`plain`, padded and sealed to a public key for one place: who writes it cannot read it back."""
    bound = keyed(b"", b"place", kind + place)
    padded = bound + len(plain).to_bytes(4, "big") + plain + bytes(-(len(plain) + 36) % pad)
    return MAGIC + ALG_SEALED + kind + bytes(SealedBox(PublicKey(public_key)).encrypt(padded))


def unseal_with(private_key: bytes, kind: bytes, place: bytes, record: bytes) -> bytes:
    """What `seal_to` sealed for this place; raises `Broken` for anything else."""
    if record[:5] != MAGIC + ALG_SEALED + kind:
        raise Broken
    try:
        padded = bytes(SealedBox(PrivateKey(private_key)).decrypt(record[5:]))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Broken from error
    size = int.from_bytes(padded[32:36], "big")
    if padded[:32] != keyed(b"", b"place", kind + place) or size > len(padded) - 36:
        raise Broken
    return padded[36 : 36 + size]


# --- keys on disk -----------------------------------------------------------------------------------------------------------


class Keys:
    """The long-lived keys, one file each, in a folder that is neither in the database nor in its backup.

    Raises `RuntimeError` with one clear sentence when a key file is short or readable by others.
    """

    NAMES = ("receipt_pepper", "audit_signing", "panel", "subscribers", "push")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.receipt_pepper, self.audit_signing, self.panel, self.subscribers, self.push = (self._load(name) for name in self.NAMES)
        self.recovery = next(iter(self._recipients("recovery.pub")), "")
        """The recovery key's public half (`age1...`), to which every new case is sealed as well; empty: there is none."""
        self.verifiers = self._recipients("verifiers.pub")
        """Public halves of further offline keys, for originals alone."""

    @property
    def offline(self) -> tuple[str, ...]:
        """The offline keys that open originals; empty: originals are not kept."""
        return (*((self.recovery,) if self.recovery else ()), *self.verifiers)

    def _recipients(self, name: str) -> tuple[str, ...]:
        path = self.folder / name
        if not path.exists():
            return ()
        from storage.age import Unreadable, public_of  # loads the age library, which most servers do not need

        lines = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#"))
        try:
            for line in lines:
                public_of(line)
        except Unreadable as error:
            raise RuntimeError(f"The file {name} in the keys folder does not hold a public key: {error}") from None
        return lines

    def _load(self, name: str) -> bytes:
        path = self.folder / name
        if not path.exists():
            write_once(path, secrets.token_bytes(32))
        return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in a file; raises `RuntimeError` with one sentence when it is not a key or others can read it."""
    if path.stat().st_mode & 0o077:
        raise RuntimeError(f"The key file {path.name} can be read by others: set its mode to 0400.")
    value = path.read_bytes()
    if len(value) != 32 or len(set(value)) < 8:
        raise RuntimeError(f"The key file {path.name} is not a key of 32 random bytes: restore it from your key backup.")
    return value


def write_once(path: Path, value: bytes) -> None:
    """Write a file that only its owner can read, durably, whole or not at all; an existing file is kept."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        os.write(handle, value)
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class EpochKeys:
    """The keys of drafts, inbox and outbox: a new one every 24 hours, each destroyed before it is 48 hours old.

    They live in the run folder (a tmpfs in production), so that a disk that was taken away opens nothing.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        self.folder, self.clock = folder, clock
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise RuntimeError("The run folder belongs to another user: set NETRA_RUN_DIR to a folder of your own.")
        self.fresh = not any(folder.glob("epoch-*"))
        """True when this folder had no key yet: drafts that stand in the database cannot be read any more."""
        self._lock = threading.Lock()
        self._keys: dict[int, bytes] = {}
        self._turned = -1
        self.current()

    def number(self) -> int:
        """The number of the current epoch: whole days since 1970, UTC."""
        return int(self.clock().astimezone(UTC).timestamp() // EPOCH.total_seconds())

    def left(self) -> float:
        """The seconds until the next epoch begins, when the oldest key has to be destroyed."""
        return EPOCH.total_seconds() * (self.number() + 1) - self.clock().timestamp()

    def current(self) -> tuple[int, bytes]:
        """The current epoch and its key; makes the key and destroys the outdated ones when a new epoch has begun."""
        number = self.number()
        if number != self._turned:
            with self._lock:
                self._turn(number)
        return number, self._keys[number]

    def _turn(self, number: int) -> None:
        path = self.folder / f"epoch-{number}"
        if not path.exists():
            write_once(path, secrets.token_bytes(32))
        # The epoch after this one is kept too: a clock that was set back a little must not cost anybody their draft.
        kept = range(number - EPOCHS_KEPT + 1, number + 2)
        found: dict[int, bytes] = {}
        for path in self.folder.glob("*epoch-*"):  # with what a crash left of a key that was being written
            named = path.name.lstrip(".").removeprefix("epoch-").partition(".")[0]
            if not named.isdigit() or int(named) not in kept:
                destroy(path)
            elif path.name == f"epoch-{named}":
                found[int(named)] = self._keys.get(int(named)) or read_key(path)
        self._keys, self._turned = found, number

    def live(self) -> list[tuple[int, bytes]]:
        """All epochs that can still be read, newest first."""
        self.current()
        return sorted(self._keys.items(), reverse=True)

    def get(self, number: int) -> bytes | None:
        """The key of an epoch, or None when it is destroyed."""
        self.current()
        return self._keys.get(number)


def destroy(path: Path) -> None:
    """Overwrite and remove a key file; one that another process has just removed is no fault."""
    try:
        path.chmod(0o600)
        path.write_bytes(bytes(path.stat().st_size))
        path.unlink()
    except FileNotFoundError:
        pass


# --- receipt codes ----------------------------------------------------------------------------------------------------------

# Damm's quasigroup of order 10 (H. M. Damm, dissertation, Marburg 2004, p. 111): catches every single error and every swap of neighbours.
DAMM = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)
RECEIPT_DIGITS = 20


def damm(digits: str) -> str:
    """The check digit of a string of digits; the string with its check digit gives "0"."""
    check = 0
    for digit in digits:
        check = int(DAMM[check][int(digit)])
    return str(check)


def new_code() -> str:
    """A receipt code: 19 random digits and a check digit (63.1 bits)."""
    digits = "".join(str(secrets.randbelow(10)) for _ in range(RECEIPT_DIGITS - 1))
    return digits + damm(digits)


def grouped(code: str) -> str:
    """The code in five groups of four, as it is shown."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt code derives to: where its case is found, and the key that unwraps the case's key."""

    lookup: bytes
    wrap: bytes


@dataclass(frozen=True, slots=True)
class FreshReceipt:
    """A new code with its derivation, made ahead of need."""

    code: str
    receipt: Receipt


class Receipts:
    """Derives receipt codes, one at a time, off the loop; keeps a few fresh ones ready."""

    def __init__(self, pepper: bytes, ready: int = 4, *, expected: bool = True) -> None:
        self._pepper, self._ready = pepper, ready
        self.expected = expected
        """Whether somebody may soon need one; until then none is made, since each costs a tenth of a second."""
        self._one = threading.Lock()
        self._fresh: list[FreshReceipt] = []

    def hashed(self, code: str) -> bytes:
        """The keyed hash that stands for a code from the door on; without the pepper it cannot be tried."""
        return keyed(self._pepper, b"receipt", code.encode())

    def derive(self, hashed: bytes) -> Receipt:
        """Argon2id over the keyed hash: one derivation per try, whether or not such a code exists."""
        with self._one:
            made = argon2id.kdf(64, hashed, RECEIPT_SALT, opslimit=RECEIPT_OPS, memlimit=RECEIPT_MEMORY)
        return Receipt(lookup=keyed(made[:32], b"lookup", b"", 16), wrap=made[32:])

    @property
    def full(self) -> bool:
        """Whether enough fresh receipts are ready."""
        return len(self._fresh) >= self._wanted

    def refill(self) -> None:
        """Make fresh receipts until enough are ready (blocking: call it in a thread)."""
        while not self.full:
            code = new_code()
            self._fresh.append(FreshReceipt(code, self.derive(self.hashed(code))))

    def take(self) -> FreshReceipt | None:
        """A fresh receipt, or None when none is ready (then `refill` first)."""
        self.expected = True
        try:
            return self._fresh.pop()
        except IndexError:
            return None

    @property
    def _wanted(self) -> int:
        return self._ready if self.expected else 0


# --- keys of cases and receivers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CaseKey:
    """The private key of a case; whoever holds it reads the case."""

    private: bytes

    @property
    def public(self) -> bytes:
        """The public half, which stands in the case's row."""
        return bytes(PrivateKey(self.private).public_key)

    @property
    def items(self) -> bytes:
        """The key of the case's items."""
        return keyed(self.private, b"items", b"")

    def file(self, evidence: bytes) -> bytes:
        """The key of one file of the case; it is nowhere stored."""
        return keyed(self.private, b"file", evidence)

    def sealed_to(self, public_key: bytes) -> bytes:
        """This key, sealed to a receiver."""
        return bytes(SealedBox(PublicKey(public_key)).encrypt(self.private))

    def wrapped(self, receipt: Receipt, case: bytes) -> bytes:
        """This key, wrapped under a receipt."""
        return seal(receipt.wrap, b"w", b"tip_case.wrapped" + case, self.private, pad=64)


def new_case_key() -> CaseKey:
    """The key of a new case."""
    return CaseKey(bytes(PrivateKey.generate()))


def case_key_by_seal(private_key: bytes, body: bytes) -> CaseKey:
    """The case key that was sealed to this receiver; raises `Broken`."""
    try:
        return CaseKey(bytes(SealedBox(PrivateKey(private_key)).decrypt(body)))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Broken from error


def case_key_by_receipt(receipt: Receipt, case: bytes, wrapped: bytes) -> CaseKey:
    """The case key that was wrapped under this receipt; raises `Broken`."""
    return CaseKey(unseal(receipt.wrap, b"w", b"tip_case.wrapped" + case, wrapped))


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What a passphrase derives to: the key that wraps the receiver's key, and the proof that is stored."""

    wrap: bytes
    verifier: bytes


_login = threading.Lock()


def derive_passphrase(passphrase: str, salt: bytes) -> Passphrase:
    """Argon2id, 256 MiB, one at a time (blocking: call it in a thread)."""
    with _login:
        made = argon2id.kdf(64, passphrase.encode(), salt, opslimit=LOGIN_OPS, memlimit=LOGIN_MEMORY)
    return Passphrase(wrap=made[:32], verifier=keyed(made[32:], b"verifier", b""))


@dataclass(frozen=True, slots=True)
class ReceiverKey:
    """A staff member's key pair with its private half wrapped under the passphrase."""

    public: bytes
    wrapped: bytes


def new_receiver_key(passphrase: Passphrase, staff_id: bytes) -> ReceiverKey:
    """The keypair of a new receiver."""
    private = PrivateKey.generate()
    public = bytes(private.public_key)
    return ReceiverKey(public, seal(passphrase.wrap, b"r", b"staff.private_key" + staff_id + public, bytes(private), pad=64))


def new_signing_key(passphrase: Passphrase, staff_id: bytes) -> ReceiverKey:
    """The Ed25519 pair by which a staff member approves receivers."""
    seed = secrets.token_bytes(32)
    public = bytes(SigningKey(seed).verify_key)
    return ReceiverKey(public, wrapped_signing_key(passphrase, staff_id, public, seed))


def wrapped_signing_key(passphrase: Passphrase, staff_id: bytes, public: bytes, private: bytes) -> bytes:
    """The private half of a signing key, wrapped under a passphrase."""
    return seal(passphrase.wrap, b"g", b"staff.signing_private" + staff_id + public, private, pad=64)


def open_signing_key(passphrase: Passphrase, staff_id: bytes, public: bytes, wrapped: bytes) -> bytes:
    """The private half of a signing key; raises `Broken` for another passphrase."""
    return unseal(passphrase.wrap, b"g", b"staff.signing_private" + staff_id + public, wrapped)


def open_receiver_key(passphrase: Passphrase, staff_id: bytes, public: bytes, wrapped: bytes) -> bytes:
    """The private half of a receiver's key; raises `Broken` for another passphrase."""
    return unseal(passphrase.wrap, b"r", b"staff.private_key" + staff_id + public, wrapped)
