"""The vault's costs: derivations of codes and passphrases, and a tip with ten photos from the camera to the sealed case.

    python -m bench.vault [TIMES]

Prints the median and the slowest of TIMES runs (7 unless told) in CPU and wall time; the ratio between a code that opens a case and one
that opens none, tried by turns from the door to whether there is a case; and what a tip with ten photos of 12 megapixels takes in time and
in bytes: decoded and cleaned, kept as a draft, sealed as a case, opened by its receiver, exported, and backed up.
"""

from __future__ import annotations

import io
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from PIL import Image, ImageFilter

from bot.messages import Address, Inbound
from bot.receipts import CodeSessions
from storage import backup
from storage.age import Recovery, public_of
from storage.cases import Cases, NewTip
from storage.conversations import Conversations
from storage.evidence import Cleaned, Cleaner
from storage.export import export_case, open_export
from storage.models import Table
from storage.originals import Waiting
from storage.staff import add, receivers
from storage.store import Store
from storage.vault import EpochKeys, Receipts, derive_passphrase, new_code, open_receiver_key

T = TypeVar("T")
NOW = datetime(2024, 11, 18, 10, 0, tzinfo=ZoneInfo("Asia/Jakarta"))
PASSPHRASE = "empat kuda lari di pantai"
CHAT = Address("telegram", "1")


def photo(seed: int, grain: float = 0.06) -> bytes:
    """A picture of 12 megapixels that compresses about as a camera's does: to 5 MB, with little grain to 2 MB."""
    chance = random.Random(seed)
    small = Image.frombytes("RGB", (400, 300), chance.randbytes(400 * 300 * 3)).resize((4000, 3000)).filter(ImageFilter.GaussianBlur(2))
    noise = Image.frombytes("L", (4000, 3000), chance.randbytes(4000 * 3000)).convert("RGB")
    out = io.BytesIO()
    Image.blend(small, noise, grain).save(out, "JPEG", quality=92)
    return out.getvalue()


def told(name: str, run: Callable[[], T]) -> T:
    """Run something once and print its times."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    print(f"{name:44} {1000 * (time.process_time() - cpu):8.0f} ms CPU {1000 * (time.perf_counter() - wall):8.0f} ms wall")
    return result


def repeated(name: str, times: int, run: Callable[[], object]) -> None:
    """Run something several times; print median and slowest."""
    cpu, wall = [], []
    for _ in range(times):
        begun, used = time.perf_counter(), time.process_time()
        run()
        cpu.append(1000 * (time.process_time() - used))
        wall.append(1000 * (time.perf_counter() - begun))
    print(f"{name:44} {statistics.median(cpu):8.0f} ms CPU {statistics.median(wall):8.0f} ms wall   slowest {max(wall):6.0f} ms")


def main(times: int) -> None:
    """Measure everything once."""
    pepper, salt = secrets.token_bytes(32), secrets.token_bytes(16)
    receipts = Receipts(pepper, ready=1)
    repeated("receipt code: Argon2id 64 MiB, t=3", times, lambda: receipts.derive(receipts.hashed(new_code())))
    repeated("login: Argon2id 256 MiB, t=3", times, lambda: derive_passphrase(PASSPHRASE, salt))
    with tempfile.TemporaryDirectory() as name:
        known_and_unknown(Path(name), receipts, max(3 * times, 21))
    with tempfile.TemporaryDirectory() as name:
        ten_photos(Path(name), receipts)


def known_and_unknown(folder: Path, receipts: Receipts, times: int) -> None:
    """How much longer a code takes that opens a case than one that opens none."""
    store, epochs = Store(f"sqlite:///{folder / 'netra.db'}"), EpochKeys(folder / "run", lambda: NOW)
    store.write_now(lambda connection: Table.metadata.create_all(connection))
    store.write_now(lambda connection: add(connection, "penelaah", ["reviewer"], "", PASSPHRASE))
    cases = Cases(Conversations(epochs), lambda: NOW)
    receipts.refill()
    fresh = receipts.take()
    assert fresh is not None
    tip = NewTip(NOW.date(), "id", {"what": "x" * 500, "when": "2024-11-17"}, (), "")
    store.write_now(lambda connection: cases.open(connection, CHAT, tip, fresh.receipt))

    def tried(code: str) -> float:
        """CPU milliseconds from a typed code to whether there is a case: what `Worker` does before the turn."""
        sessions = CodeSessions(receipts)
        begun = time.process_time()
        handle = sessions.at_the_door(Inbound(CHAT, "1", text=code)).receipt
        sessions.derive(handle, CHAT, lambda receipt: store.read_now(lambda connection: cases.known(connection, receipt)))
        return 1000 * (time.process_time() - begun)

    known, unknown = list[float](), list[float]()
    for number in range(times):
        for column, code in ((known, fresh.code), (unknown, new_code()))[:: 1 if number % 2 else -1]:
            column.append(tried(code))
    one, other = statistics.median(known), statistics.median(unknown)
    low, middle, high = statistics.quantiles([first / second for first, second in zip(known, unknown, strict=True)], n=4)
    print(f"code of a case / of none: {one:.1f} / {other:.1f} ms CPU, ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f})")
    store.close()


def ten_photos(folder: Path, receipts: Receipts) -> None:
    """A tip with ten photos, step by step."""
    database = folder / "netra.db"
    store, epochs = Store(f"sqlite:///{database}"), EpochKeys(folder / "run", lambda: NOW)
    store.write_now(lambda connection: Table.metadata.create_all(connection))
    store.write_now(lambda connection: add(connection, "penelaah", ["reviewer"], "", PASSPHRASE))
    (me,) = store.read_now(receivers)
    recovery, cleaner = Recovery.new(), Cleaner()
    conversations = Conversations(epochs)
    cases, waiting = Cases(conversations, lambda: NOW, recovery=public_of(recovery.recipient)), Waiting((recovery.recipient,))
    photos = [photo(seed) for seed in range(10)]
    print(f"ten photos as sent: {sum(map(len, photos)) / 1e6:.1f} MB")
    store.scrub()
    store.write_now(lambda connection: None)
    before = database.stat().st_size
    cleaned = told("decode and clean ten photos (children)", lambda: [cleaner.clean_now(one) for one in photos])
    print(f"ten photos cleaned: {sum(len(one.jpeg) for one in cleaned) / 1e6:.1f} MB")

    def keep(one: Cleaned) -> str:
        name = secrets.token_bytes(16)
        return store.write_now(lambda connection: conversations.keep_photo(connection, CHAT, name, one.jpeg, one.facts))

    def lock_away() -> None:
        for one, data in zip(kept, photos, strict=True):
            waiting.hold(CHAT, one, data)

    kept = told("keep them as a draft", lambda: [keep(one) for one in cleaned])
    told("lock ten originals for the offline key", lock_away)
    receipts.refill()
    fresh = receipts.take()
    assert fresh is not None
    tip = NewTip(NOW.date(), "id", {"what": "x" * 500, "when": "2024-11-17"}, kept, "")
    case = told(
        "seal the case (one transaction)", lambda: store.write_now(lambda connection: cases.open(connection, CHAT, tip, fresh.receipt))
    )
    store.write_now(lambda connection: conversations.keep_only(connection, CHAT, []))
    private = open_receiver_key(derive_passphrase(PASSPHRASE, me.salt), me.id, me.public_key, me.private_key)

    def look() -> int:
        with store.engine.connect() as connection:
            opened = cases.by_seal(connection, me.id, private, case)
            assert opened is not None
            found = [cases.photo(connection, opened.key, case, one) for one in opened.entries[0].photos]
            return sum(len(one[0]) for one in found if one is not None)

    told("open it with its ten photos", look)
    file = told("export it", lambda: store.read_now(lambda connection: export_case(connection, case, me.id)))
    assert file is not None
    told("open the export", lambda: open_export(file, private))
    store.scrub()
    store.write_now(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    print(f"export: {len(file) / 1e6:.1f} MB; database grew by {(database.stat().st_size - before) / 1e6:.1f} MB")
    written = told("back up", lambda: backup.back_up(database, folder / "backups", recovery.recipient, folder / "run", NOW))
    print(f"backup: {written.stat().st_size / 1e6:.1f} MB")
    cleaner.close()
    store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
