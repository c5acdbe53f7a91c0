"""Coming back with the code: read the answers, add words and photos, raise the alarm, withdraw."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from bot.chat import Chat, Name, Reader, Rejected
from bot.messages import Answer, Option
from bot.questions import NO, YES, captions, case_code, choice, collect, sent_photos, text
from bot.receipts import CodeSessions
from bot.turn import Flow, Turn
from handlers.identity import Identity, without_identity
from storage.audit import SYSTEM, AuditLog
from storage.cases import CLOSED, NEW, TIPSTER, Cases, OpenCase
from storage.proofs import Proof, content_of_case, prove
from storage.push import CHANNELS, Push

WORDS_AT_MOST, MOST_PHOTOS, SHOWN = 2000, 10, 6
CLOSED_DAYS = 90
"""A closed case is deleted after so many days (the retention schedule)."""

WITHDRAW = Option("withdraw_yes", keywords=("hapus", *YES.keywords))
STAY = Option("withdraw_no", keywords=NO.keywords)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What the tipster wants done with their case."""

    handle: str
    wish: str
    words: str = ""
    photos: tuple[str, ...] = ()


def _opened(chat: Chat) -> Reader[tuple[str, OpenCase]]:
    code = case_code()

    def read(answer: Answer) -> tuple[str, OpenCase]:
        handle = code.read(answer)
        return handle, chat.reads.case(handle)

    return Reader(read)


def follow_up(identity: Identity) -> Flow:
    """The flow, given how identities are found."""

    async def flow(chat: Chat) -> FollowUp | None:
        """Show the state of a case and what the team wrote; take what the tipster adds."""
        handle, case = await chat.ask("code", _opened(chat))
        messages = [f"{entry.day}: {entry.words}" for entry in case.entries if entry.kind == "team"][-SHOWN:]
        notices = ("no_more",) if chat.reads.notices(case) else ("tell_me",) if chat.channel in CHANNELS and case.status != CLOSED else ()
        wishes = (*(() if case.status == CLOSED else ("add", "photos")), "danger", "proof", *notices, "withdraw", "done")
        status = "asked" if case.whose_turn == TIPSTER and case.status != CLOSED else "new" if case.status == NEW else case.status
        if "next" not in chat.answers and sent_photos(chat, "more_photos"):
            wish = "photos"
        else:
            wish = await chat.ask(
                "next",
                choice(*wishes),
                text="status_with_messages" if messages else "status",
                alias=case.alias,
                day=case.day.strftime("%d/%m/%Y"),
                status=Name(f"follow_up.state.{status}"),
                photos=case.head.get("photos", 0),
                step=Name(f"follow_up.then.{_then(case, status, chat.now.date())}"),
                by=_by(case, status, chat.now.date()),
                messages="\n\n".join(messages),
            )
        if wish == "photos":
            photos = await collect(chat, "more_photos", at_most=MOST_PHOTOS)
            if not photos:
                return None
            (words,) = await without_identity(chat, identity, captions(chat, "more_photos"))
            return FollowUp(handle, wish, words, tuple(photos))
        if wish in ("add", "danger"):
            name = "words" if wish == "add" else "danger_words"
            words = await chat.ask(name, text(at_most=WORDS_AT_MOST, optional=wish == "danger"))
            words = " ".join(part for part in (words, captions(chat, "more_photos")) if part)
            (words,) = await without_identity(chat, identity, words)
            return FollowUp(handle, wish, words, tuple(sent_photos(chat, "more_photos")))
        if wish == "withdraw":
            sure = await chat.confirm("withdraw_sure", choice(WITHDRAW, STAY), alias=case.alias)
            return FollowUp(handle, wish) if sure == "withdraw_yes" else None
        if wish == "tell_me":
            return FollowUp(handle, wish) if await chat.ask("tell_me_sure", choice(NO, YES)) == "yes" else None
        return FollowUp(handle, "read" if wish == "done" else wish)

    return flow


def _then(case: OpenCase, status: str, today: dt.date) -> str:
    """What happens next, by the name of its sentence."""
    return "late" if status in ("new", "open") and case.deadline is not None and case.deadline < today else status


def _by(case: OpenCase, status: str, today: dt.date) -> str:
    """By when: the team's deadline in working days, or the day a closed case is deleted."""
    if status == CLOSED and case.closed is not None:
        return (case.closed + dt.timedelta(days=CLOSED_DAYS)).strftime("%d/%m/%Y")
    return case.deadline.strftime("%d/%m/%Y") if case.deadline and status != "asked" and case.deadline >= today else ""


async def saved_code(chat: Chat) -> str | None:
    """Ask for the code's last group, so that a code that was not written down is noticed in time."""
    handle = (await chat.ask("handle", text())).strip()

    def read(answer: Answer) -> str:
        digits = chat.reads.sessions.last_group(answer.receipt) or "".join(sign for sign in answer.text if sign.isdigit())
        if answer.choice == "later":
            return "later"
        if len(digits) >= 4 and chat.reads.last_groups.fits(handle, digits[-4:]):
            return "right"
        raise Rejected("saved_code.wrong")

    return await chat.ask("last_group", Reader(read, options=(Option("later", keywords=("nanti", "lewati", "skip")),)))


def keep_saved_code(result: str, turn: Turn) -> None:
    """Say that the code is safe with the person now, or what it means to lose it."""
    turn.say("saved_code.right" if result == "right" else "saved_code.later")
    turn.forget = result == "right"


@dataclass(frozen=True, slots=True)
class KeepFollowUp:
    """Writes what the tipster wants; runs once, in the transaction that ends the conversation."""

    cases: Cases
    sessions: CodeSessions
    signing_key: bytes
    audit: AuditLog

    def __call__(self, wish: FollowUp, turn: Turn) -> None:
        receipt = self.sessions.get(wish.handle)
        if receipt is None:
            turn.say("follow_up.session_over")
            return
        if wish.wish == "withdraw":
            gone = self.cases.withdraw(turn.connection, receipt)
            if gone:  # so that no receiver can be suspected of having made it disappear
                self.audit.add(turn.connection, SYSTEM, "tip_withdrawn", gone.hex())
            self.sessions.end(wish.handle)
            held = not gone and self.cases.known(turn.connection, receipt)
            turn.say("follow_up.withdrawn" if gone else "follow_up.held" if held else "follow_up.unknown")
        elif wish.wish == "read":
            self.cases.read_by_tipster(turn.connection, receipt)
            self.sessions.end(wish.handle)
            turn.say("follow_up.goodbye")
        elif wish.wish in ("proof", "tell_me", "no_more"):
            case = self.cases.by_receipt(turn.connection, receipt)
            if case is None:
                turn.say("follow_up.unknown")
            elif wish.wish == "proof":
                turn.say("follow_up.proof", proof=self._proof(turn, case))
            else:
                self._notices(turn, case, on=wish.wish == "tell_me")
        else:
            danger = wish.wish == "danger"
            kept = self.cases.tell_team(turn.connection, turn.address, receipt, wish.words, wish.photos, danger=danger)
            turn.say(("follow_up.danger_kept" if danger else "follow_up.added") if kept else "follow_up.unknown")

    def _proof(self, turn: Turn, case: OpenCase) -> str:
        photos = self.cases.photo_facts(turn.connection, case.key, case.id)
        return prove(self.signing_key, Proof(case.alias, case.day, content_of_case(case, photos)))

    def _notices(self, turn: Turn, case: OpenCase, *, on: bool) -> None:
        push = self.cases.push
        if push is None:
            return
        if on:
            push.keep(turn.connection, case.id, case.key, turn.address, turn.language, turn.now.date())
        else:
            push.end(turn.connection, case.id)
        turn.say("follow_up.telling" if on else "quiet.done")


async def quiet(chat: Chat) -> str:
    """One tap under a notice ends the notices."""
    return await chat.ask("token", text(at_most=64))


@dataclass(frozen=True, slots=True)
class KeepQuiet:
    """Ends the notices of the case whose button was pressed."""

    push: Push

    def __call__(self, token: str, turn: Turn) -> None:
        self.push.stop(turn.connection, token.strip())
        turn.say("quiet.done")
