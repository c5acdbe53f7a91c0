"""One turn: a message in, answers saved and messages out, all in one transaction.

Back, edit, cancel, help, menu, stale buttons and questions to the FAQ are handled here, before the flow is asked, so that they work
in every flow on every channel.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bot.chat import Chat, Go, Link, Name, Pause, Rejected, Said, Waiting
from bot.messages import Address, Answer, Button, Inbound, Option, Outbound, Span
from bot.questions import plain
from bot.texts import Texts

EXPIRES = timedelta(hours=24)
"""An unfinished conversation lives this long after the person's last message, a parked one after it was parked (facts: draft retention)."""

CHOICES = 10
"""So many choices a question may show, controls included: what a WhatsApp list holds."""

TAKES_CODE = ("code", "last_group")
"""The questions that a receipt code answers; anywhere else a code is the wish to look at a report."""

SLASHED = re.compile(r"/[a-z_]{1,32}")

NUMBER = re.compile(r"[1-9][0-9]?")
"""A number as it stands before a choice; digits of a code ("0002") are none."""

Flow = Callable[[Chat], Coroutine[Any, Any, Any]]
Keep = Callable[[Any, "Turn"], None]


class NotReady(BaseException):
    """The turn needs slow work first (`work` says which); it is rolled back and taken again when that is done."""

    def __init__(self, work: str) -> None:
        super().__init__(work)
        self.work = work


@dataclass(frozen=True, slots=True)
class Talk:
    """A flow with what is done with its result, and the words that start it."""

    run: Flow
    keep: Keep | None = None
    words: tuple[str, ...] = ()
    parks: bool = False
    """Its unfinished answers are worth keeping when the person turns to something else."""
    collects: str = ""
    """The name of its question for photos: photos that come earlier are kept for it."""
    most_photos: int = 10
    """So many photos it takes in all."""
    cancelled: str = "turn.cancelled"
    """What is said when it is cancelled."""
    asides: bool = True
    """A question to the FAQ in the middle of it is answered in between (not where such questions are its own subject)."""
    stands: str = ""
    """The name of its questions whose answers stand once given: "back" does not take them away."""
    everywhere: bool = False
    """It asks nothing, and its words are obeyed at once in every state, in the middle of another flow too, which then goes on."""


@dataclass(slots=True)
class Turn:
    """What a keeper may use while it writes: the transaction, the person's language, and a voice."""

    connection: Connection
    address: Address
    now: datetime
    language: str
    said: list[Said] = field(default_factory=list)
    secret: list[Said] = field(default_factory=list)
    then: Go | None = None
    forget: bool = False
    document: str = ""

    def say(self, text: str, **facts: Any) -> None:
        """Say a sentence by its full name."""
        self.said.append(Said(text, facts))

    def say_secret(self, text: str, **facts: Any) -> None:
        """Say a sentence that holds a receipt code: a message of its own, not to be forwarded, soon deleted."""
        self.secret.append(Said(text, facts))


@dataclass(frozen=True, slots=True)
class Result:
    """What a turn leaves: the state to keep (None: nothing), and the messages to send."""

    state: dict[str, Any] | None
    out: list[Outbound]
    flow: str
    waiting: str
    outcome: str
    counted: tuple[str, ...] = ()
    """What happened, for the daily counts."""


BACK, CANCEL, MENU, HELP = "back", "cancel", "menu", "help"
COMMANDS = {
    BACK: ("kembali", "back", "mundur", "/kembali", "/back"),
    CANCEL: ("batal", "batalkan", "cancel", "/batal", "/cancel"),
    MENU: ("menu", "/menu", "/start", "mulai"),
    HELP: ("bantuan", "help", "tolong", "/bantuan", "/help"),
}
HELLO = frozenset("halo hallo hai hi hello p ping tes test assalamualaikum assalamu'alaikum permisi pagi siang sore malam min kak".split())
HELLO |= {"selamat pagi", "selamat siang", "selamat sore", "selamat malam", "halo min", "hai min"}
WORDS = {word: command for command, words in COMMANDS.items() for word in words}

Aside = Callable[[str, bool, str, datetime], Sequence[Said] | None]
"""Answers a question to the FAQ in between: words, whether the waiting question takes free text, language, now."""

Start = Callable[[str], tuple[str, Mapping[str, Answer]] | None]
"""What a command with an argument starts: "/tanya ...", "/start tanya-...": the flow and its first answers."""


class Conductor:
    """Takes turns. It knows flows by name and nothing of what they talk about."""

    def __init__(
        self,
        texts: Texts,
        talks: Mapping[str, Talk],
        *,
        home: str,
        start: Start,
        aside: Aside,
        reads: Callable[[Connection, Address], Any] = lambda connection, address: None,
        numbered: Callable[[str], bool] = lambda channel: True,
        public_url: str = "",
    ) -> None:
        self.texts, self.talks, self.home, self.numbered = texts, talks, home, numbered
        self.public_url = public_url.rstrip("/")
        self.start, self.aside, self.reads = start, aside, reads
        self.words = {word: name for name, talk in talks.items() for word in talk.words}

    def plain(self, language: str, said: Said) -> Outbound:
        """One sentence as a message, outside of any flow."""
        return Outbound(tuple(self.texts.spans(language, said.text, said.facts)))

    # --- one turn ----------------------------------------------------------------------------------------------------------

    def take(
        self,
        connection: Connection,
        inbound: Inbound,
        state: dict[str, Any],
        now: datetime,
        *,
        lost: bool = False,
        writing: Callable[[], Connection] | None = None,
    ) -> Result:
        """The result of one message. Pure but for what keepers write, through the connection that `writing` makes ready for it."""
        turn = _Take(self, connection, inbound, state, now, writing or (lambda: connection))
        return turn.run(lost)


class _Take:
    """The steps of one turn, in order."""

    def __init__(
        self,
        conductor: Conductor,
        connection: Connection,
        inbound: Inbound,
        state: dict[str, Any],
        now: datetime,
        writing: Callable[[], Connection],
    ) -> None:
        self.c, self.connection, self.inbound, self.now = conductor, connection, inbound, now
        self.state, self.writing = state, writing
        self.counted: list[str] = []
        self.before: list[Said] = []
        self.out: list[Outbound] = []
        self.outcome = "answered"
        self.moved = False
        """Whether the conversation went on in this turn, rather than being asked the same again."""

    # --- the order of things ---------------------------------------------------------------------------------------------------

    def run(self, lost: bool) -> Result:
        new = not self.state
        if new:
            self.state = self._fresh()
            if lost:
                self.before.append(Said("turn.lost"))
        elif self.now - datetime.fromisoformat(self.state["active"]) > EXPIRES:
            new, had_draft = True, self._has_draft()
            self.state = self._fresh(language=self.state["language"])
            if had_draft:
                self.before.append(Said("turn.expired"))
                self.outcome = "expired"
        else:
            self._drop_what_is_gone()
        self.state["active"] = self.now.isoformat()
        self._take_message(new)
        return self._result()

    def _take_message(self, new: bool) -> None:
        words = plain(self.inbound.text) if not self.inbound.attachments else ""  # a caption is no command
        if self.inbound.edited:
            self._edited()
        elif name := self._said_everywhere(words):
            self._in_between(name)
        elif self.inbound.button:
            self._pressed(new)
        elif self.inbound.receipt and self._expects() not in TAKES_CODE:
            self._code_came()
        elif words.startswith("/") and self._command(self.inbound.text.strip()):
            pass
        elif words in WORDS and not self._is_option(words):
            self._control(WORDS[words])
        elif name := self._editable(words):
            self._edit(name)
        elif words in self.c.words and self._starts(words):
            self._switch(self.c.words[words], {})
        elif self.state["flow"] in (None, self.c.home) and (words in HELLO or self.outcome == "expired") and not self.inbound.attachments:
            self._go_home()
        elif self.state["flow"] is None:
            self._at_home()
        else:
            self._answer()

    def _drop_what_is_gone(self) -> None:
        """A draft that was parked for too long, and a flow that a deploy has removed."""
        parked = self.state["parked"]
        if parked and (parked["flow"] not in self.c.talks or self.now - datetime.fromisoformat(parked["at"]) > EXPIRES):
            self.state["parked"] = None
            self.before.append(Said("turn.expired"))
        if self.state["flow"] is not None and self.state["flow"] not in self.c.talks:
            self.state |= {"flow": None, "answers": {}, "waiting": None}
            self.before.append(Said("turn.gone"))

    def _said_everywhere(self, words: str) -> str:
        """The talk that is obeyed in every state, when this message is one of its words or its button; else nothing."""
        command = plain(self.inbound.button) or words
        name = self.c.words.get(command.split("@")[0] if command.startswith("/") else command, "")
        return name if name and self.c.talks[name].everywhere and not self.inbound.attachments else ""

    def _in_between(self, name: str) -> None:
        """Do at once what asks nothing; then the question that waits is asked again, and nothing of it is lost."""
        chat = self._chat({}, "")
        chat.flow = name
        result, keep = drive(self.c.talks[name].run, chat), self.c.talks[name].keep
        turn = Turn(self.writing(), self.inbound.address, self.now, self.state["language"])
        if keep is not None:
            keep(result, turn)
        self.before += [*chat.said, *turn.said]
        self.outcome = "aside"
        if self.state["flow"] in (None, self.c.home):
            self._speak(self.before)
            self.before = []
        else:
            self.before.append(Said("turn.back_to_question"))
            self._continue()

    def _starts(self, words: str) -> bool:
        """Whether a word that starts a flow is meant as one: not where it is a choice, nor in the middle of a story."""
        flow = self.state["flow"]
        at_home = flow is None or flow == self.c.home
        return not self._is_option(words) and (at_home or not self._waiting_free() or not self.c.talks[flow].asides)

    def _has_draft(self) -> bool:
        """Whether something is lost with this conversation: answers to more than a question to the FAQ."""
        flow = self.state["flow"]
        answered = any(not answer.get("given") for answer in self.state["answers"].values())
        return bool(self.state["parked"]) or (answered and flow in self.c.talks and self.c.talks[flow].asides)

    def _fresh(self, language: str = "") -> dict[str, Any]:
        language = language or ("en" if self.inbound.language.startswith("en") else "id")
        return {
            "tag": secrets.token_hex(3),
            "step": 0,
            "flow": None,
            "answers": {},
            "started": self.now.isoformat(),
            "active": self.now.isoformat(),
            "language": language,
            "misses": 0,
            "waiting": None,
            "parked": None,
            "greeted": False,
        }

    # --- what came in ------------------------------------------------------------------------------------------------------------

    def _pressed(self, new: bool) -> None:
        token = self.inbound.button
        if token.startswith("/") and self._command(token):
            return
        tag, _, place = token.rpartition(".")
        waiting = self.state["waiting"]
        shown = {str(index): value for index, value in enumerate(waiting["buttons"])} if waiting else {}
        if tag != f"{self.state['tag']}.{self.state['step']}" or place not in shown:
            self.before.append(Said("turn.stale_lost" if new else "turn.stale"))
            self.outcome = "stale"
            self._continue()
            return
        self._chosen(shown[place])

    def _chosen(self, value: str) -> None:
        """A choice was made, by button, word or number."""
        if value in COMMANDS:
            self._control(value)
        elif value.startswith("edit:"):
            self._edit(value.removeprefix("edit:"))
        else:
            self._give(Answer(choice=value))

    def _command(self, line: str) -> bool:
        """Do what a line with a slash says; False when it is not a command at all."""
        command, _, argument = line.partition(" ")
        command = command.lower().split("@")[0]
        if started := self.c.start(f"{command} {argument}".strip()):
            self._switch(*started)
        elif command in WORDS:
            if command == "/start":
                self.state["greeted"] = False
            self._control(WORDS[command])
        elif command in self.c.words:
            self._switch(self.c.words[command], {})
        elif SLASHED.fullmatch(command) and not argument:
            self.before.append(Said("turn.unknown_command"))
            self._continue()
        else:
            return False
        return True

    def _code_came(self) -> None:
        """A receipt code where none was asked for: it is taken as the wish to look at the report."""
        alone = not self.inbound.text.replace("[kode]", "").strip() and not self.inbound.attachments
        flow = self.state["flow"]
        in_text = self._waiting_free() and not (alone and flow in self.c.talks and not self.c.talks[flow].parks)
        if flow not in (None, self.c.home) and (in_text or self.inbound.attachments):
            self.before.append(Said("turn.code_in_text"))
            if alone:
                self._continue()
            else:
                self._answer()
            return
        self._switch("follow_up", {"code": Answer(receipt=self.inbound.receipt)})

    def _control(self, command: str) -> None:
        if command == CANCEL:
            self._cancel()
        elif command == MENU:
            self._park()
            self._go_home()
        elif command == HELP:
            self._help()
        elif command == BACK:
            self._back()

    # --- controls ----------------------------------------------------------------------------------------------------------------

    def _cancel(self) -> None:
        flow = self.state["flow"]
        if flow not in (None, self.c.home):
            self.before.append(Said(self.c.talks[flow].cancelled))
        elif not self.state["parked"]:
            self.before.append(Said("turn.nothing_to_cancel"))
        if self.state["parked"]:
            self.before.append(Said("turn.draft_dropped"))
        self.state["parked"] = None
        self.outcome = "cancelled"
        self._go_home()

    def _back(self) -> None:
        answers: dict[str, Any] = self.state["answers"]
        if undo := self.state.pop("undo", None):
            answers.update(undo)
            self._continue()
            return
        last = self._last_given()
        if self.state["flow"] is None or not last:
            self.before.append(Said("turn.at_start"))
            self._go_home() if self.state["flow"] in (None, self.c.home) else self._continue()
            return
        if self._stands(last):
            self.before.append(Said("turn.stands"))
        else:
            del answers[last]
        self._continue()

    def _last_given(self) -> str:
        """The question that the person answered last; empty when none is."""
        return next((name for name, answer in reversed(self.state["answers"].items()) if not answer.get("given")), "")

    def _stands(self, name: str) -> bool:
        flow = self.state["flow"]
        return flow in self.c.talks and self.c.talks[flow].stands == name.split(".")[0]

    def _help(self) -> None:
        waiting = self.state["waiting"]
        name = f"{self.state['flow']}.help.{waiting['name'].split('.')[0]}" if waiting else ""
        self.before.append(Said(name if name and self.c.texts.has(name) else "turn.help"))
        if name and self.c.texts.has(name):
            self.before.append(Said("turn.help_words"))
        self._continue()

    def _editable(self, words: str) -> str:
        """The answer that "ubah tempat" names, in the middle of the flow too; empty when it names none."""
        for name in self.state["answers"]:
            for key in self.c.texts.options(self.state["flow"], f"edit:{name}"):
                if plain(self.c.texts.plain(self.state["language"], key).partition(" | ")[0]) == words:
                    return str(name)
        return ""

    def _edit(self, name: str) -> None:
        """Ask for one answer again, with what was asked because of it; KEMBALI brings the old one back."""
        answers = self.state["answers"]
        related = [known for known in answers if known == name or known.startswith((f"{name}.", f"{name}_"))]
        self.state["undo"] = {known: answers.pop(known) for known in related}
        self._continue()

    def _park(self) -> None:
        flow = self.state["flow"]
        self.state["answers"].update(self.state.pop("undo", None) or {})
        if flow in self.c.talks and self.c.talks[flow].parks and self.state["answers"]:
            self.state["parked"] = {
                "flow": flow,
                "answers": self.state["answers"],
                "started": self.state["started"],
                "at": self.now.isoformat(),
            }
            self.before.append(Said("turn.parked"))

    # --- answers -------------------------------------------------------------------------------------------------------------------

    def _expects(self) -> str:
        waiting = self.state["waiting"]
        return waiting["name"].split(".")[0] if waiting else ""

    def _waiting_free(self) -> bool:
        waiting = self.state["waiting"]
        return bool(waiting and waiting["free"])

    def _is_option(self, words: str) -> bool:
        waiting = self.state["waiting"]
        return bool(waiting) and any(words in option["words"] for option in waiting["options"])

    def _answer(self) -> None:
        waiting = self.state["waiting"]
        words = plain(self.inbound.text)
        if waiting is None:
            self._continue()
            return
        if not self.inbound.attachments:
            if place := self._number(words):
                self._chosen(waiting["buttons"][place - 1])
                return
            meant = [option["value"] for option in waiting["options"] if words and words in option["words"]]
            if len(meant) == 1:
                self._chosen(meant[0])
                return
        raw = self._raw()
        if words and not self.inbound.attachments and self._aside(raw):
            return
        if raw.photos and any(item.as_file and item.evidence for item in self.inbound.attachments):
            self.before.append(Said("turn.as_file"))
        if raw.photos and waiting["wants"] != "photo" and self.c.talks[self.state["flow"]].collects:
            taken = bool(raw.text) and self._takes(replace(raw, photos=(), refused=()))
            self._photos_early(replace(raw, text="") if taken else raw)
            if not taken:
                self._continue()
                return
            raw = replace(raw, photos=(), refused=())
        elif raw.refused and not raw.photos and not raw.text and waiting["wants"] != "photo":
            self.before.append(Said(f"errors.file_{raw.refused[0]}"))
            self._continue()
            return
        self._give(raw)

    def _number(self, words: str) -> int:
        """The place in the shown list that a typed number names; 0 where it names none, or where it is itself the answer."""
        waiting = self.state["waiting"]
        answers = waiting["bare"] and not self.c.numbered(self.inbound.address.channel)
        return int(words) if NUMBER.fullmatch(words) and int(words) <= len(waiting["buttons"]) and not answers else 0

    def _aside(self, raw: Answer) -> bool:
        """Answer a question to the FAQ in between, unless the waiting question takes the words or is about such questions itself."""
        waiting = self.state["waiting"]
        if not self.c.talks[self.state["flow"]].asides or (not waiting["free"] and self._takes(raw)):
            return False
        aside = self.c.aside(self.inbound.text, waiting["free"], self.state["language"], self.now)
        if not aside:
            return False
        self.before.extend(aside)
        self.before.append(Said("turn.back_to_question"))
        self.outcome = "aside"
        self._continue()
        return True

    def _takes(self, raw: Answer) -> bool:
        """Whether the waiting question would take this answer: the flow is run with it, and nothing is kept."""
        name = self.state["waiting"]["name"]
        chat = self._chat({known: dict(answer) for known, answer in self.state["answers"].items()} | {name: self._kept(raw)}, name)
        drive(self.c.talks[self.state["flow"]].run, chat)
        return name in chat.answers

    def _photos_early(self, raw: Answer) -> None:
        """Photos that come before their question are kept for it, with their caption."""
        talk = self.c.talks[self.state["flow"]]
        name, answers = talk.collects, self.state["answers"]
        before = sum(len(answer.get("photos", ())) for known, answer in answers.items() if known.split(".")[0] == name)
        kept = raw.photos[: max(0, talk.most_photos - before)]
        if kept:
            key = name if not before else f"{name}.{before}"
            answers.pop(key, None)
            answers[key] = Answer(text=raw.text, photos=kept).to_json() | {"shown": "{}", "given": True}
            self.before.append(Said("turn.photos_kept", {"count": before + len(kept)}))
        if len(kept) < len(raw.photos):
            self.before.append(Said("errors.file_many"))
        if raw.refused:
            self.before.append(Said(f"errors.file_{raw.refused[0]}"))

    def _edited(self) -> None:
        """A message was changed on the platform: a draft follows, what was sent does not."""
        parked = self.state["parked"]
        for answers in (self.state["answers"], parked["answers"] if parked else {}):
            for name, answer in answers.items():
                if self.inbound.message_id and answer.get("message") == self.inbound.message_id and answer.get("text"):
                    answer["text"] = self.inbound.text
                    self.before.append(Said("turn.edited"))
                    self._continue(expected=name)
                    return
        self.before.append(Said("turn.edit_too_late"))
        self._continue()

    def _raw(self) -> Answer:
        return Answer(
            text=self.inbound.text,
            photos=tuple(item.evidence for item in self.inbound.attachments if item.evidence),
            refused=tuple(item.refused for item in self.inbound.attachments if item.refused),
            receipt=self.inbound.receipt if self._expects() in TAKES_CODE else "",
        )

    def _kept(self, answer: Answer) -> dict[str, Any]:
        """The answer as it is stored: with what was shown, the day, and the platform's id of its message."""
        kept = replace(answer, day=self.now.date().isoformat()).to_json() | {"shown": self.state["waiting"]["shown"]}
        return kept | ({"message": self.inbound.message_id} if self.inbound.message_id else {})

    def _give(self, answer: Answer) -> None:
        waiting = self.state["waiting"]
        self.state.pop("undo", None)
        self.state["answers"][waiting["name"]] = self._kept(answer)
        if answer.refused and (answer.photos or (answer.text and waiting["wants"] != "photo")):
            self.before.append(Said(f"errors.file_{answer.refused[0]}"))
        self.moved = True
        self._continue(expected=waiting["name"])

    def _at_home(self) -> None:
        """The first message of all, or one that answers nothing: the home flow gets it as its answer."""
        self.state["flow"], self.state["answers"] = self.c.home, {}
        if self.inbound.text.strip() or self.inbound.attachments:
            self.state["answers"]["wish"] = self._raw().to_json() | {"shown": "{}"}
        self.moved = True
        self._continue(expected="wish")

    def _greet(self) -> None:
        if not self.state["greeted"]:
            self.state["greeted"] = True
            self.before.append(Said("menu.greeting"))

    def _go_home(self) -> None:
        self.state.pop("undo", None)
        self.state["flow"], self.state["answers"] = self.c.home, {}
        self._continue()

    def _switch(self, flow: str, answers: Mapping[str, Answer]) -> None:
        talk = self.c.talks.get(flow)
        if flow == self.state["flow"] and talk is not None and talk.parks and not answers:
            self.before.append(Said("turn.resumed"))
        else:
            self._park()
            self._begin(flow, answers)
        self._continue()

    def _begin(self, flow: str, answers: Mapping[str, Answer]) -> None:
        """Begin a flow with these answers; one that was parked goes on where it was, and photos that come are added to it."""
        day = self.now.date().isoformat()
        given = {name: replace(answer, day=day).to_json() | {"given": True} for name, answer in answers.items()}
        parked = self.state["parked"]
        self.moved = True
        self.state.pop("undo", None)
        if not parked or parked["flow"] != flow:
            self.state["flow"], self.state["answers"], self.state["started"] = flow, given, self.now.isoformat()
            return
        self.before = [said for said in self.before if said.text != "turn.parked"]
        self.state["flow"], self.state["answers"], self.state["started"] = flow, parked["answers"], parked["started"]
        self.state["parked"] = None
        self.before.append(Said("turn.resumed"))
        for name, answer in answers.items():
            if name == self.c.talks[flow].collects:
                self._photos_early(answer)
            else:
                self.state["answers"].setdefault(name, given[name])

    # --- the flow ----------------------------------------------------------------------------------------------------------------------

    def _continue(self, expected: str = "") -> None:
        """Run the flow from the top until it asks or ends."""
        self._greet()
        for _ in range(8):
            if self.state["flow"] not in self.c.talks:
                self.state["flow"], self.state["answers"] = self.c.home, {}
            flow = self.state["flow"]
            chat = self._chat(self.state["answers"], expected)
            result = drive(self.c.talks[flow].run, chat)
            if self.moved and not chat.rejected:
                self.counted += chat.counted
            if chat.waiting is not None:
                self._asked(chat, expected)
                return
            if not self._ended(flow, chat, result):
                return
            expected = ""
        raise RuntimeError("a flow leads in a circle")

    def _chat(self, answers: dict[str, dict[str, Any]], fresh: str) -> Chat:
        return Chat(
            self.state["flow"],
            answers,
            now=self.now,
            started_at=datetime.fromisoformat(self.state["started"]),
            seed=zlib.crc32(self.state["tag"].encode()),
            language=self.state["language"],
            channel=self.inbound.address.channel,
            parked=self.state["parked"]["flow"] if self.state["parked"] else "",
            reads=self.c.reads(self.connection, self.inbound.address),
            fresh=fresh,
        )

    def _asked(self, chat: Chat, expected: str) -> None:
        assert chat.waiting is not None
        missed = bool(expected) and chat.waiting.name == expected == chat.rejected
        self.state["misses"] = self.state["misses"] + 1 if missed else 0
        if missed:
            self.outcome = "rejected"
            if self.state["misses"] == 2:
                chat.said.insert(1, Said(self._help_name(chat)))
            elif self.state["misses"] >= 3:
                chat.said.insert(1, Said("turn.third_miss"))
        self._speak(self.before + chat.said, chat)
        self.before = []

    def _help_name(self, chat: Chat) -> str:
        assert chat.waiting is not None
        name = f"{chat.flow}.help.{chat.waiting.name.split('.')[0]}"
        return name if self.c.texts.has(name) else "turn.help"

    def _ended(self, flow: str, chat: Chat, result: Any) -> bool:
        """Do what the flow returned; True when another flow follows at once."""
        said = self.before + chat.said
        self.before = []
        if isinstance(result, Go):
            self.before = said
            resumed = self.state["parked"]["flow"] if result.flow == "resume" and self.state["parked"] else result.flow
            self._begin(resumed, result.answers)
            return True
        parked = self.state["parked"]
        if result is None and not chat.asked and parked and parked["at"] == self.now.isoformat():
            self.before = said  # something was only told: what it interrupted goes on at once
            self._begin(parked["flow"], {})
            return True
        keep = self.c.talks[flow].keep if result is not None else None
        turn = Turn(self.writing() if keep else self.connection, self.inbound.address, self.now, self.state["language"])
        if keep is not None:
            try:
                keep(result, turn)
            except Rejected as reason:
                return self._refused(reason)
            self.outcome = "kept"
        self.state["language"] = turn.language
        if turn.secret and said:
            self._speak(said)
            said = []
        for secret in turn.secret:
            self._speak([secret], secret=True)
        if turn.forget:
            self.state["parked"] = None
        self.before = [*said, *turn.said]  # with the next question in one message: each message may cost
        self._begin(turn.then.flow if turn.then else self.c.home, turn.then.answers if turn.then else {})
        if turn.forget or turn.document:
            self._speak(self.before, forget=turn.forget, document=turn.document)
            self.before = []
        return True

    def _refused(self, reason: Rejected) -> bool:
        """What was returned cannot be done now: say why, and ask the last question again with nothing lost."""
        answers = self.state["answers"]
        del answers[next(reversed(answers))]
        self.before = [Said(reason.text, reason.facts)]
        self.outcome = "refused"
        return True

    # --- what goes out --------------------------------------------------------------------------------------------------------------

    def _speak(
        self, said: Sequence[Said], chat: Chat | None = None, *, secret: bool = False, forget: bool = False, document: str = ""
    ) -> None:
        language = self.state["language"]
        spans: list[Span] = []
        for one in said:
            if spans:
                spans.append(Span("\n\n"))
            facts = {name: self._fact(value) for name, value in one.facts.items()}
            spans.extend(self.c.texts.spans(language, one.text, facts))
        buttons: tuple[Button, ...] = ()
        wants = chat.waiting.wants if chat is not None and chat.waiting is not None else "nothing"
        if chat is not None and chat.waiting is not None:
            buttons = self._buttons(chat.flow, chat.waiting)
        self.out.append(Outbound(tuple(spans), buttons, wants, secret=secret, forget=forget, document=document))

    def _fact(self, value: Any) -> Any:
        """A fact in the person's language: a name of the catalogue becomes its text."""
        if isinstance(value, Link):
            return self.c.public_url + value.path if self.c.public_url else ""
        if isinstance(value, Name):
            return self.c.texts.plain(self.state["language"], value.text).partition(" | ")[0]
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, Name) for item in value):
            return ", ".join(self._fact(item) for item in value)
        return value

    def _buttons(self, flow: str, waiting: Waiting) -> tuple[Button, ...]:
        language = self.state["language"]
        self.state["step"] += 1
        options = [self.c.texts.option(language, flow, waiting.name, option) for option in waiting.options]
        values = [option.value for option in options]
        for control in self._controls(flow, values):
            options.append(self.c.texts.option(language, "turn", control, Option(control)))
            values.append(control)
        self.state["waiting"] = {
            "name": waiting.name,
            "wants": waiting.wants,
            "free": waiting.free_text,
            "shown": waiting.shown,
            "bare": waiting.free_text and not waiting.options,
            "buttons": values,
            "options": [
                {"value": option.value, "words": sorted({plain(option.label), option.value, *option.keywords})}
                for option in options
                if option.value not in COMMANDS
            ],
        }
        prefix = f"{self.state['tag']}.{self.state['step']}"
        return tuple(Button(f"{prefix}.{index}", option.label, option.detail) for index, option in enumerate(options))

    def _controls(self, flow: str, values: Sequence[str]) -> list[str]:
        """The buttons that every question of a flow has: back and cancel, as far as the list has room."""
        if flow == self.c.home:
            return []
        last = self._last_given()
        controls = [BACK] if last and not self._stands(last) else []
        controls.append(CANCEL)
        return controls[: max(0, CHOICES - len(values))]

    def _result(self) -> Result:
        waiting = self.state["waiting"]["name"] if self.state["waiting"] else ""
        out = [message for message in self.out if message.spans or message.forget]
        return Result(self.state, out, self.state["flow"] or "", waiting, self.outcome, tuple(self.counted))


def drive(flow: Flow, chat: Chat) -> Any:
    """Run a flow to its next question or its end, without an event loop; a flow never awaits anything but `chat.ask`."""
    coroutine = flow(chat)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    except Pause:
        return None
    coroutine.close()
    raise RuntimeError(f"{chat.flow} awaited something other than a question")
