"""The tables. Ids are random, times are days, contents are sealed: a row alone names nobody.

`netra selftest` prints every column with its purpose and life out of `Column.info`; a test compares that with the schema.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, mapped_column

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(DeclarativeBase):
    """The root of all tables."""

    metadata = MetaData(naming_convention=CONVENTION)


def column(kind: Any, purpose: str, life: str, *more: Any, **options: Any) -> MappedColumn[Any]:
    """A column that says what it is for and how long it lives."""
    return mapped_column(kind, *more, info={"purpose": purpose, "life": life}, **options)


BY_KEY = {"sqlite_with_rowid": False}
"""Rows lie in the order of their random key, so that their place in the file says nothing about time."""
NEVER_AGAIN = {"sqlite_autoincrement": True}
"""A number is given once: what is late for a row that is gone must not hit another one (https://www.sqlite.org/autoinc.html)."""

DRAFT = "until answered or 24 h; its key is gone by 48 h"
CASE = "as the tip: 180 days open, 90 days after closing"
ORIGINAL = "90 days, longer only under a legal hold"
STAFF = "while the account exists"
PHRASING = "until a curator takes it out"


class Inbox(Table):
    """A message that was received and not yet answered."""

    __tablename__ = "inbox"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = column(Integer, "order of arrival", DRAFT, primary_key=True)
    chat: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the chat, under the epoch key", DRAFT, index=True)
    epoch: Mapped[int] = column(Integer, "which epoch key", DRAFT)
    owner: Mapped[str] = column(String(16), "random name of the process that works on it; empty when there is one only", DRAFT)
    body: Mapped[bytes] = column(LargeBinary, "the message, sealed under the epoch key", DRAFT)


class Seen(Table):
    """A message that was received before, so that a second delivery is dropped."""

    __tablename__ = "seen"
    __table_args__ = (BY_KEY,)
    key: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the platform's message id", "24 to 48 h", primary_key=True)
    epoch: Mapped[int] = column(Integer, "which epoch key", "24 to 48 h")


class Conversation(Table):
    """An unfinished conversation: its answers by name."""

    __tablename__ = "conversation"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the chat, under the epoch key", DRAFT, primary_key=True)
    epoch: Mapped[int] = column(Integer, "which epoch key", DRAFT)
    version: Mapped[int] = column(Integer, "counts the turns, so that two replicas never take one twice", DRAFT)
    body: Mapped[bytes] = column(LargeBinary, "answers, sealed under the epoch key", DRAFT)


class DraftEvidence(Table):
    """A cleaned photo of a tip that is not sent yet."""

    __tablename__ = "draft_evidence"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", DRAFT, primary_key=True)
    chat: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the chat, under the epoch key", DRAFT, index=True)
    epoch: Mapped[int] = column(Integer, "which epoch key", DRAFT)
    facts: Mapped[bytes] = column(LargeBinary, "hashes and derived statements, sealed under the epoch key", DRAFT)
    body: Mapped[bytes] = column(LargeBinary, "the cleaned photo, sealed under the epoch key", DRAFT)


class Outbox(Table):
    """A message that is committed and not yet sent."""

    __tablename__ = "outbox"
    __table_args__ = (NEVER_AGAIN,)
    id: Mapped[int] = column(Integer, "order of sending", "until sent", primary_key=True)
    chat: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the chat, under the epoch key", "until sent", index=True)
    channel: Mapped[str] = column(String(16), "which channel sends it", "until sent")
    epoch: Mapped[int] = column(Integer, "which epoch key", "until sent")
    attempts: Mapped[int] = column(Integer, "how often it was tried", "until sent", default=0)
    owner: Mapped[str] = column(String(16), "random name of the process that sends it; empty when there is one only", "until sent")
    body: Mapped[bytes] = column(LargeBinary, "address and message, sealed under the epoch key", "until sent")


class Process(Table):
    """A process that works on this database, where several do."""

    __tablename__ = "process"
    name: Mapped[str] = column(String(16), "random name", "while it runs, 15 s after a crash", primary_key=True)
    may_lead: Mapped[bool] = column(Boolean, "whether it can do what only one may do at a time", "while it runs")
    since: Mapped[float] = column(Float(53), "when it began: the eldest leads", "while it runs")
    beat: Mapped[float] = column(Float(53), "when it was last alive", "while it runs")


class SendBudget(Table):
    """When a sender's next free slot begins, for all processes that send; only where several do."""

    __tablename__ = "send_budget"
    sender: Mapped[str] = column(String(24), "channel, and whether its messages are paid for", "always", primary_key=True)
    next: Mapped[float] = column(Float(53), "when the next slot begins that nobody has leased", "always")
    paused: Mapped[float] = column(Float(53), "until when the platform asked to wait", "always")


class Job(Table):
    """Coarse work for later, such as tidying up, where one process does all; several use the queue of their own schema."""

    __tablename__ = "job"
    id: Mapped[int] = column(Integer, "order of deferral", "until it is done", primary_key=True)
    name: Mapped[str] = column(String(40), "what is to be done, one word", "until it is done", index=True)
    lock: Mapped[str] = column(String(80), "jobs of one lock run one at a time; empty: any", "until it is done")
    arguments: Mapped[str] = column(Text, "numbers and names of our own, as JSON; nothing of a person", "until it is done")
    due: Mapped[float] = column(Float(53), "unix time before which it does not begin", "until it is done")
    tries: Mapped[int] = column(Integer, "how often it was begun and not done", "until it is done", default=0)
    periodic: Mapped[bool] = column(Boolean, "whether it comes back by the clock", "until it is done", default=False)
    running: Mapped[bool] = column(Boolean, "whether it was begun", "until it is done", default=False)


class Trace(Table):
    """Ids of a chat's messages, so that the person can have them deleted on the platform."""

    __tablename__ = "trace"
    id: Mapped[int] = column(Integer, "order", DRAFT, primary_key=True)
    chat: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the chat, under the epoch key", DRAFT, index=True)
    epoch: Mapped[int] = column(Integer, "which epoch key", DRAFT)
    body: Mapped[bytes] = column(LargeBinary, "message ids, sealed under the epoch key", DRAFT)


class Erasure(Table):
    """A message that Twilio still holds and that is to be deleted there."""

    __tablename__ = "erasure"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the message's id, under the epoch key", DRAFT, primary_key=True)
    epoch: Mapped[int] = column(Integer, "which epoch key", DRAFT)
    body: Mapped[bytes] = column(LargeBinary, "ids of the message and its media, sealed under the epoch key", DRAFT)


class Group(Table):
    """A team of receivers and the regions it answers for."""

    __tablename__ = "receiver_group"
    id: Mapped[int] = column(Integer, "number of the group", STAFF, primary_key=True)
    name: Mapped[str] = column(String(120), "name of the team", STAFF)
    region: Mapped[str] = column(String(16), "Kemendagri code it answers for; empty: the central team", STAFF, default="")
    offline: Mapped[bool] = column(Boolean, "its cases are opened on the receivers' own laptops alone", STAFF, default=False)


class Staff(Table):
    """An account of the oversight team."""

    __tablename__ = "staff"
    id: Mapped[bytes] = column(LargeBinary(16), "random", STAFF, primary_key=True)
    name: Mapped[str] = column(String(80), "login name", STAFF, unique=True)
    roles: Mapped[str] = column(String(200), "comma-separated roles", STAFF)
    group_id: Mapped[int | None] = column(Integer, "team", STAFF, ForeignKey("receiver_group.id"), nullable=True)
    state: Mapped[str] = column(String(16), "invited, waiting, active or removed", STAFF)
    salt: Mapped[bytes] = column(LargeBinary(16), "salt of the passphrase", STAFF)
    verifier: Mapped[bytes] = column(LargeBinary(32), "hash that proves the passphrase", STAFF)
    public_key: Mapped[bytes] = column(LargeBinary(32), "X25519 public key", STAFF)
    private_key: Mapped[bytes] = column(LargeBinary, "X25519 private key, wrapped under the passphrase", STAFF)
    totp: Mapped[bytes] = column(LargeBinary, "TOTP secret, wrapped under the passphrase-independent panel key", STAFF, default=b"")
    totp_step: Mapped[int] = column(Integer, "last time step that was used, so that none counts twice", STAFF, default=0)
    ready_at: Mapped[int] = column(Integer, "unix time before which a waiting receiver does not count", STAFF, default=0)
    receiver_ok: Mapped[str] = column(String(80), "the receiver who approved a waiting receiver", STAFF, default="")
    auditor_ok: Mapped[str] = column(String(80), "the auditor who approved a waiting receiver", STAFF, default="")
    receiver_sig: Mapped[bytes] = column(
        LargeBinary, "that receiver's Ed25519 signature under the new entry of the list", STAFF, default=b""
    )
    auditor_sig: Mapped[bytes] = column(LargeBinary, "that auditor's signature under the same", STAFF, default=b"")
    signing_key: Mapped[bytes] = column(LargeBinary, "Ed25519 public key, by which the account approves receivers", STAFF, default=b"")
    signing_private: Mapped[bytes] = column(LargeBinary, "its private half, wrapped under the passphrase", STAFF, default=b"")
    since: Mapped[dt.date] = column(Date, "day the account was made", STAFF)


class StaffKey(Table):
    """A security key (WebAuthn) of a staff member: their second factor."""

    __tablename__ = "staff_key"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", STAFF, primary_key=True)
    staff_id: Mapped[bytes] = column(LargeBinary(16), "whose", STAFF, ForeignKey("staff.id", ondelete="CASCADE"), index=True)
    credential: Mapped[bytes] = column(LargeBinary(1023), "the name the key gave itself for this panel", STAFF, unique=True)
    public_key: Mapped[bytes] = column(LargeBinary, "its public key (COSE)", STAFF)
    counter: Mapped[int] = column(BigInteger, "how often the key says it was used, so that a copy is noticed", STAFF, default=0)
    name: Mapped[str] = column(String(40), "what its owner calls it", STAFF)
    since: Mapped[dt.date] = column(Date, "day it was registered", STAFF)


class SignedReceivers(Table):
    """The list of those to whom tips are sealed, signed; one row."""

    __tablename__ = "signed_receivers"
    id: Mapped[int] = column(Integer, "always 1", "always", primary_key=True)
    body: Mapped[str] = column(Text, "version, names, public keys, teams and who approved each, as JSON", "always")
    signature: Mapped[bytes] = column(LargeBinary(64), "Ed25519 signature of the installation", "always")


class StaffSession(Table):
    """A login of one staff member in one browser."""

    __tablename__ = "staff_session"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(32), "hash of the cookie's first half", "10 h", primary_key=True)
    staff_id: Mapped[bytes] = column(LargeBinary(16), "whose", "10 h", ForeignKey("staff.id", ondelete="CASCADE"), index=True)
    private_key: Mapped[bytes] = column(LargeBinary, "the receiver's key, sealed under the cookie's second half", "10 h")
    factor: Mapped[bool] = column(Boolean, "second factor given", "10 h")
    started: Mapped[int] = column(Integer, "unix time of login", "10 h")
    active: Mapped[int] = column(Integer, "unix time of the last request", "10 h")
    factor_at: Mapped[int] = column(Integer, "unix time of the last second factor", "10 h", default=0)
    pending: Mapped[bytes] = column(
        LargeBinary, "TOTP secret that waits for its first code, sealed under the panel key", "10 h", default=b""
    )
    signing_private: Mapped[bytes] = column(LargeBinary, "the signing key, sealed under the cookie's second half", "10 h", default=b"")
    asked: Mapped[int] = column(Integer, "how many challenges to a security key were used up, so that none counts twice", "10 h", default=0)


class Invitation(Table):
    """A proposed account that waits for its person to open a one-time link."""

    __tablename__ = "invitation"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(32), "hash of the link's token", "48 h", primary_key=True)
    name: Mapped[str] = column(String(80), "login name", "48 h", unique=True)
    roles: Mapped[str] = column(String(200), "comma-separated roles", "48 h")
    group_id: Mapped[int | None] = column(Integer, "team", "48 h", ForeignKey("receiver_group.id"), nullable=True)
    by: Mapped[str] = column(String(80), "who proposed it", "48 h")
    expires: Mapped[int] = column(Integer, "unix time after which the link is dead", "48 h")


class Approval(Table):
    """Something one staff member asked for and another must agree to before it happens."""

    __tablename__ = "approval"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", "7 days", primary_key=True)
    kind: Mapped[str] = column(String(16), "what is asked for", "7 days")
    subjects: Mapped[str] = column(Text, "random ids of the objects", "7 days")
    asked_by: Mapped[bytes] = column(LargeBinary(16), "who asked", "7 days", ForeignKey("staff.id"))
    agreed_by: Mapped[str] = column(String(80), "who agreed", "7 days", default="")
    asked_at: Mapped[int] = column(Integer, "unix time of asking", "7 days")


class Case(Table):
    """A tip that was sent. Nothing here or below leads to the chat it came from."""

    __tablename__ = "tip_case"
    __table_args__ = (
        UniqueConstraint("lookup"),
        UniqueConstraint("alias"),
        Index("ix_tip_case_folders", "id", "status", "whose_turn", "claimed_by", "deadline", "day"),
        BY_KEY,
    )
    id: Mapped[bytes] = column(LargeBinary(16), "random", CASE, primary_key=True)
    lookup: Mapped[bytes] = column(LargeBinary(16), "derived from the receipt code; leads from code to case", CASE)
    wrapped: Mapped[bytes] = column(LargeBinary, "the case's key, wrapped under the receipt code", CASE)
    public_key: Mapped[bytes] = column(LargeBinary(32), "the case's X25519 public key", CASE)
    alias: Mapped[str] = column(String(40), "two random words, for the notice page", CASE)
    group_id: Mapped[int] = column(Integer, "which team", CASE, ForeignKey("receiver_group.id"), index=True)
    day: Mapped[dt.date] = column(Date, "day of arrival (Asia/Jakarta)", CASE)
    status: Mapped[str] = column(String(16), "new, open, closed or withdrawn", CASE, index=True)
    whose_turn: Mapped[str] = column(String(8), "team or tipster", CASE)
    news: Mapped[bool] = column(Boolean, "an answer waits for the tipster", CASE, default=False)
    head: Mapped[bytes] = column(LargeBinary, "region, kind, date: for the list; sealed to the case's key", CASE)
    recovery: Mapped[bytes] = column(LargeBinary, "the case's key, sealed to the recovery key; empty: there is none", CASE, default=b"")
    touched: Mapped[dt.date] = column(Date, "day of the last change", CASE)
    closed: Mapped[dt.date | None] = column(Date, "day it was closed", CASE, nullable=True)
    deadline: Mapped[dt.date | None] = column(Date, "day by which the team should answer", CASE, nullable=True)
    claimed_by: Mapped[bytes | None] = column(LargeBinary(16), "the receiver who works on it", CASE, nullable=True)
    together: Mapped[bytes | None] = column(LargeBinary(16), "random id shared by tips about the same event", CASE, nullable=True)
    held: Mapped[bool] = column(Boolean, "under a legal hold, agreed by two people: not deleted on schedule", CASE, default=False)


class Seal(Table):
    """The key of a case, sealed to one receiver."""

    __tablename__ = "seal"
    __table_args__ = (BY_KEY,)
    case_id: Mapped[bytes] = column(LargeBinary(16), "which case", CASE, ForeignKey("tip_case.id", ondelete="CASCADE"), primary_key=True)
    staff_id: Mapped[bytes] = column(LargeBinary(16), "which receiver", CASE, ForeignKey("staff.id"), primary_key=True, index=True)
    body: Mapped[bytes] = column(LargeBinary, "the case's key, sealed to the receiver's public key", CASE)


class Item(Table):
    """One part of a case: the tip, a message of either side, a note, a step."""

    __tablename__ = "item"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", CASE, primary_key=True)
    case_id: Mapped[bytes] = column(LargeBinary(16), "which case", CASE, ForeignKey("tip_case.id", ondelete="CASCADE"), index=True)
    body: Mapped[bytes] = column(LargeBinary, "kind, order, words; sealed to the case's key, padded to 1 KiB", CASE)


class Evidence(Table):
    """A cleaned photo of a case."""

    __tablename__ = "evidence"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", CASE, primary_key=True)
    case_id: Mapped[bytes] = column(LargeBinary(16), "which case", CASE, ForeignKey("tip_case.id", ondelete="CASCADE"), index=True)
    facts: Mapped[bytes] = column(LargeBinary, "hashes and derived statements; sealed to the case's key", CASE)
    body: Mapped[bytes] = column(LargeBinary, "the photo, under a key of its own, padded to 64 KiB", CASE)
    commitment: Mapped[bytes] = column(
        LargeBinary, "salted commitment of the original, until the audit log has it", "a day", default=b"", index=True
    )


class Original(Table):
    """The untouched original of a photo, kept for a court because its sender said yes; only an offline key opens it."""

    __tablename__ = "original"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "which photo", ORIGINAL, ForeignKey("evidence.id", ondelete="CASCADE"), primary_key=True)
    case_id: Mapped[bytes] = column(LargeBinary(16), "which case", ORIGINAL, ForeignKey("tip_case.id", ondelete="CASCADE"), index=True)
    day: Mapped[dt.date] = column(Date, "day it was kept", ORIGINAL, index=True)
    body: Mapped[bytes] = column(LargeBinary, "an age file to the offline keys, under a key of the case, padded to 64 KiB", ORIGINAL)


class PushHandle(Table):
    """Where a tipster wants to be told, in one neutral sentence, that there is news: wrapped twice."""

    __tablename__ = "push_handle"
    __table_args__ = (BY_KEY,)
    case_id: Mapped[bytes] = column(
        LargeBinary(16), "which case", "30 days", ForeignKey("tip_case.id", ondelete="CASCADE"), primary_key=True
    )
    stop: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the token of the button that ends it", "30 days")
    until: Mapped[dt.date] = column(Date, "last day it may be used", "30 days")
    body: Mapped[bytes] = column(LargeBinary, "the chat, sealed to the notifier's key and then under a key of the case", "30 days")


class Statistic(Table):
    """One tip as a countable fact: what remains for the yearly figures when the tip itself is gone."""

    __tablename__ = "statistic"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the case's id, under the panel key", "2 years", primary_key=True)
    body: Mapped[bytes] = column(
        LargeBinary, "month, region, kind, stage, outcome, days to an answer; sealed under the panel key", "2 years"
    )


class Audit(Table):
    """One step of a staff member or of the system, chained to the one before."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_day", "day"),)
    id: Mapped[int] = column(Integer, "place in the chain", "2 years", primary_key=True)
    day: Mapped[dt.date] = column(Date, "day", "2 years")
    actor: Mapped[str] = column(String(80), "login name or 'system'", "2 years")
    action: Mapped[str] = column(String(40), "what was done, one word", "2 years")
    subject: Mapped[str] = column(String(120), "random id of the object", "2 years")
    detail: Mapped[str] = column(Text, "outcome, never content", "2 years", default="")
    link: Mapped[bytes] = column(LargeBinary(32), "hash of this row and the link before", "2 years")


class AuditHead(Table):
    """The signed end of the chain on one day."""

    __tablename__ = "audit_head"
    day: Mapped[dt.date] = column(Date, "day", "2 years", primary_key=True)
    entry: Mapped[int] = column(Integer, "last row of that day", "2 years")
    link: Mapped[bytes] = column(LargeBinary(32), "its link", "2 years")
    signature: Mapped[bytes] = column(LargeBinary(64), "Ed25519 signature", "2 years")


class Unanswered(Table):
    """A question that found no answer, kept without any identity because the person agreed."""

    __tablename__ = "unanswered"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", "until a curator has read it, at most 180 days", primary_key=True)
    words: Mapped[str] = column(String(500), "the question's words, personal data masked", "as its row")
    nearest: Mapped[str] = column(String(200), "ids of the nearest entries", "as its row")
    day: Mapped[dt.date] = column(Date, "day", "as its row")


class SavedView(Table):
    """A list of tips that one receiver wants to open again: its name and its filter."""

    __tablename__ = "saved_view"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", STAFF, primary_key=True)
    staff_id: Mapped[bytes] = column(LargeBinary(16), "whose", STAFF, ForeignKey("staff.id", ondelete="CASCADE"), index=True)
    body: Mapped[bytes] = column(LargeBinary, "name, folder, filters and words, sealed to that receiver's key, padded", STAFF)


class Phrasing(Table):
    """Another way to ask for an entry, proposed by a curator; the matcher knows it once a second one has accepted it."""

    __tablename__ = "phrasing"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "random", PHRASING, primary_key=True)
    entry: Mapped[str] = column(String(80), "id of the entry it asks for", PHRASING)
    words: Mapped[str] = column(String(500), "the phrasing, as a curator wrote it, personal data refused", PHRASING)
    written_by: Mapped[str] = column(String(80), "who proposed it", PHRASING)
    accepted_by: Mapped[str] = column(String(80), "who accepted it; empty: it waits", PHRASING, default="")
    day: Mapped[dt.date] = column(Date, "day of the last of both", PHRASING)


class Count(Table):
    """How often something happened on a day; numbers, never persons."""

    __tablename__ = "tally"
    day: Mapped[dt.date] = column(Date, "day", "2 years", primary_key=True)
    name: Mapped[str] = column(String(80), "what is counted", "2 years", primary_key=True)
    number: Mapped[int] = column(Integer, "how often", "2 years")


SUBSCRIBER = "until the person says stop or cannot be reached any more"
BROADCAST = "2 years"
DELIVERY = "until the broadcast is over; what failed or is uncertain 30 days longer"


class Subscriber(Table):
    """Somebody who asked for reminders. Its key and its id are used nowhere else: nothing of a tip can be joined with it."""

    __tablename__ = "subscriber"
    __table_args__ = (Index("ix_subscriber_walk", "channel", "zone", "id"), BY_KEY)
    id: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the address, under the subscribers' key", SUBSCRIBER, primary_key=True)
    address: Mapped[bytes] = column(LargeBinary, "the address, sealed under the subscribers' key", SUBSCRIBER)
    channel: Mapped[str] = column(String(16), "which channel", SUBSCRIBER)
    role: Mapped[str] = column(String(8), "asn or warga", SUBSCRIBER)
    region: Mapped[str] = column(String(16), "Kemendagri code; empty: the whole country", SUBSCRIBER)
    zone: Mapped[str] = column(String(4), "time zone of the region: WIB, WITA or WIT", SUBSCRIBER)
    language: Mapped[str] = column(String(2), "id or en", SUBSCRIBER)
    kinds: Mapped[str] = column(String(60), "kinds of reminder, between commas", SUBSCRIBER)
    consent: Mapped[str] = column(String(16), "version of the consent text that was agreed to", SUBSCRIBER)
    day: Mapped[dt.date] = column(Date, "day of the consent", SUBSCRIBER)
    heard: Mapped[dt.date | None] = column(
        Date, "day of the last message about the subscription, for WhatsApp's 24-hour window", "that day", nullable=True
    )


class Broadcast(Table):
    """A reminder to many: what it says, to whom, when, who wrote and who approved it."""

    __tablename__ = "broadcast"
    id: Mapped[int] = column(Integer, "number of the broadcast", BROADCAST, primary_key=True)
    state: Mapped[str] = column(String(12), "draft, proposed, approved, holding, running, paused, done, cancelled or expired", BROADCAST)
    title: Mapped[str] = column(String(120), "name for the team", BROADCAST)
    body: Mapped[str] = column(Text, "texts, audience and time, as JSON", BROADCAST)
    day: Mapped[dt.date] = column(Date, "first day of sending", BROADCAST)
    written_by: Mapped[str] = column(String(80), "who wrote it", BROADCAST)
    approved_by: Mapped[str] = column(String(80), "who approved it", BROADCAST, default="")
    approval: Mapped[bytes] = column(LargeBinary(32), "keyed hash of body, writer and approver", BROADCAST, default=b"")
    approved_at: Mapped[int] = column(Integer, "unix time of the approval", BROADCAST, default=0)
    begins: Mapped[int] = column(Integer, "unix time before which nothing is sent", BROADCAST, default=0)
    began: Mapped[int] = column(Integer, "unix time of the first delivery", BROADCAST, default=0)
    ended: Mapped[int] = column(Integer, "unix time of the end", BROADCAST, default=0)
    why: Mapped[str] = column(String(24), "why it is paused or ended, one word", BROADCAST, default="")
    expected: Mapped[int] = column(Integer, "size of the audience when it began", BROADCAST, default=0)
    again: Mapped[int] = column(Integer, "number of the broadcast whose failures this one repeats", BROADCAST, default=0)
    test_for: Mapped[bytes] = column(LargeBinary(16), "staff member who waits for a test message", "minutes", default=b"")
    runner: Mapped[str] = column(String(32), "the process that sends it", "while it runs", default="")
    lease: Mapped[int] = column(Integer, "unix time until which that process has it", "while it runs", default=0)
    rate: Mapped[int] = column(Integer, "messages in the last minute of sending", "while it runs", default=0)


class AnswerChange(Table):
    """A change of an answer for which a reminder was prepared, so that none is prepared twice."""

    __tablename__ = "answer_change"
    name: Mapped[str] = column(String(120), "entry and its fingerprint, or election and stage; no person", "always", primary_key=True)
    day: Mapped[dt.date] = column(Date, "when the reminder was prepared", "always")


class BroadcastLane(Table):
    """How far a broadcast has come in one channel and time zone."""

    __tablename__ = "broadcast_lane"
    broadcast_id: Mapped[int] = column(
        Integer, "which broadcast", DELIVERY, ForeignKey("broadcast.id", ondelete="CASCADE"), primary_key=True
    )
    channel: Mapped[str] = column(String(16), "which channel", DELIVERY, primary_key=True)
    zone: Mapped[str] = column(String(4), "which time zone", DELIVERY, primary_key=True)
    cursor: Mapped[bytes] = column(LargeBinary(16), "the last subscriber that was claimed", DELIVERY, default=b"")
    done: Mapped[bool] = column(Boolean, "there is nobody left to claim", DELIVERY, default=False)


class BroadcastPage(Table):
    """A part of a lane that one process walks, where several send a broadcast together."""

    __tablename__ = "broadcast_page"
    broadcast_id: Mapped[int] = column(
        Integer, "which broadcast", DELIVERY, ForeignKey("broadcast.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = column(Integer, "order in which it was laid out, from 1", DELIVERY, primary_key=True)
    channel: Mapped[str] = column(String(16), "which channel", DELIVERY)
    zone: Mapped[str] = column(String(4), "which time zone", DELIVERY)
    cursor: Mapped[bytes] = column(LargeBinary(16), "the last subscriber that was claimed", DELIVERY)
    last: Mapped[bytes] = column(LargeBinary(16), "the last subscriber of the page", DELIVERY)
    turn: Mapped[int] = column(Integer, "for which job in a row it waits: an older one finds nothing to do", DELIVERY, default=0)
    runner: Mapped[str] = column(String(32), "random name of whoever walks it", DELIVERY, default="")
    lease: Mapped[int] = column(Integer, "unix time after which another job is made for it", DELIVERY, default=0)


class Delivery(Table):
    """A delivery that is not settled well: claimed before its request, to be tried again, failed, or of unknown outcome."""

    __tablename__ = "broadcast_delivery"
    __table_args__ = (Index("ix_broadcast_delivery_state", "broadcast_id", "state", "channel"), BY_KEY)
    broadcast_id: Mapped[int] = column(
        Integer, "which broadcast", DELIVERY, ForeignKey("broadcast.id", ondelete="CASCADE"), primary_key=True
    )
    subscriber: Mapped[bytes] = column(LargeBinary(16), "which subscriber", DELIVERY, primary_key=True)
    channel: Mapped[str] = column(String(16), "which channel", DELIVERY)
    zone: Mapped[str] = column(String(4), "which time zone", DELIVERY)
    page: Mapped[int] = column(Integer, "the page it was claimed from; 0: the broadcast has none", DELIVERY, default=0)
    state: Mapped[str] = column(String(12), "claimed, retry, failed, uncertain, or settled for somebody who moved", DELIVERY)
    reason: Mapped[str] = column(String(24), "why, one word", DELIVERY, default="")
    tries: Mapped[int] = column(Integer, "how often it was certainly not delivered", DELIVERY, default=0)
    not_before: Mapped[int] = column(Integer, "unix time of the next try", DELIVERY, default=0)


class BroadcastCount(Table):
    """Results of a broadcast: numbers per channel, outcome and reason, never persons."""

    __tablename__ = "broadcast_count"
    broadcast_id: Mapped[int] = column(
        Integer, "which broadcast", BROADCAST, ForeignKey("broadcast.id", ondelete="CASCADE"), primary_key=True
    )
    channel: Mapped[str] = column(String(16), "which channel", BROADCAST, primary_key=True)
    outcome: Mapped[str] = column(String(12), "sent, skipped, stopped, failed or uncertain", BROADCAST, primary_key=True)
    reason: Mapped[str] = column(String(24), "why, one word", BROADCAST, primary_key=True)
    number: Mapped[int] = column(Integer, "how many", BROADCAST)


class BroadcastSwitch(Table):
    """The switch that stops all broadcasts at once; a row means: stopped."""

    __tablename__ = "broadcast_switch"
    id: Mapped[int] = column(Integer, "always 1", "until it is released", primary_key=True)
    by: Mapped[str] = column(String(80), "who stopped everything", "until it is released")
    since: Mapped[int] = column(Integer, "unix time", "until it is released")


class StaffChat(Table):
    """A staff member's own chat, linked by a code from the panel, for /siaran and for test messages."""

    __tablename__ = "staff_chat"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the address, under the subscribers' key", STAFF, primary_key=True)
    staff_id: Mapped[bytes] = column(LargeBinary(16), "whose", STAFF, ForeignKey("staff.id", ondelete="CASCADE"), unique=True)
    address: Mapped[bytes] = column(LargeBinary, "the address, sealed under the subscribers' key", STAFF)
    wrong: Mapped[int] = column(Integer, "wrong second factors in a row", STAFF, default=0)
    since: Mapped[dt.date] = column(Date, "day of linking", STAFF)


class StaffChatCode(Table):
    """A code from the panel that links a staff member's chat, once."""

    __tablename__ = "staff_chat_code"
    __table_args__ = (BY_KEY,)
    id: Mapped[bytes] = column(LargeBinary(16), "keyed hash of the code", "10 minutes", primary_key=True)
    staff_id: Mapped[bytes] = column(LargeBinary(16), "whose", "10 minutes", ForeignKey("staff.id", ondelete="CASCADE"))
    expires: Mapped[int] = column(Integer, "unix time after which the code is dead", "10 minutes")
