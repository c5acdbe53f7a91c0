"""Reminders: who wants them gets them, and who says stop is left alone at once, in every state of a conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.chat import Chat, Name
from bot.messages import Option
from bot.questions import NO, YES, choice, either, found_by
from bot.turn import Flow, Turn
from faq.regions import Region
from storage.subscribers import CHANNELS, KINDS, ROLES, Subscribers, Wish

STOP_WORDS = (
    "berhenti",
    "stop",
    "unsubscribe",
    "henti",
    "berhenti langganan",
    "berhenti berlangganan",
    "stop langganan",
    "stop pengingat",
    "berhenti pengingat",
    "jangan kirim lagi",
    "/berhenti",
    "/stop",
    "/unsubscribe",
)
EVERYWHERE = Option("everywhere", keywords=("semua", "semua daerah", "seluruh indonesia", "indonesia", "nasional", "all"))
REGENCY = 5
"""Length of a regency's code: a district would say more of a subscriber than a reminder needs."""


def subscribe(search: Callable[[str], Sequence[Region]]) -> Flow:
    """The flow, given how regions are found."""

    async def flow(chat: Chat) -> Wish | str | None:
        """Ask role, region and kinds of reminder, then for consent; who subscribed before may change or stop."""
        if chat.channel not in CHANNELS:
            chat.say("only_messengers")
            return None
        known = chat.reads.subscription()
        if known is not None:
            wish = await chat.ask(
                "next", choice("change", "stop", "keep"), role=Name(f"subscribe.options.role.{known.role}"), kinds=_names(known.kinds)
            )
            if wish != "change":
                return "stop" if wish == "stop" else None
        role = await chat.ask("role", choice(*ROLES))
        region = await _region(chat, search)
        picked = await chat.ask("kinds", choice("all", *KINDS))
        kinds = KINDS if picked == "all" else (picked,)
        agreed = await chat.confirm(
            "consent",
            choice(Option("agree", keywords=YES.keywords), Option("refuse", keywords=NO.keywords)),
            role=Name(f"subscribe.options.role.{role}"),
            region=region.path if region else Name("subscribe.options.region.everywhere"),
            kinds=_names(kinds),
        )
        if agreed == "refuse":
            chat.say("refused")
            return None
        return Wish(role, region.code[:REGENCY] if region else "", chat.language, kinds)

    return flow


def _names(kinds: Sequence[str]) -> list[Name]:
    return [Name(f"subscribe.options.kinds.{kind}") for kind in kinds]


async def _region(chat: Chat, search: Callable[[str], Sequence[Region]]) -> Region | None:
    """A region by its name, or none for reminders of the whole country."""
    found = await chat.ask("region", either((EVERYWHERE,), found_by(search)))
    if isinstance(found, str):
        return None
    if len(found) == 1:
        return found[0]
    offered = tuple(Option(region.code, region.name, region.within) for region in found[:8])
    code = await chat.ask("region_which", choice(*offered))
    return next(region for region in found if region.code == code)


@dataclass(frozen=True, slots=True)
class KeepSubscription:
    """Writes the subscription, or ends it."""

    subscribers: Subscribers

    def __call__(self, wish: Wish | str, turn: Turn) -> None:
        if isinstance(wish, str):
            self.subscribers.stop(turn.connection, turn.address)
            turn.say("stop.done")
        else:
            self.subscribers.subscribe(turn.connection, turn.address, wish, turn.now.date())
            turn.say("subscribe.done")


async def stop(chat: Chat) -> str:
    """No more reminders; asks nothing, so that it can be done in between."""
    return "stop"


@dataclass(frozen=True, slots=True)
class KeepStop:
    """Ends the subscription, if there is one, and says so."""

    subscribers: Subscribers

    def __call__(self, _: str, turn: Turn) -> None:
        turn.say("stop.done" if self.subscribers.stop(turn.connection, turn.address) else "stop.none")
