"""Inbox, conversations and outbox: what passes through, sealed under the epoch key and deleted when it has done its work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from bot.messages import Address, Inbound, Outbound
from storage.models import Conversation as ConversationRow
from storage.models import DraftEvidence, Erasure, Inbox, Outbox, Seen, Table, Trace
from storage.store import Retry
from storage.vault import FILE_PAD, Broken, EpochKeys, keyed, seal, unseal

# The statements of every turn are made once, over plain tables: making them anew costs several times what running them does.
_T = Table.metadata.tables
_CHATS: BindParameter[Any] = bindparam("chats", expanding=True)
_ROWS: BindParameter[Any] = bindparam("rows", expanding=True)
_SEEN_BEFORE = select(_T["seen"].c.key).where(_T["seen"].c.key.in_(bindparam("names", expanding=True)))
_NEW_SEEN, _NEW_INBOX, _NEW_CONVERSATION, _NEW_OUTBOX, _NEW_TRACE = (
    insert(_T[name]) for name in ("seen", "inbox", "conversation", "outbox", "trace")
)
_NUMBERS = {
    "sqlite": text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = :of"),
    "postgresql": text("SELECT nextval(pg_get_serial_sequence(:of, 'id')) FROM generate_series(1, :many)"),
}
_MINE = select(_T["inbox"].c.id).where(_T["inbox"].c.id.in_(_ROWS)).order_by(_T["inbox"].c.id).with_for_update()
_ANSWERED = delete(_T["inbox"]).where(_T["inbox"].c.id.in_(_ROWS))
_EARLIEST = select(_T["inbox"].c.chat, func.min(_T["inbox"].c.id)).where(_T["inbox"].c.chat.in_(_CHATS)).group_by(_T["inbox"].c.chat)
_OTHERS = select(_T["outbox"].c.chat).where(_T["outbox"].c.chat.in_(_CHATS), _T["outbox"].c.owner != bindparam("by_owner")).distinct()
_LOAD = select(_T["conversation"]).where(_T["conversation"].c.id.in_(_CHATS))
_SAVE = (
    update(_T["conversation"])
    .where(_T["conversation"].c.id == bindparam("chat"), _T["conversation"].c.version == bindparam("before"))
    .values(epoch=bindparam("now_epoch"), version=bindparam("now_version"), body=bindparam("now_body"))
)
_KEEP_ONLY = delete(_T["draft_evidence"]).where(
    _T["draft_evidence"].c.chat.in_(_CHATS), _T["draft_evidence"].c.id.not_in(bindparam("kept", expanding=True))
)
_UNSENT_OF = select(_T["outbox"]).where(_T["outbox"].c.chat.in_(_CHATS)).order_by(_T["outbox"].c.id)
_UNSENT_BY = (
    select(_T["outbox"])
    .where(_T["outbox"].c.channel == bindparam("by_channel"), _T["outbox"].c.owner == bindparam("by_owner"))
    .order_by(_T["outbox"].c.id)
)
_SENT = delete(_T["outbox"]).where(_T["outbox"].c.id.in_(_ROWS))


def numbers(connection: Connection, table: str, many: int) -> list[int]:
    """Numbers for so many new rows that no row of the table had before; known before a row is written, so that it can be bound to it."""
    found = connection.execute(_NUMBERS[connection.dialect.name], {"of": table, "many": many}).scalars().all()
    if connection.dialect.name == "sqlite":  # one writer at a time, and inserting moves the sequence on
        return list(range(found[0] + 1, found[0] + 1 + many))
    return sorted(found)


def in_row(column: bytes, row: int, chat: bytes) -> bytes:
    """The place of a sealed message: its column, its row, its chat."""
    return column + row.to_bytes(8, "big") + chat


@dataclass(slots=True)
class Conversation:
    """What a chat has said so far: the flow, its raw answers by name, and the question that waits."""

    id: bytes
    epoch: int
    version: int = 0
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """An inbox row: its place in the order, its chat, its message."""

    id: int
    chat: bytes
    inbound: Inbound


@dataclass(frozen=True, slots=True)
class Queued:
    """An outbox row that is to be sent."""

    id: int
    chat: bytes
    address: Address
    outbound: Outbound
    attempts: int
    owner: str = ""


class Conversations:
    """Reads and writes of inbox, conversation and outbox; every method takes the connection of its transaction."""

    def __init__(self, epochs: EpochKeys, owner: str = "") -> None:
        self.epochs = epochs
        self.owner = owner
        """The name of this process where several work on one database; empty where it is alone."""

    # --- names -----------------------------------------------------------------------------------------------------------

    def chat(self, address: Address) -> bytes:
        """The chat's row id in the current epoch: a keyed hash that nobody can repeat once the key is gone."""
        return self._chat(self.epochs.current()[1], address)

    @staticmethod
    def _chat(key: bytes, address: Address) -> bytes:
        return keyed(key, b"chat", f"{address.channel}|{address.chat}".encode(), 16)

    # --- inbox -------------------------------------------------------------------------------------------------------------

    def receive(self, connection: Connection, inbound: Inbound) -> Received | None:
        """Keep a message until it is answered; None when the platform delivered it before."""
        return self.receive_all(connection, [inbound])[0]

    def receive_all(self, connection: Connection, inbounds: Sequence[Inbound]) -> list[Received | None]:
        """The same for many messages at once."""
        number, key = self.epochs.current()
        live = self.epochs.live()
        names = [
            {epoch: keyed(epoch_key, b"seen", f"{one.address.channel}|{one.platform_id}".encode(), 16) for epoch, epoch_key in live}
            for one in inbounds
        ]
        known = set(connection.execute(_SEEN_BEFORE, {"names": [name for one in names for name in one.values()]}).scalars())
        new: list[int] = []
        for place, name in enumerate(names):
            if known.isdisjoint(name.values()):
                known.add(name[number])
                new.append(place)
        found: list[Received | None] = [None] * len(inbounds)
        if not new:
            return found
        try:
            connection.execute(_NEW_SEEN, [{"key": one, "epoch": number} for one in sorted(names[place][number] for place in new)])
        except IntegrityError as error:  # another process received it at the same moment
            raise Retry from error
        rows: list[dict[str, Any]] = []
        for place, row in zip(new, numbers(connection, "inbox", len(new)), strict=True):
            chat = self._chat(key, inbounds[place].address)
            body = seal(key, b"i", in_row(b"inbox.body", row, chat), json.dumps(inbounds[place].to_json()).encode())
            rows.append({"id": row, "chat": chat, "epoch": number, "owner": self.owner, "body": body})
            found[place] = Received(row, chat, inbounds[place])
        connection.execute(_NEW_INBOX, rows)
        self.trace_all(connection, [(inbounds[place].address, [inbounds[place].message_id]) for place in new if inbounds[place].message_id])
        return found

    def waiting(self, connection: Connection, address: Address | None = None) -> list[Received]:
        """What still waits for an answer, in order of arrival, without what is unreadable: this process's messages, or all of a chat."""
        query = select(Inbox).order_by(Inbox.id)
        query = query.where(Inbox.owner == self.owner if address is None else Inbox.chat.in_(self._chats(address)))
        found = []
        for row in connection.execute(query).mappings():
            key = self.epochs.get(row["epoch"])
            if key is None:
                continue
            try:
                body = unseal(key, b"i", in_row(b"inbox.body", row["id"], row["chat"]), row["body"])
            except Broken:
                continue
            found.append(Received(row["id"], row["chat"], Inbound.from_json(json.loads(body))))
        return found

    def due(self, connection: Connection, inbox_ids: Sequence[int]) -> set[int]:
        """Those of these messages that still wait; they are held for this transaction, so that no other process takes them."""
        return set(connection.execute(_MINE, {"rows": list(inbox_ids)}).scalars())

    def behind(self, connection: Connection, waiting: Mapping[Address, Sequence[int]]) -> set[Address]:
        """The chats of which an earlier message still waits with another process. Without others, nothing is asked."""
        if not self.owner or not waiting:
            return set()
        chats = {chat: address for address in waiting for chat in self._chats(address)}
        rows = connection.execute(_EARLIEST, {"chats": list(chats)})
        return {chats[chat] for chat, earliest in rows if earliest < min(waiting[chats[chat]])}

    def _chats(self, address: Address) -> list[bytes]:
        return [self._chat(key, address) for _, key in self.epochs.live()]

    def answered(self, connection: Connection, inbox_ids: Sequence[int]) -> None:
        """These messages have done their work."""
        connection.execute(_ANSWERED, {"rows": list(inbox_ids)})

    # --- conversations -----------------------------------------------------------------------------------------------------

    def load(self, connection: Connection, address: Address) -> Conversation:
        """The chat's conversation, an empty one when there is none (or when its epoch's key is gone)."""
        return self.load_all(connection, [address])[0]

    def load_all(self, connection: Connection, addresses: Sequence[Address]) -> list[Conversation]:
        """The same for many chats at once."""
        number, key = self.epochs.current()
        live = self.epochs.live()
        chats = [{self._chat(epoch_key, address): (epoch, epoch_key) for epoch, epoch_key in live} for address in addresses]
        rows = {row.id: row for row in connection.execute(_LOAD, {"chats": [chat for one in chats for chat in one]})}
        return [
            next((known for known in (self._opened(connection, rows.get(chat), *one[chat]) for chat in one) if known), None)
            or Conversation(self._chat(key, address), number)
            for address, one in zip(addresses, chats, strict=True)
        ]

    @staticmethod
    def _opened(connection: Connection, row: Row[Any] | None, epoch: int, key: bytes) -> Conversation | None:
        if row is None:
            return None
        try:
            body = unseal(key, b"c", b"conversation.body" + row.id, row.body)
        except Broken:
            connection.execute(delete(ConversationRow).where(ConversationRow.id == row.id))
            return None
        return Conversation(row.id, epoch, row.version, json.loads(body))

    def save(self, connection: Connection, conversation: Conversation, address: Address) -> None:
        """Keep the conversation; moves it to the current epoch. Raises `Retry` when another process was faster."""
        self.save_all(connection, [(conversation, address)])

    def save_all(self, connection: Connection, conversations: Sequence[tuple[Conversation, Address]]) -> None:
        """The same for many conversations at once, in an order that all processes keep, so that none waits for another in a circle."""
        number, key = self.epochs.current()
        fresh: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        drafts: list[Address] = []
        for conversation, address in conversations:
            chat = self._chat(key, address)
            body = json.dumps(conversation.state, ensure_ascii=False).encode()
            sealed = seal(key, b"c", b"conversation.body" + chat, body)
            version = conversation.version + 1
            if conversation.version and conversation.epoch == number:
                before = conversation.version
                changed.append({"chat": chat, "before": before, "now_epoch": number, "now_version": version, "now_body": sealed})
                continue
            if conversation.version:
                mine = (ConversationRow.id == conversation.id) & (ConversationRow.version == conversation.version)
                if connection.execute(delete(ConversationRow).where(mine)).rowcount != 1:
                    raise Retry
            fresh.append({"id": chat, "epoch": number, "version": version, "body": sealed})
            drafts.append(address)
        if changed:
            changed.sort(key=lambda row: row["chat"])
            if connection.execute(_SAVE, changed).rowcount != len(changed):
                raise Retry
        if fresh:
            fresh.sort(key=lambda row: row["id"])
            try:
                connection.execute(_NEW_CONVERSATION, fresh)
            except IntegrityError as error:
                raise Retry from error
            self._move_drafts(connection, drafts)

    def forget(self, connection: Connection, conversation: Conversation) -> None:
        """Remove the conversation and its draft photos."""
        connection.execute(delete(ConversationRow).where(ConversationRow.id == conversation.id))
        connection.execute(delete(DraftEvidence).where(DraftEvidence.chat == conversation.id))

    def keep_only(self, connection: Connection, address: Address, photos: Sequence[str]) -> None:
        """Remove the draft photos that no answer names any more."""
        chats = self._chats(address)
        kept = [bytes.fromhex(photo) for photo in photos]
        connection.execute(_KEEP_ONLY, {"chats": chats, "kept": kept})

    # --- photos of a draft -----------------------------------------------------------------------------------------------------

    def keep_photo(self, connection: Connection, address: Address, evidence: bytes, photo: bytes, facts: dict[str, Any]) -> str:
        """Keep a cleaned photo with the draft; its id is the raw answer."""
        number, key = self.epochs.current()
        chat = self._chat(key, address)
        connection.execute(
            insert(DraftEvidence).values(
                id=evidence,
                chat=chat,
                epoch=number,
                facts=seal(key, b"f", b"draft_evidence.facts" + evidence, json.dumps(facts).encode()),
                body=seal(key, b"p", b"draft_evidence.body" + evidence, photo, FILE_PAD),
            )
        )
        return evidence.hex()

    def photo(self, connection: Connection, evidence: str) -> tuple[bytes, dict[str, Any]] | None:
        """A draft's photo and what is known of it, or None when it cannot be read any more."""
        row = connection.execute(select(DraftEvidence).where(DraftEvidence.id == bytes.fromhex(evidence))).mappings().first()
        key = self.epochs.get(row["epoch"]) if row else None
        if row is None or key is None:
            return None
        facts = json.loads(unseal(key, b"f", b"draft_evidence.facts" + row["id"], row["facts"]))
        return unseal(key, b"p", b"draft_evidence.body" + row["id"], row["body"]), facts

    def photo_facts(self, connection: Connection, evidence: str) -> dict[str, Any] | None:
        """What is known of a draft's photo, without the photo."""
        query = select(DraftEvidence.id, DraftEvidence.epoch, DraftEvidence.facts)
        row = connection.execute(query.where(DraftEvidence.id == bytes.fromhex(evidence))).first()
        key = self.epochs.get(row.epoch) if row else None
        if row is None or key is None:
            return None
        facts: dict[str, Any] = json.loads(unseal(key, b"f", b"draft_evidence.facts" + row.id, row.facts))
        return facts

    def _move_drafts(self, connection: Connection, addresses: Sequence[Address]) -> None:
        """Photos that stand under an older epoch key live on with their conversation."""
        number, key = self.epochs.current()
        older = {
            self._chat(old, one): (old, self._chat(key, one)) for one in addresses for epoch, old in self.epochs.live() if epoch != number
        }
        if not older:
            return
        for row in connection.execute(select(DraftEvidence).where(DraftEvidence.chat.in_(list(older)))).mappings().all():
            old_key, chat = older[row["chat"]]
            facts = unseal(old_key, b"f", b"draft_evidence.facts" + row["id"], row["facts"])
            body = unseal(old_key, b"p", b"draft_evidence.body" + row["id"], row["body"])
            connection.execute(
                update(DraftEvidence)
                .where(DraftEvidence.id == row["id"])
                .values(
                    chat=chat,
                    epoch=number,
                    facts=seal(key, b"f", b"draft_evidence.facts" + row["id"], facts),
                    body=seal(key, b"p", b"draft_evidence.body" + row["id"], body, FILE_PAD),
                )
            )

    # --- outbox ----------------------------------------------------------------------------------------------------------------

    def send(self, connection: Connection, address: Address, outbound: Outbound) -> None:
        """Keep a message until it is sent."""
        self.send_all(connection, [(address, outbound)])

    def send_all(self, connection: Connection, messages: Sequence[tuple[Address, Outbound]]) -> list[Queued]:
        """Keep messages until they are sent."""
        if not messages:
            return []
        number, key = self.epochs.current()
        rows: list[dict[str, Any]] = []
        queued: list[Queued] = []
        for (address, outbound), row in zip(messages, numbers(connection, "outbox", len(messages)), strict=True):
            chat = self._chat(key, address)
            body = json.dumps({"chat": address.chat, "message": outbound.to_json()}, ensure_ascii=False).encode()
            sealed = seal(key, b"o", in_row(b"outbox.body", row, chat), body)
            known = {"id": row, "chat": chat, "channel": address.channel, "epoch": number, "attempts": 0, "owner": self.owner}
            rows.append({**known, "body": sealed})
            queued.append(Queued(row, chat, address, outbound, 0, self.owner))
        connection.execute(_NEW_OUTBOX, rows)
        return queued

    def others_send(self, connection: Connection, addresses: Sequence[Address]) -> set[Address]:
        """The chats of which another process still has messages to send."""
        if not self.owner or not addresses:
            return set()
        chats = {chat: address for address in addresses for chat in self._chats(address)}
        return {chats[chat] for chat in connection.execute(_OTHERS, {"chats": list(chats), "by_owner": self.owner}).scalars()}

    def unsent(self, connection: Connection, *, channel: str = "", address: Address | None = None) -> list[Queued]:
        """The messages to be sent, in order: this process's of one channel, all of one chat, or all."""
        if address is not None:
            rows = connection.execute(_UNSENT_OF, {"chats": self._chats(address)})
        elif channel:
            rows = connection.execute(_UNSENT_BY, {"by_channel": channel, "by_owner": self.owner})
        else:
            rows = connection.execute(select(_T["outbox"]).order_by(_T["outbox"].c.id))
        found = []
        for row in rows.mappings():
            key = self.epochs.get(row["epoch"])
            if key is None:
                continue
            try:
                body = json.loads(unseal(key, b"o", in_row(b"outbox.body", row["id"], row["chat"]), row["body"]))
            except Broken:
                continue
            where = Address(row["channel"], body["chat"])
            found.append(Queued(row["id"], row["chat"], where, Outbound.from_json(body["message"]), row["attempts"], row["owner"]))
        return found

    def sent(self, connection: Connection, outbox_ids: Sequence[int]) -> None:
        """These messages have done their work."""
        connection.execute(_SENT, {"rows": list(outbox_ids)})

    def tried(self, connection: Connection, outbox_id: int) -> None:
        """Count one more attempt, before it is made."""
        connection.execute(update(Outbox).where(Outbox.id == outbox_id).values(attempts=Outbox.attempts + 1))

    def done_all(self, connection: Connection, sent: Sequence[tuple[Queued, Sequence[str]]]) -> list[None]:
        """Messages were sent: their rows go, their platform ids stay for "hapus jejak"."""
        self.sent(connection, [row.id for row, _ in sent])
        self.trace_all(connection, [(row.address, ids) for row, ids in sent])
        return [None] * len(sent)

    def drop(self, connection: Connection, address: Address) -> None:
        """Nothing more is sent to this chat."""
        chats = self._chats(address)
        connection.execute(delete(Outbox).where(Outbox.chat.in_(chats)))

    # --- traces on the platform ------------------------------------------------------------------------------------------------

    def trace_all(self, connection: Connection, messages: Sequence[tuple[Address, Sequence[str]]]) -> None:
        """Remember which messages could be deleted on the platform, for as long as it lets us."""
        number, key = self.epochs.current()
        rows = []
        for address, message_ids in messages:
            if message_ids:
                chat = self._chat(key, address)
                body = seal(key, b"t", b"trace.body" + chat, json.dumps(list(message_ids)).encode(), pad=64)
                rows.append({"chat": chat, "epoch": number, "body": body})
        if rows:
            connection.execute(_NEW_TRACE, rows)

    def traces(self, connection: Connection, address: Address) -> list[str]:
        """The ids of this chat's messages of the last one or two days."""
        found: list[str] = []
        for _, key in self.epochs.live():
            chat = self._chat(key, address)
            for row in connection.execute(select(Trace.body).where(Trace.chat == chat).order_by(Trace.id)):
                found.extend(json.loads(unseal(key, b"t", b"trace.body" + chat, row.body)))
        return found

    def untrace(self, connection: Connection, address: Address) -> None:
        """Forget the ids of this chat's messages."""
        connection.execute(delete(Trace).where(Trace.chat.in_(self._chats(address))))

    # --- the end of an epoch -------------------------------------------------------------------------------------------------------

    def unreadable(self, connection: Connection) -> bool:
        """Whether drafts stand here whose key is gone."""
        live = [number for number, _ in self.epochs.live()]
        return connection.execute(select(ConversationRow.id).where(ConversationRow.epoch.not_in(live)).limit(1)).first() is not None

    def expire(self, connection: Connection) -> int:
        """Remove every row whose epoch key is gone; the number of conversations among them."""
        live = [number for number, _ in self.epochs.live()]
        for table in (Inbox, Seen, DraftEvidence, Outbox, Trace, Erasure):
            connection.execute(delete(table).where(table.epoch.not_in(live)))
        return connection.execute(delete(ConversationRow).where(ConversationRow.epoch.not_in(live))).rowcount

    def backlog(self, connection: Connection) -> tuple[int, int]:
        """How many messages wait for an answer, and how many for being sent."""
        return (
            connection.execute(select(func.count()).select_from(Inbox)).scalar_one(),
            connection.execute(select(func.count()).select_from(Outbox)).scalar_one(),
        )
