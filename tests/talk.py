"""`Talk`: a conversation as a test. Each line is a real turn in a real transaction, through storage, and every flow is run twice."""

from __future__ import annotations

import copy
import itertools
import shutil
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bot.chat import Chat
from bot.main import notice_of, numbers_shown, papers_of, start_command, talks
from bot.messages import Address, Attachment, Inbound, Outbound
from bot.quotas import Quotas
from bot.reads import Reads
from bot.receipts import CodeSessions, LastGroups
from bot.texts import Template, Texts
from bot.turn import Conductor, NotReady, Result
from bot.turn import Talk as Flow
from bot.work import photos_in
from faq.match import Faq
from handlers.self_check import aside
from storage.audit import AuditLog
from storage.broadcasts import Broadcasts
from storage.cases import Cases
from storage.conversations import Conversations
from storage.counts import Counts
from storage.originals import Waiting
from storage.push import Push
from storage.schema import migrate
from storage.staff import Accounts, add
from storage.staff_chats import Desk, StaffChats
from storage.store import Store, connect
from storage.subscribers import Subscribers
from storage.vault import EpochKeys, Keys, Receipts

PASSPHRASE = "empat kuda lari di pantai"
NUMBERS = itertools.count(1)


@cache
def shipped_texts() -> Texts:
    """The catalogue, read once for all tests."""
    return Texts.load()


def own_texts() -> Texts:
    """A catalogue that a test may add to."""
    texts = copy.copy(shipped_texts())
    texts._templates = {language: dict(templates) for language, templates in texts._templates.items()}
    return texts


def copied(made: Path, folder: Path, clock: Callable[[], datetime], faq: Faq) -> Machine:
    """A machine of its own with the keys and the database of another that is closed."""
    shutil.copyfile(made / "netra.db", folder / "netra.db")
    shutil.copytree(made / "keys", folder / "keys")
    return Machine(folder, clock, faq)


class Machine:
    """The program without network: what a turn needs."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], faq: Faq, url: str = "") -> None:
        self.folder, self.clock, self.faq = folder, clock, faq
        self.url = url or f"sqlite:///{folder / 'netra.db'}"
        if url or not (folder / "netra.db").exists():
            engine = connect(self.url)
            migrate(engine)
            engine.dispose()
        self.store = Store(self.url)
        self.keys = Keys(folder / "keys")
        self.epochs = EpochKeys(folder / "run", clock)
        self.conversations = Conversations(self.epochs)
        self.texts = own_texts()
        self.push = Push(self.keys.push, self.conversations, notice_of(self.texts))
        self.cases, self.counts = Cases(self.conversations, clock, push=self.push), Counts()
        self.quotas, self.originals = Quotas(), Waiting()
        self.receipts = Receipts(self.keys.receipt_pepper, ready=1)
        self.sessions, self.last_groups = CodeSessions(self.receipts), LastGroups()
        subscribers = Subscribers(self.keys.subscribers)
        broadcasts = Broadcasts(self.keys.panel, subscribers, clock, ("bawaslu.go.id",))
        self.desk = Desk(
            subscribers,
            broadcasts,
            StaffChats(self.keys.subscribers, clock),
            Accounts(self.keys.panel, clock, practice=True),
            AuditLog(self.keys.audit_signing, clock),
        )
        self.papers = papers_of(self.texts, self.keys.panel, self.counts, "")
        self.flows = talks(
            faq,
            self.cases,
            self.counts,
            self.receipts,
            self.sessions,
            self.last_groups,
            quotas=self.quotas,
            originals=self.originals,
            push=self.push,
            signing_key=self.keys.audit_signing,
            desk=self.desk,
            papers=self.papers,
        )
        self.extra: dict[str, Flow] = {}
        self.lost = False
        self.public_url = ""

    def conductor(self) -> Conductor:
        """A conductor over the flows as they are deployed now."""
        return Conductor(
            self.texts,
            {**self.flows, **self.extra},
            home="menu",
            start=start_command,
            aside=aside(self.faq),
            reads=lambda connection, address: Reads(
                connection, self.cases, self.sessions, self.last_groups, self.quotas, self.originals, address, self.desk
            ),
            numbered=numbers_shown,
            public_url=self.public_url,
        )

    def receiver(self, name: str = "penelaah") -> None:
        """A receiver, so that tips can be sealed."""
        self.store.write_now(lambda connection: add(connection, name, ["reviewer"], "", PASSPHRASE))

    def restart(self) -> None:
        """Everything that lives in memory is gone."""
        self.store.close()
        self.store = Store(self.url)
        self.epochs = EpochKeys(self.folder / "run", self.clock)
        self.conversations.epochs = self.epochs
        self.sessions._sessions.clear()
        self.last_groups._groups.clear()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def take(self, inbound: Inbound) -> Result | None:
        """One message: received, prepared, taken, saved."""
        safe = self.sessions.at_the_door(inbound)
        received = self.store.write_now(lambda connection: self.conversations.receive(connection, safe))
        if received is None:
            return None
        if safe.receipt:
            self.sessions.derive(safe.receipt, safe.address, lambda receipt: self.store.read_now(lambda c: self.cases.known(c, receipt)))

        def turn(connection: Connection) -> Result:
            assert self.conversations.due(connection, [received.id])
            self.conversations.answered(connection, [received.id])
            conversation = self.conversations.load(connection, safe.address)
            before = copy.deepcopy(conversation.state)
            lost = self.lost and conversation.version == 0
            result = self.conductor().take(connection, safe, conversation.state, self.clock(), lost=lost)
            self._twice(connection, safe, before, result)
            conversation.state = result.state or {}
            self.conversations.keep_only(connection, safe.address, photos_in(conversation.state))
            self.conversations.save(connection, conversation, safe.address)
            for outbound in result.out:
                self.conversations.send(connection, safe.address, outbound)
            for name in result.counted:
                self.counts.add(connection, self.clock().date(), name)
            return result

        while True:
            try:
                return self.store.write_now(turn)
            except NotReady:
                self.receipts.refill()

    def deploys(self, **flows: Callable[[Chat], Coroutine[Any, Any, Any]]) -> None:
        """Put these flows into service, in place of older ones of the same name; their texts are made up."""
        for name, run in flows.items():
            self.extra[name] = replace(self.extra.get(name, Flow(run, words=(name,))), run=run)

    def speaks(self, **texts: str) -> None:
        """Add texts to both languages; `toy__where` is the name `toy.where`."""
        for language in self.texts._templates.values():
            language.update({name.replace("__", "."): Template(text) for name, text in texts.items()})

    def peek(self, inbound: Inbound) -> Result:
        """What a message would do now; nothing of it is kept."""
        safe = self.sessions.at_the_door(inbound)
        if safe.receipt:
            self.sessions.derive(safe.receipt, safe.address, lambda receipt: self.store.read_now(lambda c: self.cases.known(c, receipt)))

        def turn(connection: Connection) -> Result:
            conversation = self.conversations.load(connection, safe.address)
            savepoint = connection.begin_nested()
            try:
                result = self.conductor().take(connection, safe, conversation.state, self.clock())
                conversation.state = result.state or {}
                self.conversations.save(connection, conversation, safe.address)
                for outbound in result.out:
                    self.conversations.send(connection, safe.address, outbound)
                return result
            finally:
                savepoint.rollback()

        sessions, groups, tips = dict(self.sessions._sessions), dict(self.last_groups._groups), self.quotas._tips.copy()
        while True:
            try:
                return self.store.write_now(turn)
            except NotReady:
                self.receipts.refill()
            finally:
                self.sessions._sessions, self.last_groups._groups, self.quotas._tips = dict(sessions), dict(groups), tips.copy()

    def _twice(self, connection: Connection, inbound: Inbound, before: dict[str, Any], result: Result) -> None:
        """A flow without dice and without effects says the same when it is run again."""
        if result.outcome in ("kept", "aside", "refused") or not before:
            return
        savepoint = connection.begin_nested()
        again = self.conductor().take(connection, inbound, before, self.clock())
        savepoint.rollback()
        assert [one.text for one in again.out] == [one.text for one in result.out], "a flow depends on dice or on its own effects"


class Talk:
    """One person in one chat."""

    def __init__(self, machine: Machine, channel: str = "web_chat", chat: str = "") -> None:
        self.machine = machine
        self.address = Address(channel, chat or f"chat-{next(NUMBERS)}")
        self.heard: list[Outbound] = []
        self.result: Result | None = None

    # --- what the person does ---------------------------------------------------------------------------------------------

    def says(self, text: str, **more: Any) -> Talk:
        """Type a line."""
        return self._send(Inbound(self.address, f"m{next(NUMBERS)}", text=text, **more))

    def taps(self, label: str) -> Talk:
        """Press the button with this label."""
        for message in reversed(self.heard):
            for button in message.buttons:
                if button.label == label:
                    return self._send(Inbound(self.address, f"m{next(NUMBERS)}", button=button.token))
        raise AssertionError(f"no button {label!r}; there are {[button.label for button in self.buttons]}")

    def presses(self, token: str) -> Talk:
        """Press a button by its token, however old."""
        return self._send(Inbound(self.address, f"m{next(NUMBERS)}", button=token))

    def sends_photos(self, count: int = 1, text: str = "") -> Talk:
        """Send photos that are already cleaned, as the worker would."""
        kept = []
        for _ in range(count):
            evidence = next(NUMBERS).to_bytes(16, "big")
            facts = {"original_sha256": "ab" * 32, "clean_sha256": "cd" * 32, "taken": "", "likeness": "00" * 8}
            keep = partial(
                self.machine.conversations.keep_photo,
                address=self.address,
                evidence=evidence,
                photo=b"\xff\xd8jpeg" + evidence,
                facts=facts,
            )
            kept.append(self.machine.store.write_now(keep))
        return self._send(
            Inbound(self.address, f"m{next(NUMBERS)}", text=text, attachments=tuple(Attachment(evidence=one) for one in kept))
        )

    def sends_file(self, refused: str) -> Talk:
        """Send a file of a kind that is refused."""
        return self._send(Inbound(self.address, f"m{next(NUMBERS)}", attachments=(Attachment(refused=refused),)))

    def _send(self, inbound: Inbound) -> Talk:
        self.machine.store.write_now(lambda connection: self.machine.conversations.drop(connection, self.address))
        self.result = self.machine.take(inbound)
        self.last = inbound
        if self.result is not None:
            self.heard = self.result.out
        return self

    def edits(self, text: str, message_id: str) -> Talk:
        """Change an earlier message on the platform."""
        return self._send(Inbound(self.address, f"m{next(NUMBERS)}", text=text, message_id=message_id, edited=True))

    def would(self, text: str = "", button: str = "") -> Result:
        """What a line or a button would do now; nothing of it is kept."""
        return self.machine.peek(Inbound(self.address, f"m{next(NUMBERS)}", text=text, button=button))

    def again(self) -> Result | None:
        """The platform delivers the last message a second time."""
        return self.machine.take(replace(self.last))

    # --- what the person hears ---------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """All that was said in the last turn."""
        return "\n".join(message.text for message in self.heard)

    @property
    def buttons(self) -> list[Any]:
        """The buttons under the last message."""
        return list(self.heard[-1].buttons) if self.heard else []

    @property
    def labels(self) -> list[str]:
        """Their labels."""
        return [button.label for button in self.buttons]

    @property
    def waiting(self) -> str:
        """The name of the question that waits."""
        assert self.result is not None
        return f"{self.result.flow}.{self.result.waiting}"

    @property
    def state(self) -> Mapping[str, Any]:
        """The conversation as it is stored."""
        assert self.result is not None and self.result.state is not None
        return self.result.state

    def hears(self, *names: str, language: str = "id") -> Talk:
        """These texts of the catalogue were said (compared up to their first fact)."""
        for name in names:
            source = self.machine.texts.plain(language, name, _Blank({"": ""}))
            start = source.split("\0")[0].strip()
            rest = [part.strip() for part in source.split("\0") if part.strip()]
            wanted = start or (rest[0] if rest else "")
            assert wanted in self.text, f"{name} was not said; said was:\n{self.text}"
        return self

    def is_asked(self, name: str) -> Talk:
        """This question waits now."""
        assert self.waiting == name, f"{self.waiting} waits, not {name}; said was:\n{self.text}"
        return self


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "\0"
