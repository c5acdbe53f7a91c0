"""The vault's costs: derivations of codes and passphrases, and a tip with ten photos from the camera to the sealed case.

    python -m bench.vault [TIMES]

Prints the median and the slowest of TIMES runs (7 unless told) in CPU and wall time, and what a tip with ten photos of 12 megapixels takes
in time and in bytes: decoded and cleaned, kept as a draft, sealed as a case, opened by its receiver, exported, and backed up.
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

from bot.messages import Address
from storage import backup
from storage.age import Recovery, public_of
from storage.cases import Cases, NewTip
from storage.conversations import Conversations
from storage.evidence import Cleaner
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


def photo(seed: int) -> bytes:
    """A picture of 12 megapixels that compresses about as a camera's does."""
    chance = random.Random(seed)
    small = Image.frombytes("RGB", (400, 300), chance.randbytes(400 * 300 * 3)).resize((4000, 3000)).filter(ImageFilter.GaussianBlur(2))
    grain = Image.frombytes("L", (4000, 3000), chance.randbytes(4000 * 3000)).convert("RGB")
    out = io.BytesIO()
    Image.blend(small, grain, 0.06).save(out, "JPEG", quality=92)
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
        ten_photos(Path(name), receipts)


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
    kept = told(
        "keep them as a draft",
        lambda: [
            store.write_now(
                lambda connection, one=one: conversations.keep_photo(connection, CHAT, secrets.token_bytes(16), one.jpeg, one.facts)
            )
            for one in cleaned
        ],
    )
    told("lock ten originals for the offline key", lambda: [waiting.hold(CHAT, one, data) for one, data in zip(kept, photos, strict=True)])
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
