"""A whole tip through the real program: after every message no byte on disk and no line of the log says who, what, or where from."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import logging
import sqlite3
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import func, select

from bot import logs
from bot.running import tidy
from storage.models import Case, Conversation, DraftEvidence, Evidence, Inbox, Item, Outbox, Seal, Seen, Statistic, Table, Trace
from storage.store import alive
from storage.vault import grouped, open_receiver_key
from tests.test_evidence import jpeg, png
from tests.whole import PASSPHRASE, Story, Whole

pytestmark = pytest.mark.usefixtures("cheap_keys")

TIPS: tuple[Any, ...] = (Case, Seal, Item, Evidence, Statistic)
CHATS: tuple[Any, ...] = (Inbox, Seen, Conversation, DraftEvidence, Outbox, Trace)
CAMERA = (b"PENANDA", "PENANDA".encode("utf-16-be"), b"\x05\0\0\0\1\0\0\0\x06\0\0\0", b"\0\0\0\x05\0\0\0\1\0\0\0\x06")
"""The marks of the test photo, and its latitude as EXIF writes it: long enough that sealed bytes never hold one by chance."""


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that is written to the log, at its most talkative."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.set_up(as_json=False)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    root.setLevel(logging.DEBUG)
    yield out
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


class Search:
    """Looks for secrets in every file of the data folder and in the log."""

    def __init__(self, whole: Whole, log: io.StringIO, photos: list[bytes]) -> None:
        self.whole, self.log = whole, log
        self.secrets: dict[str, bytes] = {"words": b"RAHASIA", "name of the file": b"IMG_", "address": b"127.0.0.1", "place": b"epara"}
        self.secrets |= {f"photo {number}": mark for number, mark in enumerate(CAMERA)}
        for number, photo in enumerate(photos):
            digest = hashlib.sha256(photo)
            self.secrets |= {
                f"hash {number}": digest.digest(),
                f"hex {number}": digest.hexdigest().encode(),
                f"jpeg {number}": photo[-2000:-1000],
            }

    def also(self, name: str, secret: str) -> None:
        """One more thing to look for."""
        self.secrets[name] = secret.encode()

    def now(self) -> None:
        """Fails when anything is found anywhere."""
        if self.whole.person.token:
            self.also("cookie", self.whole.person.token)
        if code := self.whole.person.code:
            self.code(code)
        written = self.log.getvalue().encode()
        files = [path for path in self.whole.folder.joinpath("data").rglob("*") if path.is_file()]
        assert {"netra.db", "netra.db-wal", "netra.db-shm"} <= {path.name for path in files}
        for name, secret in self.secrets.items():
            assert secret not in written, f"{name} stands in the log"
            for path in files:
                assert secret not in path.read_bytes(), f"{name} stands in {path.name}"
                assert secret not in path.name.encode()

    def code(self, code: str) -> None:
        """Look for a receipt code in every form."""
        self.also("code", code)
        self.also("code in groups", grouped(code))
        self.also("code with dashes", grouped(code).replace(" ", "-"))
        self.secrets["hash of the code"] = hashlib.sha256(code.encode()).digest()
        self.secrets["keyed hash of the code"] = self.whole.netra.receipts.hashed(code)


@pytest.fixture
def told(tmp_path: Path, log: io.StringIO) -> Iterator[tuple[Whole, Search, str]]:
    """A program to which a whole tip with three photos was told, searched after every message."""
    photos = [jpeg(), png(), jpeg(6)]
    with Whole(tmp_path) as whole:
        whole.receiver()
        search = Search(whole, log, photos)
        code = whole.person.tip(Story(list(photos)), after=search.now)
        assert len(code) == 20
        yield whole, search, code


def rows(whole: Whole, table: type[Table]) -> list[dict[str, Any]]:
    """All rows of a table."""
    return whole.netra.store.read_now(lambda connection: [dict(row) for row in connection.execute(select(table)).mappings()])


def settled(whole: Whole) -> None:
    """Wait until the writer has scrubbed what the last turn deleted."""
    for _ in range(3):
        whole.netra.store.write_now(alive)


def test_no_byte_says_who_or_what(told: tuple[Whole, Search, str], tmp_path: Path) -> None:
    """From the first message over the code to the answer, in the database, its logs, a copy of it, and the program's log."""
    whole, search, code = told
    search.code(code)
    search.now()
    whole.person.says(code[-4:])
    search.now()
    whole.person.says(f"kode saya {grouped(code)}")
    search.now()
    assert "RAHASIA" not in whole.person.text
    with sqlite3.connect(tmp_path / "data" / "netra.db") as source, sqlite3.connect(tmp_path / "data" / "copy.db") as copy:
        source.backup(copy)
    source.close()
    copy.close()
    search.now()


def test_the_search_would_find_it(told: tuple[Whole, Search, str]) -> None:
    """The search is not blind: a secret planted in a file or in the log is found."""
    whole, search, code = told
    for secret in (whole.person.token.encode(), grouped(code).encode(), search.secrets["hash 0"], search.secrets["hex 2"], b"RAHASIA"):
        planted = whole.folder / "data" / "planted"
        planted.write_bytes(b"x" * 5000 + secret)
        with pytest.raises(AssertionError, match="stands in planted"):
            search.now()
        planted.unlink()
    search.now()
    search.log.write("IMG_0001.jpg")
    with pytest.raises(AssertionError, match="stands in the log"):
        search.now()


def test_the_team_reads_what_nobody_else_finds(told: tuple[Whole, Search, str]) -> None:
    """The same bytes that hold nothing for a thief hold all of it, photos included, for a receiver."""
    whole, _, _ = told
    staff = next(account for account in whole.netra.store.read_now(_accounts) if account.name == "penelaah")
    private = open_receiver_key(_derived(staff.salt), staff.id, staff.public_key, staff.private_key)
    (case,) = rows(whole, Case)
    opened = whole.netra.store.read_now(lambda connection: whole.netra.cases.by_seal(connection, staff.id, private, case["id"]))
    assert opened is not None and opened.tip["what"].startswith("RAHASIA KEJADIAN") and len(opened.entries[0].photos) == 3
    for name in opened.entries[0].photos:
        photo = whole.netra.store.read_now(partial(whole.netra.cases.photo, key=opened.key, case=case["id"], evidence=name))
        assert photo is not None and photo[0].startswith(b"\xff\xd8\xff\xe0") and b"PENANDA" not in photo[0]


def _accounts(connection: Any) -> list[Any]:
    from storage.staff import listed

    return listed(connection)


def _derived(salt: bytes) -> Any:
    from storage.vault import derive_passphrase

    return derive_passphrase(PASSPHRASE, salt)


def test_nothing_leads_from_the_tip_to_the_chat(told: tuple[Whole, Search, str]) -> None:
    """No value of eight bytes or more stands both in a row of the tip and in a row of a chat; drafts are gone; times are days."""
    whole, _, code = told
    whole.person.says(code[-4:])
    assert rows(whole, DraftEvidence) == [] and rows(whole, Inbox) == []
    tips, chats = pieces(whole, TIPS), pieces(whole, CHATS)
    assert tips and chats and not tips & chats
    for table in TIPS:
        for column in table.__table__.columns:
            assert column.type.python_type in (bytes, str, bool, dt.date) or column.name in ("group_id",), (
                f"{table.__tablename__}.{column.name}"
            )
        assert table.__table__.dialect_options["sqlite"]["with_rowid"] is False
    key = whole.netra.epochs.current()[1]
    assert all(key not in value for value in tips)
    assert all(whole.netra.conversations.chat(address) not in tips for address in _addresses(whole))


def pieces(whole: Whole, tables: tuple[Any, ...]) -> set[bytes]:
    """Every value of these tables, and every eight bytes within it."""
    found = set()
    for table in tables:
        for row in rows(whole, table):
            for value in row.values():
                raw = value if isinstance(value, bytes) else str(value).encode() if isinstance(value, str) else b""
                found |= {raw[start : start + 8] for start in range(max(0, len(raw) - 7))}
    return found - {bytes(8)}


def _addresses(whole: Whole) -> list[Any]:
    from bot.messages import Address

    return [Address("web_chat", whole.person.token)]


def test_a_deleted_draft_leaves_no_byte(tmp_path: Path, log: io.StringIO) -> None:
    """Sealed rows of a draft that was cancelled are gone from the file and from its write-ahead log."""
    with Whole(tmp_path) as whole:
        whole.receiver()
        whole.person.tip(Story([jpeg()]), upto="tip.photos_more")
        (draft,) = rows(whole, DraftEvidence)
        record = draft["body"][100:400]
        files = tmp_path / "data"
        assert any(record in path.read_bytes() for path in files.glob("netra.db*"))
        whole.person.says("batal")
        settled(whole)
        assert not any(record in path.read_bytes() for path in files.glob("netra.db*"))


def test_a_sent_tip_leaves_no_byte_of_its_draft(tmp_path: Path, log: io.StringIO) -> None:
    """After submission not even the sealed draft is there any more."""
    with Whole(tmp_path) as whole:
        whole.receiver()
        kept: list[bytes] = []

        def note() -> None:
            kept.extend(row["body"][100:400] for table in (DraftEvidence, Conversation) for row in rows(whole, table))

        whole.person.tip(Story([jpeg()]), after=note)
        living = {row["body"][100:400] for table in (DraftEvidence, Conversation) for row in rows(whole, table)}
        settled(whole)
        raw = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("netra.db*"))
        assert len(set(kept) - living) > 5
        assert not [record for record in set(kept) - living if record in raw]


def test_a_seized_disk_opens_nothing(tmp_path: Path, log: io.StringIO) -> None:
    """Without the run folder a draft cannot be read; the person is told, and nothing crashes."""
    with Whole(tmp_path) as whole:
        whole.receiver()
        whole.person.tip(Story([jpeg()]), upto="tip.photos_more")
        token = whole.person.token
    with Whole(tmp_path, NETRA_RUN_DIR=tmp_path / "other", NETRA_NOW="2024-11-21T10:00:00+07:00") as whole:
        whole.person.token = token
        whole.person.says("kemarin")
        assert whole.netra.texts.plain("id", "turn.lost")[:30] in whole.person.text
        settled(whole)
        tidy(whole.netra)
        count = select(func.count()).select_from(DraftEvidence)
        assert whole.netra.store.read_now(lambda connection: connection.execute(count).scalar_one()) == 0


def test_the_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Data, keys and run folder, and every file in them."""
    with Whole(tmp_path) as whole:
        whole.person.says("halo")
        for name in ("data", "keys", "run"):
            for path in (tmp_path / name).rglob("*"):
                assert path.stat().st_mode & 0o077 == 0, path
        assert (tmp_path / "keys").stat().st_mode & 0o077 == (tmp_path / "run").stat().st_mode & 0o077 == 0
