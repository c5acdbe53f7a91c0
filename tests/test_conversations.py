"""What passes through: inbox, conversations, draft photos, outbox, traces; sealed under the epoch key, gone when it has done its work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from bot.messages import Address, Attachment, Button, Inbound, Outbound, Span
from storage.conversations import Conversation, Conversations
from storage.models import Conversation as ConversationRow
from storage.models import DraftEvidence, Inbox, Outbox, Seen, Table, Trace
from storage.store import Retry, Store
from storage.vault import Broken, EpochKeys
from tests.conftest import Clock

ANI, BUDI = Address("telegram", "62811111"), Address("telegram", "62822222")
FACTS = {"original_sha256": "ab" * 32, "taken": "2024-11-17"}
PASSING = (Inbox, Seen, ConversationRow, DraftEvidence, Outbox, Trace)


class Place:
    """A store with conversations on it."""

    def __init__(self, url: str, folder: Path, clock: Clock) -> None:
        clock.now = datetime.fromisoformat("2024-11-18T12:00:00+00:00")
        self.folder, self.clock, self.store = folder, clock, Store(url)
        self.kept = Conversations(EpochKeys(folder / "run", clock))

    def do(self, name: str, *arguments: Any, **named: Any) -> Any:
        """One method in a transaction of its own."""
        return self.store.write_now(lambda connection: getattr(self.kept, name)(connection, *arguments, **named))

    def rows(self, table: type[Table]) -> list[Any]:
        """All rows of a table."""
        return self.store.read_now(lambda connection: list(connection.execute(select(table)).mappings()))

    def change(self, table: type[Table], where: Any, **values: Any) -> None:
        """Change rows behind the program's back."""
        self.store.write_now(lambda connection: connection.execute(update(table).where(where).values(**values)))

    def spoken(self, address: Address = ANI, **state: Any) -> Conversation:
        """A conversation with this state, kept."""
        found: Conversation = self.do("load", address)
        found.state = state
        self.do("save", found, address)
        return found


@pytest.fixture
def place(home: str, tmp_path: Path, clock: Clock) -> Iterator[Place]:
    """Conversations in a new database, at noon UTC."""
    made = Place(home, tmp_path, clock)
    yield made
    made.store.close()


def said(text: str, address: Address = ANI, name: str = "m1") -> Inbound:
    """A message."""
    return Inbound(address, name, text=text, language="id", attachments=(Attachment(source="file:1"),))


# --- inbox --------------------------------------------------------------------------------------------------------------------------------


def test_a_message_waits_until_it_is_answered(place: Place) -> None:
    """It comes back whole, in order, once."""
    first, second = place.do("receive", said("satu")), place.do("receive", said("dua", BUDI, "m2"))
    waiting = place.store.read_now(place.kept.waiting)
    assert [one.inbound for one in waiting] == [said("satu"), said("dua", BUDI, "m2")]
    assert [one.id for one in waiting] == [first.id, second.id]
    assert place.do("due", [first.id]) == {first.id}
    place.do("answered", [first.id])
    assert place.do("due", [first.id]) == set()
    assert [one.id for one in place.store.read_now(place.kept.waiting)] == [second.id]


def test_a_second_delivery_is_dropped(place: Place) -> None:
    """By the platform's id, per channel, also over the turn of an epoch, also after the first was answered."""
    place.do("answered", [place.do("receive", said("satu")).id])
    assert place.do("receive", said("satu")) is None
    place.clock.forward(hours=23)
    assert place.do("receive", said("satu")) is None
    assert place.do("receive", said("satu", Address("whatsapp", "62811111"))) is not None
    place.clock.forward(hours=25)
    assert place.do("receive", said("satu")) is not None, "the note of it is as short-lived as its key"


def test_a_message_that_can_be_deleted_later_is_remembered(place: Place) -> None:
    """Its id on the platform is kept for "hapus jejak" as soon as the message is there."""
    place.do("receive", replace(said("satu"), message_id="9"))
    assert place.do("traces", ANI) == ["9"]


def test_two_processes_that_receive_at_once_keep_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one tries again and finds that it came second."""
    place.do("receive", said("satu"))
    real, calls = Connection.execute, list[int]()

    def blind(connection: Connection, statement: Any, *rest: Any, **more: Any) -> Any:
        if "FROM seen" in str(statement) and not calls:
            calls.append(1)
            statement = statement.where(Seen.epoch == -1)
        return real(connection, statement, *rest, **more)

    monkeypatch.setattr(Connection, "execute", blind)
    assert place.do("receive", said("satu")) is None and calls == [1]


# --- conversations ------------------------------------------------------------------------------------------------------------------------


def test_a_conversation_is_kept_and_found_again(place: Place) -> None:
    """Per chat and channel; nothing for others."""
    place.spoken(flow="tip", answers={"what": {"text": "isi"}})
    assert place.do("load", ANI).state == {"flow": "tip", "answers": {"what": {"text": "isi"}}}
    assert place.do("load", BUDI).state == {} == place.do("load", Address("whatsapp", ANI.chat)).state


def test_a_turn_that_was_overtaken_is_tried_again(place: Place) -> None:
    """Of two turns from the same state the second must start anew, within an epoch and over its end, from nothing too."""
    stale: Conversation = place.do("load", ANI)
    place.spoken(n=1)
    with pytest.raises(Retry):
        place.do("save", stale, ANI)
    stale = place.do("load", ANI)
    place.spoken(n=2)
    with pytest.raises(Retry):
        place.do("save", stale, ANI)
    stale = place.do("load", ANI)
    place.clock.forward(hours=13)
    place.spoken(n=3)
    with pytest.raises(Retry):
        place.do("save", stale, ANI)
    assert place.do("load", ANI).state == {"n": 3}


def test_a_conversation_moves_to_the_new_epoch_with_its_photos(place: Place) -> None:
    """Whoever goes on writing keeps everything, however many nights it takes; the old key leads nowhere."""
    photo = place.do("keep_photo", ANI, b"p" * 16, b"\xff\xd8jpeg", FACTS)
    place.spoken(n=0)
    for night in range(1, 5):
        place.clock.forward(hours=23)
        place.spoken(n=night)
        place.do("expire")
        assert place.do("load", ANI).state == {"n": night}
        assert place.do("photo", photo) == (b"\xff\xd8jpeg", FACTS) and place.do("photo_facts", photo) == FACTS
    assert len(place.rows(ConversationRow)) == len(place.rows(DraftEvidence)) == 1


def test_a_photo_from_before_midnight_lives_on_with_a_conversation_from_after(place: Place) -> None:
    """A photo is kept before its turn: when an epoch ends in between, it must not be left behind."""
    place.clock.forward(hours=11, minutes=59)
    photo = place.do("keep_photo", ANI, b"p" * 16, b"\xff\xd8jpeg", FACTS)
    place.clock.forward(minutes=2)
    place.spoken(n=1)
    place.clock.forward(hours=23)
    place.spoken(n=2)
    place.clock.forward(hours=2)
    place.spoken(n=3)
    assert place.do("photo_facts", photo) == FACTS


def test_forgetting_removes_conversation_and_photos(place: Place) -> None:
    """Of this chat, not of others."""
    for address, name in ((ANI, b"a" * 16), (BUDI, b"b" * 16)):
        place.do("keep_photo", address, name, b"\xff\xd8jpeg", FACTS)
        place.spoken(address, n=1)
    place.do("forget", place.do("load", ANI))
    assert place.do("load", ANI).state == {} and place.do("load", BUDI).state == {"n": 1}
    assert [row["id"] for row in place.rows(DraftEvidence)] == [b"b" * 16]


def test_photos_that_no_answer_names_go(place: Place) -> None:
    """Only those of the same chat."""
    for name in (b"a" * 16, b"b" * 16):
        place.do("keep_photo", ANI, name, b"\xff\xd8jpeg", FACTS)
    place.do("keep_photo", BUDI, b"c" * 16, b"\xff\xd8jpeg", FACTS)
    place.do("keep_only", ANI, [(b"b" * 16).hex()])
    assert {row["id"] for row in place.rows(DraftEvidence)} == {b"b" * 16, b"c" * 16}
    place.do("keep_only", ANI, [])
    assert {row["id"] for row in place.rows(DraftEvidence)} == {b"c" * 16}


# --- outbox -------------------------------------------------------------------------------------------------------------------------------


def test_messages_wait_until_they_are_sent(place: Place) -> None:
    """In order, whole, per chat and per channel; attempts are counted."""
    first = Outbound((Span("satu", "bold"), Span(" dua")), (Button("t", "Ya", "d"),), "choice", secret=True)
    place.do("send", ANI, first)
    place.do("send", BUDI, Outbound((Span("tiga"),)))
    place.do("send", Address("web_chat", "x"), Outbound((Span("empat"),)))
    rows = place.do("unsent", channel="telegram")
    assert [(row.address, row.outbound) for row in rows] == [(ANI, first), (BUDI, Outbound((Span("tiga"),)))]
    place.do("tried", rows[0].id)
    assert [(row.address, row.attempts) for row in place.do("unsent", address=ANI)] == [(ANI, 1)]
    place.do("done_all", [(rows[0], ["77", "78"])])
    assert place.do("unsent", address=ANI) == [] and place.do("traces", ANI) == ["77", "78"]
    place.do("drop", BUDI)
    assert [row.outbound.text for row in place.do("unsent")] == ["empat"]
    assert place.store.read_now(place.kept.backlog) == (0, 1)


def test_traces_are_known_for_two_days_at_most(place: Place) -> None:
    """In order over an epoch's end, then forgotten; at once when asked."""
    place.do("trace_all", [(ANI, ["1", "2"])])
    place.do("trace_all", [(BUDI, ["9"])])
    place.clock.forward(hours=23)
    place.do("trace_all", [(ANI, ["3"])])
    assert sorted(place.do("traces", ANI)) == ["1", "2", "3"]
    place.clock.forward(hours=14)
    assert place.do("traces", ANI) == ["3"]
    place.do("untrace", ANI)
    assert place.do("traces", ANI) == []


# --- what is on the disk ------------------------------------------------------------------------------------------------------------------


def fill(place: Place) -> None:
    """One row of everything for two chats."""
    for address, mark in ((ANI, b"a"), (BUDI, b"b")):
        place.do("receive", said("RAHASIA " + address.chat, address, "m" + address.chat))
        place.spoken(address, answers={"what": {"text": "RAHASIA"}})
        place.do("keep_photo", address, mark * 16, b"\xff\xd8RAHASIA", FACTS)
        place.do("send", address, Outbound((Span("RAHASIA"),)))
        place.do("trace_all", [(address, ["RAHASIA"])])


def test_nothing_on_disk_names_anybody(place: Place) -> None:
    """No chat, no word, no message id in any row, and no row id that could be worked out without the epoch key."""
    fill(place)
    for table in PASSING:
        for row in place.rows(table):
            raw = b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
            for secret in (b"RAHASIA", ANI.chat.encode(), BUDI.chat.encode(), bytes.fromhex(FACTS["original_sha256"])):
                assert secret not in raw, table.__tablename__


@pytest.mark.parametrize(
    ("table", "column"),
    [(Inbox, "body"), (ConversationRow, "body"), (DraftEvidence, "facts"), (DraftEvidence, "body"), (Outbox, "body"), (Trace, "body")],
)
def test_rows_that_were_swapped_flipped_or_cut_are_refused(place: Place, table: Any, column: str) -> None:
    """A record that stands in another chat's row, or is not what was written, is never shown as its content."""
    fill(place)
    names = {Inbox: "chat", ConversationRow: "id", DraftEvidence: "id", Outbox: "chat", Trace: "chat"}
    key = getattr(table, names[table])
    rows = place.rows(table)
    one, other = rows[0], rows[1]
    flipped = bytearray(one[column])
    flipped[40] ^= 1
    for wrong in (other[column], bytes(flipped), one[column][:-1], b""):
        place.change(table, key == one[names[table]], **{column: wrong})
        assert not readable(place, table, one)
        place.change(table, key == one[names[table]], **{column: one[column]})


@pytest.mark.parametrize("table", [Inbox, Outbox])
def test_messages_of_one_chat_cannot_change_places(place: Place, table: Any) -> None:
    """Each is sealed for its own row: swapped, neither is shown."""
    for number in ("1", "2"):
        place.do("receive", said(number, ANI, number))
        place.do("send", ANI, Outbound((Span(number),)))
    one, other = place.rows(table)
    place.change(table, table.id == one["id"], body=other["body"])
    place.change(table, table.id == other["id"], body=one["body"])
    assert not readable(place, table, one) and not readable(place, table, other)


def readable(place: Place, table: Any, row: Any) -> bool:
    """Whether the program gets content from this row."""
    try:
        if table is Inbox:
            return any(one.id == row["id"] for one in place.store.read_now(place.kept.waiting))
        if table is ConversationRow:
            found = next(address for address in (ANI, BUDI) if place.kept.chat(address) == row["id"])
            state = place.store.read_now(lambda connection: place.kept.load(connection, found)).state
            return bool(state)
        if table is DraftEvidence:
            return place.store.read_now(lambda connection: place.kept.photo(connection, row["id"].hex())) is not None
        if table is Outbox:
            return any(one.id == row["id"] for one in place.do("unsent"))
        found = next(address for address in (ANI, BUDI) if place.kept.chat(address) == row["chat"])
        return bool(place.store.read_now(lambda connection: place.kept.traces(connection, found)))
    except Broken:
        return False


def test_columns_of_a_photo_cannot_change_places(place: Place) -> None:
    """Facts are not a photo."""
    fill(place)
    row = place.rows(DraftEvidence)[0]
    place.change(DraftEvidence, DraftEvidence.id == row["id"], facts=row["body"], body=row["facts"])
    with pytest.raises(Broken):
        place.do("photo", row["id"].hex())


# --- the end of an epoch ------------------------------------------------------------------------------------------------------------------


def test_everything_goes_with_its_key(place: Place) -> None:
    """After two turns of the epoch nothing of it is left, and what is newer stays."""
    fill(place)
    place.clock.forward(hours=37)
    place.do("receive", said("baru", ANI, "new"))
    assert place.do("expire") == 2
    assert {table.__tablename__: len(place.rows(table)) for table in PASSING} == {
        "inbox": 1,
        "seen": 1,
        "conversation": 0,
        "draft_evidence": 0,
        "outbox": 0,
        "trace": 0,
    }


def test_a_new_run_folder_makes_old_drafts_unreadable_and_says_so(place: Place) -> None:
    """What a seized disk gives: nothing; and the program goes on."""
    fill(place)
    assert not place.store.read_now(place.kept.unreadable)
    place.kept = Conversations(EpochKeys(place.folder / "other", place.clock))
    assert place.kept.epochs.fresh
    assert place.do("load", ANI).state == {}
    assert place.store.read_now(place.kept.waiting) == [] == place.do("unsent") == place.do("traces", ANI)
    with pytest.raises(Broken):
        place.do("photo", (b"a" * 16).hex())


def test_drafts_of_a_gone_epoch_are_noticed(place: Place) -> None:
    """A start on a later day with a fresh folder knows that drafts were lost."""
    fill(place)
    place.clock.forward(days=3)
    place.kept = Conversations(EpochKeys(place.folder / "other", place.clock))
    assert place.store.read_now(place.kept.unreadable)
    assert place.do("photo", (b"a" * 16).hex()) is None and place.do("photo_facts", (b"a" * 16).hex()) is None


def test_a_row_id_is_no_order_of_chats(place: Place) -> None:
    """The chat's row id is of no use without the epoch key: another key names it otherwise."""
    other = Conversations(EpochKeys(place.folder / "other", place.clock))
    assert other.chat(ANI) != place.kept.chat(ANI)


def test_an_unknown_photo_is_none(place: Place) -> None:
    """A draft that names a photo which is gone does not crash."""
    assert place.do("photo", "00" * 16) is None and place.do("photo_facts", "00" * 16) is None


def test_inserting_behind_the_back_is_refused(place: Place) -> None:
    """A conversation that somebody else sealed is not read."""
    chat = place.kept.chat(ANI)
    values = {"id": chat, "epoch": place.kept.epochs.number(), "version": 1, "body": bytes(1200)}
    place.store.write_now(lambda connection: connection.execute(insert(ConversationRow).values(**values)))
    assert place.do("load", ANI).state == {} and place.rows(ConversationRow) == []
