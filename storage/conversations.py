"""Inbox, conversations and outbox: what passes through, sealed under the epoch key and deleted when it has done its work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.messages import Address, Inbound, Outbound
from storage.models import Conversation as ConversationRow
from storage.models import DraftEvidence, Erasure, Inbox, Outbox, Seen, Table, Trace
from storage.store import Retry
from storage.vault import FILE_PAD, Broken, EpochKeys, keyed, seal, unseal

# The statements of every turn are made once, over plain tables: making them anew costs several times what running them does.
_T = Table.metadata.tables
_CHATS: BindParameter[Any] = bindparam("chats", expanding=True)
_SEEN_BEFORE = select(_T["seen"].c.key).where(_T["seen"].c.key.in_(bindparam("names", expanding=True)))
_NEW_SEEN, _NEW_CONVERSATION, _NEW_OUTBOX, _NEW_TRACE = (insert(_T[name]) for name in ("seen", "conversation", "outbox", "trace"))
_NEW_INBOX = insert(_T["inbox"]).returning(_T["inbox"].c.id)
_ANSWERED = delete(_T["inbox"]).where(_T["inbox"].c.id == bindparam("row"))
_EARLIER = select(_T["inbox"].c.id).where(_T["inbox"].c.chat.in_(_CHATS), _T["inbox"].c.id < bindparam("row")).limit(1)
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
_SENT = delete(_T["outbox"]).where(_T["outbox"].c.id.in_(bindparam("rows", expanding=True)))


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
        number, key = self.epochs.current()
        name = f"{inbound.address.channel}|{inbound.platform_id}".encode()
        names = {epoch: keyed(epoch_key, b"seen", name, 16) for epoch, epoch_key in self.epochs.live()}
        if connection.execute(_SEEN_BEFORE, {"names": list(names.values())}).first():
            return None
        try:
            connection.execute(_NEW_SEEN, {"key": names[number], "epoch": number})
        except IntegrityError as error:  # another process received it at the same moment
            raise Retry from error
        chat = self._chat(key, inbound.address)
        body = json.dumps(inbound.to_json()).encode()
        row = connection.execute(
            _NEW_INBOX, {"chat": chat, "epoch": number, "owner": self.owner, "body": seal(key, b"i", b"inbox.body" + chat, body)}
        )
        if inbound.message_id:
            self.trace(connection, inbound.address, [inbound.message_id])
        return Received(row.scalar_one(), chat, inbound)

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
                body = unseal(key, b"i", b"inbox.body" + row["chat"], row["body"])
            except Broken:
                continue
            found.append(Received(row["id"], row["chat"], Inbound.from_json(json.loads(body))))
        return found

    def behind(self, connection: Connection, address: Address, inbox_ids: Sequence[int]) -> bool:
        """Whether an earlier message of the chat still waits with another process. Without others, nothing is asked."""
        if not self.owner:
            return False
        return connection.execute(_EARLIER, {"chats": self._chats(address), "row": min(inbox_ids)}).first() is not None

    def _chats(self, address: Address) -> list[bytes]:
        return [self._chat(key, address) for _, key in self.epochs.live()]

    def answered(self, connection: Connection, inbox_id: int) -> bool:
        """The message has done its work; False when it was answered before."""
        return connection.execute(_ANSWERED, {"row": inbox_id}).rowcount == 1

    # --- conversations -----------------------------------------------------------------------------------------------------

    def load(self, connection: Connection, address: Address) -> Conversation:
        """The chat's conversation, an empty one when there is none (or when its epoch's key is gone)."""
        number, key = self.epochs.current()
        keys = {self._chat(epoch_key, address): (epoch, epoch_key) for epoch, epoch_key in self.epochs.live()}
        rows = {row.id: row for row in connection.execute(_LOAD, {"chats": list(keys)})}
        for chat, (epoch, epoch_key) in keys.items():
            row = rows.get(chat)
            if row is None:
                continue
            try:
                body = unseal(epoch_key, b"c", b"conversation.body" + chat, row.body)
            except Broken:
                connection.execute(delete(ConversationRow).where(ConversationRow.id == chat))
                continue
            return Conversation(chat, epoch, row.version, json.loads(body))
        return Conversation(self._chat(key, address), number)

    def save(self, connection: Connection, conversation: Conversation, address: Address) -> None:
        """Keep the conversation; moves it to the current epoch. Raises `Retry` when another process was faster."""
        number, key = self.epochs.current()
        chat = self._chat(key, address)
        body = json.dumps(conversation.state, ensure_ascii=False).encode()
        values = {
            "epoch": number,
            "version": conversation.version + 1,
            "body": seal(key, b"c", b"conversation.body" + chat, body),
        }
        if conversation.version == 0:
            try:
                connection.execute(_NEW_CONVERSATION, {"id": chat, **values})
            except IntegrityError as error:
                raise Retry from error
            self._move_drafts(connection, address)
        elif conversation.epoch == number:
            now = {f"now_{name}": value for name, value in values.items()}
            changed = connection.execute(_SAVE, {"chat": chat, "before": conversation.version, **now})
            if changed.rowcount != 1:
                raise Retry
        else:
            mine = (ConversationRow.id == conversation.id) & (ConversationRow.version == conversation.version)
            if connection.execute(delete(ConversationRow).where(mine)).rowcount != 1:
                raise Retry
            connection.execute(insert(ConversationRow).values(id=chat, **values))
            self._move_drafts(connection, address)

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

    def _move_drafts(self, connection: Connection, address: Address) -> None:
        """Photos that stand under an older epoch key live on with their conversation."""
        number, key = self.epochs.current()
        chat = self._chat(key, address)
        older = {self._chat(old, address): old for epoch, old in self.epochs.live() if epoch != number}
        if not older:
            return
        for row in connection.execute(select(DraftEvidence).where(DraftEvidence.chat.in_(list(older)))).mappings().all():
            old_key = older[row["chat"]]
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
        number, key = self.epochs.current()
        chat = self._chat(key, address)
        body = json.dumps({"chat": address.chat, "message": outbound.to_json()}, ensure_ascii=False).encode()
        sealed = seal(key, b"o", b"outbox.body" + chat, body)
        row = {"chat": chat, "channel": address.channel, "epoch": number, "attempts": 0, "owner": self.owner, "body": sealed}
        connection.execute(_NEW_OUTBOX, row)

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
                body = json.loads(unseal(key, b"o", b"outbox.body" + row["chat"], row["body"]))
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

    def done(self, connection: Connection, outbox_id: int, address: Address, message_ids: Sequence[str]) -> None:
        """A message was sent: its row goes, its platform ids stay for "hapus jejak"."""
        self.sent(connection, [outbox_id])
        self.trace(connection, address, message_ids)

    def drop(self, connection: Connection, address: Address) -> None:
        """Nothing more is sent to this chat."""
        chats = self._chats(address)
        connection.execute(delete(Outbox).where(Outbox.chat.in_(chats)))

    # --- traces on the platform ------------------------------------------------------------------------------------------------

    def trace(self, connection: Connection, address: Address, message_ids: Sequence[str]) -> None:
        """Remember which messages could be deleted on the platform, for as long as it lets us."""
        if not message_ids:
            return
        number, key = self.epochs.current()
        chat = self._chat(key, address)
        body = seal(key, b"t", b"trace.body" + chat, json.dumps(list(message_ids)).encode(), pad=64)
        connection.execute(_NEW_TRACE, {"chat": chat, "epoch": number, "body": body})

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
