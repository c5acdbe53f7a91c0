"""The vault: known answers, bound records, receipt codes, epoch keys, keys on disk."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from storage import vault
from storage.vault import (
    Broken,
    EpochKeys,
    Keys,
    Receipt,
    Receipts,
    case_key_by_receipt,
    case_key_by_seal,
    damm,
    derive_passphrase,
    grouped,
    keyed,
    new_case_key,
    new_code,
    new_receiver_key,
    open_receiver_key,
    seal,
    unseal,
)
from tests.conftest import Clock

KEY = bytes(range(32))
KNOWN = {
    "keyed": "c7fb986de71f5f09710ab790f2b2138a",
    "seal": (
        "4e4231016d00000000000000000000000000000000000000000000000095068ccc85fb8c397aef0f569e7750ea3cbcad937a904d0bcbed"
        "955dd7e61a31668a60b839425af0dfffafd4530d92d34943d4b9afa0f80af0236b532b148359671a2699d5d5911ad3c42855d94efbca"
    ),
    "lookup": "dbfa6c131209e310726a4636c56cd3ba",
    "wrap": "6b766a0fdb42d2e690241a89883d6377e6897db8d7f410ad2515629101950cfa",
    "login_wrap": "e0b0b39d48eaf35dfbde81bf919498616f6f1e1766a28cd7b168dc0a3f83a759",
    "login_verifier": "bbf87a5c1b5dde4d8a19598104b4bd413611c49100bad804d32c3a751eb6b4a6",
    "public": "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f",
    "items": "e4bc066d1e2db0ffe76692ebfdd5cd5d513539ff9c75cc333cbf5d75363e3bcf",
    "file": "a6a05ac99c0e8f1a381e8c7f50a0e255a9317ac959400e772514baa0f69aac85",
}
"""Made once; the first with Python's own BLAKE2b as well."""
DIGITS = st.text("0123456789", min_size=1, max_size=30)


# --- known answers ----------------------------------------------------------------------------------------------------------------


def test_keyed_hash_gives_the_known_answer() -> None:
    """The keyed hash never changes: rows that were named by it must be found again."""
    assert keyed(KEY, b"chat", b"web_chat|abc", 16).hex() == KNOWN["keyed"]


def test_seal_gives_the_known_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of a sealed record never changes: old records must stay readable."""
    monkeypatch.setattr("storage.vault.secrets.token_bytes", lambda size: bytes(size))
    record = seal(KEY, b"m", b"item.body", b"isi laporan", pad=64)
    assert record.hex() == KNOWN["seal"]
    assert unseal(KEY, b"m", b"item.body", record) == b"isi laporan"


def test_receipt_derivation_gives_the_known_answer() -> None:
    """A code leads to the same case for ever."""
    receipts = Receipts(KEY)
    receipt = receipts.derive(receipts.hashed("12345678901234567890"))
    assert (receipt.lookup.hex(), receipt.wrap.hex()) == (KNOWN["lookup"], KNOWN["wrap"])


def test_passphrase_derivation_gives_the_known_answer() -> None:
    """A passphrase opens the same key for ever."""
    derived = derive_passphrase("enam kuda putih berlari jauh", bytes(16))
    assert (derived.wrap.hex(), derived.verifier.hex()) == (KNOWN["login_wrap"], KNOWN["login_verifier"])


def test_case_keys_give_the_known_answer() -> None:
    """What is derived from a case's key never changes."""
    key = vault.CaseKey(KEY)
    assert (key.public.hex(), key.items.hex(), key.file(bytes(16)).hex()) == (KNOWN["public"], KNOWN["items"], KNOWN["file"])


def test_damm_gives_the_published_example() -> None:
    """The check digit of 572 is 4 (Damm's own example)."""
    assert damm("572") == "4" and damm("5724") == "0"


# --- records are bound to what they are and where they stand --------------------------------------------------------------------------


@given(st.binary(max_size=3000), st.sampled_from([64, 1024]))
@settings(max_examples=50, deadline=None)
def test_what_was_sealed_comes_back(plain: bytes, pad: int) -> None:
    """Any content survives, and its record's length says only how many blocks it fills."""
    record = seal(KEY, b"m", b"place", plain, pad)
    assert unseal(KEY, b"m", b"place", record) == plain
    assert (len(record) - 5 - 24 - 16) % pad == 0


@given(st.integers(min_value=0))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_is_refused(number: int) -> None:
    """No bit of a record can be changed."""
    record = bytearray(seal(KEY, b"m", b"place", b"isi", 64))
    bit = number % (8 * len(record))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Broken):
        unseal(KEY, b"m", b"place", bytes(record))


def test_every_truncation_is_refused() -> None:
    """A record cannot be cut or grown, anywhere."""
    record = seal(KEY, b"m", b"place", b"isi", 64)
    for end in range(len(record)):
        with pytest.raises(Broken):
            unseal(KEY, b"m", b"place", record[:end])
    with pytest.raises(Broken):
        unseal(KEY, b"m", b"place", record + b"\0")


@pytest.mark.parametrize(("key", "kind", "place"), [(bytes(32), b"m", b"place"), (KEY, b"n", b"place"), (KEY, b"m", b"elsewhere")])
def test_another_key_kind_or_place_is_refused(key: bytes, kind: bytes, place: bytes) -> None:
    """A record is only what it is, where it is."""
    with pytest.raises(Broken):
        unseal(key, kind, place, seal(KEY, b"m", b"place", b"isi", 64))


def test_the_same_words_never_give_the_same_record() -> None:
    """Equal contents cannot be recognised by their records."""
    assert seal(KEY, b"m", b"place", b"isi") != seal(KEY, b"m", b"place", b"isi")


def test_a_case_key_opens_for_its_receiver_and_its_code_alone() -> None:
    """The two ways into a case work, and no other."""
    passphrase = vault.Passphrase(bytes(32), b"")
    receiver, other = new_receiver_key(passphrase, b"a" * 16), new_receiver_key(passphrase, b"b" * 16)
    private = open_receiver_key(passphrase, b"a" * 16, receiver.public, receiver.wrapped)
    stranger = open_receiver_key(passphrase, b"b" * 16, other.public, other.wrapped)
    key, receipt, case = new_case_key(), Receipt(b"l" * 16, KEY), b"c" * 16
    assert case_key_by_seal(private, key.sealed_to(receiver.public)) == key
    assert case_key_by_receipt(receipt, case, key.wrapped(receipt, case)) == key
    for attempt in (
        lambda: case_key_by_seal(stranger, key.sealed_to(receiver.public)),
        lambda: case_key_by_seal(private, key.sealed_to(receiver.public)[:-1]),
        lambda: case_key_by_seal(private, b""),
        lambda: case_key_by_receipt(Receipt(b"l" * 16, bytes(32)), case, key.wrapped(receipt, case)),
        lambda: case_key_by_receipt(receipt, b"d" * 16, key.wrapped(receipt, case)),
        lambda: case_key_by_receipt(receipt, case, b""),
        lambda: open_receiver_key(vault.Passphrase(KEY, b""), b"a" * 16, receiver.public, receiver.wrapped),
        lambda: open_receiver_key(passphrase, b"b" * 16, receiver.public, receiver.wrapped),
    ):
        with pytest.raises(Broken):
            attempt()


# --- receipt codes ----------------------------------------------------------------------------------------------------------------------


@given(DIGITS)
@settings(deadline=None)
def test_damm_catches_every_single_error(digits: str) -> None:
    """A wrong digit is noticed before any key is derived."""
    code = digits + damm(digits)
    assert damm(code) == "0"
    for place, digit in enumerate(code):
        for wrong in set("0123456789") - {digit}:
            assert damm(code[:place] + wrong + code[place + 1 :]) != "0"


@given(DIGITS)
@settings(deadline=None)
def test_damm_catches_every_swap_of_neighbours(digits: str) -> None:
    """Two neighbours that changed places are noticed."""
    code = digits + damm(digits)
    for place in range(len(code) - 1):
        if code[place] != code[place + 1]:
            assert damm(code[:place] + code[place + 1] + code[place] + code[place + 2 :]) != "0"


def test_codes_are_twenty_digits_in_five_groups() -> None:
    """A code looks like a prepaid electricity token and checks out."""
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert all(len(code) == 20 and code.isdigit() and damm(code) == "0" for code in codes)
    assert grouped("12345678901234567890") == "1234 5678 9012 3456 7890"


def test_every_try_costs_one_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known or unknown, a code costs the same one Argon2id with the same cost: time says nothing."""
    calls: list[tuple[int, int]] = []
    real = argon2id.kdf

    def counted(size: int, password: bytes, salt: bytes, opslimit: int, memlimit: int) -> bytes:
        calls.append((opslimit, memlimit))
        return bytes(real(size, password, salt, opslimit=1, memlimit=8192))

    monkeypatch.setattr("storage.vault.argon2id.kdf", counted)
    receipts = Receipts(KEY, ready=2)
    receipts.refill()
    known = receipts.take()
    assert known is not None and calls == [(3, 64 * 1024 * 1024)] * 2
    assert receipts.derive(receipts.hashed(known.code)) == known.receipt
    receipts.derive(receipts.hashed(new_code()))
    assert len(calls) == 4


def test_a_code_cannot_be_tried_without_the_pepper() -> None:
    """Another pepper leads nowhere."""
    assert Receipts(KEY).hashed("1" * 20) != Receipts(bytes(32)).hashed("1" * 20)


# --- epoch keys -------------------------------------------------------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    """The names of all files in a folder."""
    return {path.name for path in folder.iterdir()}


def test_epoch_keys_turn_over_every_day_and_are_gone_by_the_second(tmp_path: Path, clock: Clock) -> None:
    """A key lives through its own day and the next, then it is destroyed, in memory and on disk."""
    clock.now = datetime.fromisoformat("2024-11-18T00:00:00+00:00")
    epochs = EpochKeys(tmp_path, clock)
    first, key = epochs.current()
    clock.forward(hours=23, minutes=59)
    assert epochs.current() == (first, key)
    clock.forward(minutes=1)
    second, other = epochs.current()
    assert (second, epochs.get(first)) == (first + 1, key) and other != key
    clock.forward(hours=23, minutes=59)
    assert epochs.get(first) == key
    clock.forward(minutes=1)
    assert epochs.get(first) is None
    assert names(tmp_path) == {f"epoch-{second}", f"epoch-{second + 1}"}
    assert [number for number, _ in epochs.live()] == [second + 1, second]


def test_epoch_keys_survive_a_restart_but_not_a_new_folder(tmp_path: Path, clock: Clock) -> None:
    """A restart finds the same key; a fresh run folder says that it is fresh."""
    first = EpochKeys(tmp_path / "run", clock)
    again = EpochKeys(tmp_path / "run", clock)
    assert (first.fresh, again.fresh) == (True, False)
    assert first.current() == again.current()
    assert EpochKeys(tmp_path / "other", clock).fresh


def test_outdated_epoch_keys_are_destroyed_at_the_start(tmp_path: Path, clock: Clock) -> None:
    """What a stopped or killed program left behind goes with the next start, also half-written files."""
    old = EpochKeys(tmp_path, clock).number()
    (tmp_path / f".epoch-{old}.0badcafe").write_bytes(bytes(32))
    clock.forward(days=2)
    EpochKeys(tmp_path, clock)
    assert names(tmp_path) == {f"epoch-{old + 2}"}


def test_a_clock_set_back_costs_nobody_a_draft(tmp_path: Path, clock: Clock) -> None:
    """A small step back over midnight keeps the newer key, a wild jump destroys it."""
    clock.now = datetime.fromisoformat("2024-11-18T00:00:01+00:00")
    epochs = EpochKeys(tmp_path, clock)
    number, key = epochs.current()
    clock.forward(seconds=-2)
    assert epochs.current()[0] == number - 1
    clock.forward(seconds=2)
    assert epochs.current() == (number, key)
    clock.forward(days=-30)
    epochs.current()
    assert epochs.get(number) is None


def test_the_time_to_the_next_epoch(tmp_path: Path, clock: Clock) -> None:
    """Whoever tidies up knows when to wake."""
    clock.now = datetime.fromisoformat("2024-11-18T23:59:00+00:00")
    assert timedelta(seconds=EpochKeys(tmp_path, clock).left()) == timedelta(minutes=1)


def test_epoch_key_files_are_for_their_owner_alone(tmp_path: Path, clock: Clock) -> None:
    """0400, and never used when they are not."""
    EpochKeys(tmp_path, clock)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o400
    path.chmod(0o444)
    with pytest.raises(RuntimeError, match="can be read by others"):
        EpochKeys(tmp_path, clock)


def test_a_run_folder_of_another_user_is_refused(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can lay a folder with keys of their own in our way."""
    monkeypatch.setattr("storage.vault.os.getuid", lambda: 4242)
    with pytest.raises(RuntimeError, match="another user"):
        EpochKeys(tmp_path, clock)


# --- long-lived keys --------------------------------------------------------------------------------------------------------------------


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    """The second start finds the keys of the first; each is 0400 in a 0700 folder."""
    first, again = Keys(tmp_path / "keys"), Keys(tmp_path / "keys")
    for name in Keys.NAMES:
        assert getattr(first, name) == getattr(again, name)
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert len({getattr(first, name) for name in Keys.NAMES}) == len(Keys.NAMES)
    assert not [name for name in names(tmp_path / "keys") if name.startswith(".")]


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(32), b"ab" * 16, bytes(33)])
def test_a_key_that_is_none_is_refused(tmp_path: Path, value: bytes) -> None:
    """Short, long, empty or constant: one sentence that says what to do."""
    Keys(tmp_path)
    path = tmp_path / "receipt_pepper"
    path.chmod(0o600)
    path.write_bytes(value)
    path.chmod(0o400)
    with pytest.raises(RuntimeError, match="receipt_pepper is not a key of 32 random bytes: restore it"):
        Keys(tmp_path)


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o410])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """One sentence that says what to do."""
    Keys(tmp_path)
    (tmp_path / "panel").chmod(mode)
    with pytest.raises(RuntimeError, match="panel can be read by others: set its mode to 0400"):
        Keys(tmp_path)
