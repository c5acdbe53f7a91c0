"""A conversation is a coroutine that asks; it is made durable by replaying its answers by name.

Each turn runs the flow from the top. Known answers are given back, the first missing one is asked and ends the turn.
A flow may read, it never writes: it returns what should be done, and that is done once, when the conversation ends.
`docs/conversations.md` explains the rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from bot.messages import Answer, Option, Wants

T = TypeVar("T")


class Pause(BaseException):
    """The flow waits for the person. No `except Exception` in a flow swallows it."""


class Rejected(Exception):
    """An answer that a question cannot take. `text` names the sentence that says why and what to do."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text)
        self.text, self.facts = text, facts


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """How an answer is read: a function without effects, what it takes, and the choices it offers."""

    read: Callable[[Answer], T]
    options: tuple[Option, ...] = ()
    wants: Wants = "text"
    free_text: bool = False
    """Takes any words, so that a question to the FAQ must be recognisable as one to be answered in between."""


@dataclass(frozen=True, slots=True)
class Name:
    """A fact that is itself a text of the catalogue: it is put in the person's language when it is shown."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A fact that is a page of ours: shown as its whole address, and left out where no public address is known."""

    path: str


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence (or paragraph) by its name in the catalogue, with the facts that go into it."""

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The question that waits for an answer: its name, its choices as shown, and what was shown with it."""

    name: str
    options: tuple[Option, ...]
    wants: Wants
    free_text: bool
    shown: str


@dataclass(frozen=True, slots=True)
class Go:
    """The flow ends and another begins, with these answers already given."""

    flow: str
    answers: Mapping[str, Answer] = field(default_factory=dict)


class Chat:
    """One turn of one conversation: known answers are given again, the first missing one is asked."""

    def __init__(
        self,
        flow: str,
        answers: dict[str, dict[str, Any]],
        *,
        now: datetime,
        started_at: datetime,
        seed: int = 0,
        language: str = "id",
        channel: str = "",
        parked: str = "",
        reads: Any = None,
        fresh: str = "",
    ) -> None:
        self.flow, self.answers = flow, answers
        self.now, self.started_at, self.seed = now, started_at, seed
        self.language, self.channel, self.parked = language, channel, parked
        self.reads = reads
        self.fresh, self.rejected = fresh, ""
        """The question that is answered in this turn, and the question whose answer was refused."""
        self.asked: list[str] = []
        self.said: list[Said] = []
        self.counted: list[str] = []
        self.waiting: Waiting | None = None

    def say(self, text: str, **facts: Any) -> None:
        """Say a sentence of this flow; a name with a dot at its start belongs to the whole bot (`.menu`)."""
        self.said.append(Said(text[1:] if text.startswith(".") else f"{self.flow}.{text}", facts))

    def count(self, name: str) -> None:
        """Count that something happened, once, however often the flow is run again."""
        self.counted.append(name)

    async def ask(self, name: str, reader: Reader[T], *, text: str = "", **facts: Any) -> T:
        """The answer to the question `name`, given before or asked now.

        `text` names another sentence than the question's own. Raises `Pause` when the answer is missing.
        """
        if name in self.asked:
            raise AssertionError(f"{self.flow}.{name} is asked twice in one run")
        self.asked.append(name)
        stored = self.answers.get(name)
        if stored is not None:
            try:
                value = reader.read(Answer.from_json(stored))
            except Rejected as reason:
                del self.answers[name]
                self._refuse(name, stored, reason)
            else:
                self.said.clear()  # it was said, and counted, in the turn that asked
                self.counted.clear()
                return value
        self.say(text or name, **facts)
        self.waiting = Waiting(name, reader.options, reader.wants, reader.free_text, shown_as(facts))
        raise Pause

    def _refuse(self, name: str, stored: Mapping[str, Any], reason: Rejected) -> None:
        """Say why an answer cannot be taken; one that an edit or a deploy has made unfit is asked again without blame."""
        self.rejected = name
        new = name == self.fresh or stored.get("given", False)
        self.said = [Said(reason.text, reason.facts)] if new or not reason.text.startswith("errors.") else []

    async def confirm(self, name: str, reader: Reader[str], *, text: str = "", **shown: Any) -> str:
        """Ask for a yes that holds only for what was shown: when that differs, it is asked again."""
        stored = self.answers.get(name)
        if stored is not None and stored.get("shown") != shown_as(shown):
            del self.answers[name]
        return await self.ask(name, reader, text=text, **shown)


def shown_as(facts: Mapping[str, Any]) -> str:
    """What was shown with a question, in a form that survives storage and can be compared."""
    return json.dumps(facts, sort_keys=True, default=str, ensure_ascii=False)
