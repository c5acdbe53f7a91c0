"""/siaran: broadcasts in the chat of linked staff: drafted, looked at, held; approving asks for a code of the second factor."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.chat import Chat, Name, Reader, Rejected
from bot.messages import Answer, Option
from bot.questions import NO, YES, choice, either, found_by, text
from bot.turn import Flow, Turn
from faq.calendar import Calendar
from faq.regions import Region
from faq.reminders import DAYS, day_of
from storage.broadcasts import APPROVED, DRAFT, HOLDING, PAUSED, PROPOSED, RUNNING, Broadcast
from storage.drafts import FOOTER_AT_MOST, TELEGRAM_AT_MOST, TITLE_AT_MOST, Audience, Draft, When
from storage.staff import Account, Refused
from storage.staff_chats import Desk
from storage.subscribers import KINDS, ROLES, ZONES

WRITING, APPROVING = "broadcaster", "approver"
SHOWN = 6
ACTIONS = {
    DRAFT: ("propose",),
    PROPOSED: ("approve", "withdraw"),
    APPROVED: ("pause", "cancel"),
    HOLDING: ("pause", "cancel"),
    RUNNING: ("pause", "cancel"),
    PAUSED: ("resume", "cancel"),
}
"""What can be done in each state; what a role may do is checked again when it is done."""

DONE_AS = {
    "propose": "proposed",
    "approve": "approved",
    "withdraw": "withdrawn",
    "pause": "paused",
    "resume": "resumed",
    "cancel": "cancelled",
    "stop_all": "stopped_all",
    "release": "released",
}
"""How each is called in the audit log."""

CODED = ("approve", "resume", "release")
"""What asks for the second factor. Who signs in with a security key does it in the panel: a chat cannot ask for a key."""


@dataclass(frozen=True, slots=True)
class Link:
    """Link this chat by a code from the panel."""

    code: str


@dataclass(frozen=True, slots=True)
class Act:
    """Do something with a broadcast; `seen` is the digest of what was shown, `code` the second factor."""

    action: str
    number: int = 0
    seen: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """Keep a new draft."""

    draft: Draft


def broadcast(search: Callable[[str], Sequence[Region]], calendar: Calendar) -> Flow:
    """The flow, given how regions are found and when people vote."""

    async def flow(chat: Chat) -> Link | Act | Write | None:
        """Who is not linked is asked for a code; the others see the last broadcasts and what they may do."""
        account = chat.reads.staff()
        if account is None:
            return Link(await chat.ask("link_code", _link_code()))
        listed: list[Broadcast] = chat.reads.broadcasts(SHOWN)
        options = [Option(f"show:{one.id}", f"{one.id}. {one.draft.title}"[:24]) for one in listed]
        if WRITING in account.powers:
            options.append(Option("new"))
        stopped_by = chat.reads.broadcasts_stopped_by()
        options.append(Option("release" if stopped_by else "stop_all"))
        wish = await chat.ask("next", choice(*options), stopped=stopped_by or "", who=account.name)
        if wish == "release" and chat.reads.signs_in_panel():
            chat.say("refused.key_in_panel")
            return None
        if wish in ("stop_all", "release"):
            code = await chat.ask("code", _code(account)) if wish == "release" else ""
            return Act(wish, code=code)
        if wish == "new":
            return await _written(chat, search, calendar)
        return await _shown(chat, account, int(wish.removeprefix("show:")))

    return flow


def _link_code() -> Reader[str]:
    def read(answer: Answer) -> str:
        code = re.sub(r"[\s-]", "", answer.text)
        if not re.fullmatch(r"[A-Za-z0-9]{10}", code):
            raise Rejected("broadcast.link_form")
        return code

    return Reader(read)


def _code(account: Account) -> Reader[str]:
    def read(answer: Answer) -> str:
        code = "".join(answer.text.split())
        if account.totp and not re.fullmatch(r"\d{6}", code):
            raise Rejected("broadcast.code_form")
        return code

    return Reader(read)


async def _shown(chat: Chat, account: Account, number: int) -> Act | None:
    """One broadcast: its words, its audience, how far it is, and what can be done."""
    one = chat.reads.broadcast(number)
    if one is None:
        chat.say("unknown")
        return None
    results = chat.reads.broadcast_results(number)
    actions = [action for action in ACTIONS.get(one.state, ()) if _may(account, one, action)]
    shown: dict[str, Any] = {
        "their_title": one.draft.title,
        "their_words": _words(one.draft),
        "audience": _audience(one.draft),
        "day": f"{one.draft.when.label} {one.draft.when.day:%d/%m/%Y} {one.draft.when.start}-{one.draft.when.end}".strip(),
    }
    action = await chat.ask(
        "action",
        choice(*actions, "done"),
        text="shown",
        number=number,
        state=Name(f"broadcast.state.{one.state}"),
        why=Name(f"broadcast.why.{one.why}") if one.why else "",
        reached=chat.reads.broadcast_audience(one.draft),
        sent=results.total("sent"),
        expected=one.expected,
        failed=results.total("failed"),
        skipped=results.total("skipped") + results.total("stopped"),
        uncertain=results.total("uncertain"),
        **shown,
    )
    if action == "done":
        return None
    if action in CODED and chat.reads.signs_in_panel():
        chat.say("refused.key_in_panel")
        return None
    if action == "approve":
        # What is approved is shown with the question for the code: when it differs by the time the code comes, it is shown and asked again.
        code = await chat.confirm("code", _code(account), text="approve_code", seen=one.draft.digest[:16], **shown)
        return Act(action, number, one.draft.digest, code)
    return Act(action, number, code=await chat.ask("code", _code(account)) if action == "resume" else "")


def _may(account: Account, one: Broadcast, action: str) -> bool:
    if action == "approve":
        return bool(account.powers & {WRITING, APPROVING}) and account.name != one.written_by
    if action in ("pause", "cancel"):
        return True
    return WRITING in account.powers or (action == "resume" and APPROVING in account.powers)


def _words(draft: Draft) -> str:
    """Every message in every language: nobody approves what they were not shown."""
    found = [f"Telegram ({language}):\n{text}" for language, text in draft.telegram.items()]
    for language, said in draft.whatsapp.items():
        found += [f"WhatsApp ({language}):\n{text}" for text in (said.filled, said.session) if text]
    return "\n\n".join(found)


def _audience(draft: Draft) -> str:
    audience = draft.audience
    budget = [f"<= {draft.templates_at_most}"] if draft.templates_at_most else []
    return ", ".join([*draft.channels, *audience.roles, *audience.regions, *audience.languages, draft.kind, *budget])


async def _written(chat: Chat, search: Callable[[str], Sequence[Region]], calendar: Calendar) -> Write | None:
    """A new draft: title, words, kind, to whom, when; then shown as a whole."""
    title = await chat.ask("title", text(at_least=3, at_most=TITLE_AT_MOST))
    words = await chat.ask("words", text(at_least=10, at_most=TELEGRAM_AT_MOST - FOOTER_AT_MOST))
    kind = await chat.ask("kind", choice(*KINDS))
    role = await chat.ask("role", choice("everybody", *ROLES))
    found = await chat.ask("region", either((Option("everywhere", keywords=("semua", "all")),), found_by(search)))
    region = "" if isinstance(found, str) else found[0].code
    day = await chat.ask("day", _day(calendar, region, chat.now.date()))
    audience = Audience(
        channels=("telegram",), roles=() if role == "everybody" else (role,), regions=(region,) if region else (), languages=()
    )
    draft = Draft(title, kind, day, audience, telegram={"id": words})
    if wrong := chat.reads.broadcast_problems(draft):
        chat.say(f"refused.{wrong[0]}")
        return None
    sure = await chat.confirm(
        "save",
        choice(Option("propose", keywords=YES.keywords), Option("drop", keywords=NO.keywords)),
        their_title=title,
        their_words=words,
        day=f"{day.label} {day.day:%d/%m/%Y}".strip(),
        reached=chat.reads.broadcast_audience(draft),
    )
    return Write(draft) if sure == "propose" else None


def _day(calendar: Calendar, region: str, today: dt.date) -> Reader[When]:
    election = calendar.election().in_region(region)
    ahead = [label for label in DAYS if day_of(label, election) >= today]

    def read(answer: Answer) -> When:
        said = answer.choice or answer.text.strip().lower()
        for label in ahead:
            if said.lower() == label.lower():
                day = day_of(label, election)
                return When(day, day, label=label)
        if said in ("today", "hari ini", "sekarang"):
            return When(today, today)
        try:
            day = dt.datetime.strptime(said, "%d/%m/%Y").replace(tzinfo=ZONES["WIB"]).date()
        except ValueError:
            raise Rejected("broadcast.day_form") from None
        if day < today:
            raise Rejected("broadcast.day_form")
        return When(day, day)

    return Reader(read, options=(Option("today"), *(Option(label, label) for label in ahead)))


@dataclass(frozen=True, slots=True)
class KeepBroadcast:
    """Does what a staff member wants, after checking again who they are; every step is in the audit log."""

    desk: Desk

    def __call__(self, wish: Link | Act | Write, turn: Turn) -> None:
        desk, connection = self.desk, turn.connection
        if isinstance(wish, Link):
            staff_id = desk.staff_chats.link(connection, turn.address, wish.code)
            if staff_id is None:
                raise Rejected("broadcast.link_dead")
            account = desk.accounts.get(connection, staff_id)
            desk.audit.add(connection, account.name if account else "?", "chat_linked", detail=turn.address.channel)
            turn.say("broadcast.linked")
            return
        account = desk.staff(connection, turn.address)
        if account is None:
            turn.say("broadcast.not_yours")
            return
        try:
            if isinstance(wish, Write):
                self._write(account, wish, turn)
            else:
                self._act(account, wish, turn)
        except Refused as refused:
            turn.say(f"broadcast.refused.{refused.reason}")
        else:
            turn.say("broadcast.done")

    def _write(self, account: Account, wish: Write, turn: Turn) -> None:
        if WRITING not in account.powers:
            raise Refused("not_yours")
        number = self.desk.broadcasts.save(turn.connection, wish.draft, account.name)
        self.desk.broadcasts.propose(turn.connection, number, account.name)
        self.desk.audit.add(turn.connection, account.name, "broadcast_proposed", str(number), "in chat")

    def _act(self, account: Account, wish: Act, turn: Turn) -> None:
        desk, connection = self.desk, turn.connection
        if wish.action in CODED and desk.accounts.needs_key(account):
            raise Refused("key_in_panel")
        if wish.action in CODED and not self._code_right(account, wish.code, turn):
            raise Refused("code")
        one = desk.broadcasts.get(connection, wish.number)
        if wish.number and (one is None or not _may(account, one, wish.action)):
            raise Refused("not_yours")
        match wish.action:
            case "propose":
                desk.broadcasts.propose(connection, wish.number, account.name)
            case "approve":
                desk.broadcasts.approve(connection, wish.number, account.name, wish.seen)
            case "withdraw":
                desk.broadcasts.withdraw(connection, wish.number)
            case "pause":
                desk.broadcasts.pause(connection, wish.number, "by_staff")
            case "resume":
                desk.broadcasts.resume(connection, wish.number)
            case "cancel":
                desk.broadcasts.cancel(connection, wish.number)
            case "stop_all":
                desk.broadcasts.stop_all(connection, account.name)
            case "release":
                desk.broadcasts.release(connection)
        desk.audit.add(connection, account.name, f"broadcast_{DONE_AS[wish.action]}", str(wish.number or ""), "in chat")

    def _code_right(self, account: Account, code: str, turn: Turn) -> bool:
        """Whether the second factor was given now; in practice an account may have none yet."""
        if not account.totp:
            return self.desk.accounts.practice
        if self.desk.accounts.take_code(turn.connection, account, code):
            self.desk.staff_chats.right_code(turn.connection, account.id)
            return True
        self.desk.staff_chats.wrong_code(turn.connection, account.id)
        self.desk.audit.add(turn.connection, account.name, "code_failed", detail="in chat")
        return False
