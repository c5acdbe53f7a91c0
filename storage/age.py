"""`age` files, for what must outlive this program: backups and originals. And the recovery pair, made offline and split in two.

The pair is an ordinary age identity, so that any age program opens a backup. The same X25519 key opens the seals of cases: age and
libsodium's sealed boxes derive their keys under different labels, so that neither helps against the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyrage

SECRET, RECIPIENT = "age-secret-key-", "age"
HALVES = ("netra-half-a-", "netra-half-b-")
"""Prefixes of the bech32 words, each followed by "1": the check sum covers them, so that two halves are never taken for one another."""

SIGNS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
"""Alphabet and generator of BIP 173."""


class Unreadable(Exception):
    """An age file or a key that cannot be used; the message says why in one sentence."""


# --- bech32 -----------------------------------------------------------------------------------------------------------------------


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, part in enumerate(GENERATOR):
            check ^= part if top >> bit & 1 else 0
    return check


def _expanded(prefix: str) -> list[int]:
    return [ord(sign) >> 5 for sign in prefix] + [0] + [ord(sign) & 31 for sign in prefix]


def _regrouped(values: Sequence[int], size: int, wanted: int) -> list[int]:
    number = bits = 0
    found = []
    for value in values:
        number, bits = number << size | value, bits + size
        while bits >= wanted:
            bits -= wanted
            found.append(number >> bits & (1 << wanted) - 1)
    if size == 8 and bits:
        found.append(number << wanted - bits & (1 << wanted) - 1)
    return found


def bech32(prefix: str, value: bytes) -> str:
    """The value in bech32 (BIP 173), as age writes its keys."""
    data = _regrouped(value, 8, 5)
    check = _polymod([*_expanded(prefix), *data, 0, 0, 0, 0, 0, 0]) ^ 1
    data += [check >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1{''.join(SIGNS[part] for part in data)}"


def unbech32(prefix: str, words: str) -> bytes:
    """The 32 bytes that `bech32` wrote under this prefix; raises `Unreadable`."""
    words = "".join(words.split()).lower()
    head, _, body = words.rpartition("1")
    if head != prefix or any(sign not in SIGNS for sign in body):
        raise Unreadable(f"This is not a line that begins with {prefix}1.")
    data = [SIGNS.index(sign) for sign in body]
    value = bytes(_regrouped(data[:-6], 5, 8))
    if _polymod([*_expanded(prefix), *data]) != 1 or len(value) != 32:
        raise Unreadable("There is a typing error in that line: its check sum does not fit.")
    return value


# --- the recovery pair ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery pair in hand: its private half exists only while a command runs."""

    private: bytes

    @classmethod
    def new(cls) -> Recovery:
        """A new pair."""
        return cls(secrets.token_bytes(32))

    @property
    def secret(self) -> str:
        """The private half as age programs take it."""
        return bech32(SECRET, self.private).upper()

    @property
    def recipient(self) -> str:
        """The public half as age programs take it: the one line that belongs on the server."""
        return str(pyrage.x25519.Identity.from_str(self.secret).to_public())

    def halves(self) -> tuple[str, str]:
        """The private half in two lines for two people; one alone says nothing about it."""
        first = secrets.token_bytes(32)
        second = bytes(one ^ other for one, other in zip(first, self.private, strict=True))
        return bech32(HALVES[0], first), bech32(HALVES[1], second)

    @classmethod
    def joined(cls, one: str, other: str) -> Recovery:
        """The pair out of its two lines, in either order; raises `Unreadable`."""
        if "".join(one.split()).lower().startswith(HALVES[1]):
            one, other = other, one
        first, second = unbech32(HALVES[0], one), unbech32(HALVES[1], other)
        return cls(bytes(a ^ b for a, b in zip(first, second, strict=True)))


def public_of(recipient: str) -> bytes:
    """The X25519 public key in an `age1...` line; raises `Unreadable`."""
    return unbech32(RECIPIENT, recipient)


# --- files -------------------------------------------------------------------------------------------------------------------------------


def encrypted(data: bytes, recipients: Sequence[str]) -> bytes:
    """An age file for these recipients."""
    return bytes(pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(one) for one in recipients]))


def decrypted(data: bytes, recovery: Recovery) -> bytes:
    """What an age file holds; raises `Unreadable`."""
    try:
        return bytes(pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(recovery.secret)]))
    except pyrage.DecryptError as error:
        raise Unreadable("This file is not for that key, or it was changed.") from error


def encrypt_file(source: Path, target: Path, recipients: Sequence[str]) -> None:
    """Encrypt a file of any size, piece by piece."""
    pyrage.encrypt_file(str(source), str(target), [pyrage.x25519.Recipient.from_str(one) for one in recipients])


def decrypt_file(source: Path, target: Path, recovery: Recovery) -> None:
    """Decrypt a file of any size, piece by piece; raises `Unreadable`."""
    try:
        pyrage.decrypt_file(str(source), str(target), [pyrage.x25519.Identity.from_str(recovery.secret)])
    except (pyrage.DecryptError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise Unreadable("This file is not for that key, or it was changed.") from error


def with_passphrase(data: bytes, passphrase: str) -> bytes:
    """An age file under a passphrase (scrypt)."""
    return bytes(pyrage.passphrase.encrypt(data, passphrase))


def from_passphrase(data: bytes, passphrase: str) -> bytes:
    """What `with_passphrase` wrote; raises `Unreadable`."""
    try:
        return bytes(pyrage.passphrase.decrypt(data, passphrase))
    except pyrage.DecryptError as error:
        raise Unreadable("That is not the passphrase of this file, or the file was changed.") from error


def needs_passphrase(head: bytes) -> bool:
    """Whether an age file (its first bytes) is opened by a passphrase, not by a key; raises `Unreadable` for other files."""
    lines = head.split(b"\n", 2)
    if lines[0] != b"age-encryption.org/v1" or len(lines) < 2:
        raise Unreadable("This is not an age file.")
    return lines[1].startswith(b"-> scrypt ")
