"""The pledge of neutrality, read point by point and agreed point by point; counted, never signed into a list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from bot.chat import Chat, Go, Reader, Rejected
from bot.downloads import Offer, Serves
from bot.messages import Answer, Option
from bot.questions import YES, choice
from bot.turn import Flow, Turn
from faq.pledge import Pledges, Point
from handlers.who import Search, person_name, role_and_region
from storage.practice import Practice

AGREE = Option("agree", keywords=(*YES.keywords, "sepakat", "agree"))
NOT_YET = Option("not_yet", keywords=("belum", "belum setuju", "tidak", "tidak setuju", "nanti", "no", "not yet"))


@dataclass(frozen=True, slots=True)
class Agreed:
    """All points of one version were agreed to."""

    version: str
    role: str
    region: str


def pledge(pledges: Pledges, search: Search) -> Flow:
    """The flow over the current text."""

    async def flow(chat: Chat) -> Agreed | Go | None:
        """Read and agree point by point; whoever does not agree is shown the rule, and nothing is counted."""
        text, english = pledges.current, chat.language == "en"
        chat.say("intro", title=text.title_en if english else text.title, version=text.version)
        await chat.ask("ready", choice(Option("start", keywords=("mulai", "start", *YES.keywords))), closing=_closing(chat, pledges))
        for number, point in enumerate(text.points, start=1):
            if await _agrees(chat, point, number, len(text.points)) == NOT_YET.value:
                wish = await chat.ask("stopped", choice("rule", "enough"))
                if wish == "rule":
                    return Go("self_check", {"question": Answer(choice=f"entry:{point.entry}")})
                chat.say("goodbye")
                return None
        role, region = await role_and_region(chat, search)
        return Agreed(text.version, role, region)

    return flow


def _closing(chat: Chat, pledges: Pledges) -> str:
    return pledges.current.closing_en if chat.language == "en" else pledges.current.closing


async def _agrees(chat: Chat, point: Point, number: int, of: int) -> str:
    english = chat.language == "en"
    return await chat.confirm(
        f"point.{point.id}",
        choice(AGREE, NOT_YET),
        text="point",
        number=number,
        of=of,
        title=point.title_en if english else point.title,
        words=point.text_en if english else point.text,
    )


@dataclass(frozen=True, slots=True)
class KeepPledge:
    """Counts a pledge by role and region, and goes on to the paper for whoever wants one."""

    practice: Practice

    def __call__(self, agreed: Agreed, turn: Turn) -> None:
        self.practice.agreed(turn.connection, turn.now.date(), agreed.version, agreed.role, agreed.region)
        turn.say("pledge.thanks")
        turn.then = Go("pledge_paper", {"version": Answer(text=agreed.version)})


@dataclass(frozen=True, slots=True)
class Paper:
    """The pledge on paper, with a name that stands nowhere else."""

    name: str
    version: str


def pledge_paper(pledges: Pledges, serves: Serves) -> Flow:
    """The flow that follows an agreed pledge."""

    async def flow(chat: Chat) -> Paper | Go | None:
        """The pledge as a PDF with a name, for whoever wants one; or on to the quiz."""
        version = await chat.ask("version", _version(pledges))
        wish = await chat.ask("wish", choice("paper", "quiz", "enough"))
        if wish == "quiz":
            return Go("quiz")
        if wish == "enough":
            chat.say("goodbye")
            return None
        if not serves(chat.channel):
            chat.say(".papers.nowhere")
            return Go("pledge_paper", {"version": Answer(text=version)})
        return Paper(await chat.ask("name", person_name()), version)

    return flow


def _version(pledges: Pledges) -> Reader[str]:
    def read(answer: Answer) -> str:
        if answer.text not in pledges.versions:
            raise Rejected("pledge_paper.gone")
        return answer.text

    return Reader(read)


Draw = Callable[[str, str, str, dt.date], bytes]
"""Draws the pledge: language, name, version, day."""


@dataclass(frozen=True, slots=True)
class KeepPaper:
    """Hands the paper over as a short-lived link. Neither the paper nor the name is stored."""

    offer: Offer
    draw: Draw

    def __call__(self, wanted: Paper, turn: Turn) -> None:
        language, day = turn.language, turn.now.date()
        token, link = self.offer(
            turn.address.channel, "pakta-netralitas.pdf", "application/pdf", lambda: self.draw(language, wanted.name, wanted.version, day)
        )
        turn.document = token
        turn.say("pledge_paper.ready", link=link)
        turn.then = Go("pledge_paper", {"version": Answer(text=wanted.version)})
