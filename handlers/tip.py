"""An anonymous tip: asked for step by step, shown as a whole, sealed and sent."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.chat import Chat, Go, Name, Reader, Rejected
from bot.messages import Answer, Option
from bot.questions import NO, YES, captions, choice, collect, either, found_by, past_day, plain, text
from bot.quotas import Quotas
from bot.receipts import LastGroups
from bot.turn import Flow, NotReady, Turn
from faq.regions import Region
from handlers.identity import Identity, without_identity
from storage.cases import Cases, NewTip
from storage.originals import Waiting
from storage.vault import FreshReceipt, grouped

KINDS = {
    "karier": ("tekanan", "mutasi", "janji_jabatan", "karier_lain"),
    "partai": ("anggota_partai", "acara_partai", "partai_lain"),
    "kampanye": ("media_sosial", "hadir_kampanye", "atribut", "ajakan", "uang", "kampanye_lain"),
    "pelayanan": ("fasilitas", "bansos", "pilih_kasih", "pelayanan_lain"),
}
"""The four indicators of neutrality and the kinds of violation under each."""

UNSURE = Option("unsure", keywords=("tidak tahu", "tidak yakin", "lupa", "entah", "ga tau", "gatau", "gak tahu", "not sure"))
WHAT_AT_LEAST, WHAT_AT_MOST, WHO_AT_MOST, MORE_AT_MOST = 20, 3000, 300, 1500
MOST_PHOTOS = 10
RECEIVING_OFFICES = re.compile(
    r"(?i)\b(?:bawaslu|panwas\w*|inspektorat|inspektur|itwil|bkpsdm|bkd|bkn|gakkumdu|tim (?:pengawas|penelaah))\b"
)
"""Offices in which the receivers of tips may work."""

SUMS = {
    4: ("empat", "four"), 5: ("lima", "five"), 6: ("enam", "six"), 7: ("tujuh", "seven"), 8: ("delapan", "eight"),
    9: ("sembilan", "nine"), 10: ("sepuluh", "ten"), 11: ("sebelas", "eleven"), 12: ("dua belas", "twelve"),
}  # fmt: skip
PLACES = 7
"""So many places are offered at once: with "none", back and cancel the ten rows of a list."""
EDITABLE = ("indicator", "where", "when", "what", "who", "photos", "more")


@dataclass(frozen=True, slots=True)
class Tip:
    """A tip as its sender confirmed it."""

    indicator: str
    kind: str
    region: Region | None
    day: dt.date | None
    what: str
    who: str
    photos: tuple[str, ...]
    more: str
    above: bool = False
    originals: bool = False


class Search(Protocol):
    """Finds regions by what people call them."""

    def __call__(self, words: str) -> Sequence[Region]: ...


def tip(search: Search, identity: Identity) -> Flow:
    """The flow, given how regions and identities are found."""

    async def flow(chat: Chat) -> Tip | None:
        """Take an anonymous tip: kind, place, day, what, who, photos, more; then show it and send it."""
        chat.say("promise")
        indicator = await chat.ask("indicator", choice(*KINDS, "other"))
        kind = "other" if indicator == "other" else await chat.ask("kind", choice(*KINDS[indicator]))
        region = await _place(chat, search)
        day = await chat.ask("when", past_day(chat.now.date(), unsure=UNSURE))
        what = await chat.ask("what", text(at_least=WHAT_AT_LEAST, at_most=WHAT_AT_MOST))
        who = await chat.ask("who", text(at_most=WHO_AT_MOST, optional=True))
        above = await _concerns_receivers(chat, f"{what} {who}")
        photos = await collect(chat, "photos", at_most=MOST_PHOTOS)
        originals = await _keep_originals(chat, photos)
        more = await _anything_more(chat, what, who, day, photos)
        more = " ".join(part for part in (captions(chat, "photos"), more) if part)
        what, who, more = await without_identity(chat, identity, what, who, more)
        draft = Tip(indicator, kind, region, day, what, who, tuple(photos), more, above, originals)
        await _patience(chat)
        return draft if await _sure(chat, draft) else None

    return flow


async def _place(chat: Chat, search: Search) -> Region | None:
    """A region by its name; several that fit are offered, none is an answer too."""
    for attempt in range(5):
        suffix = f".{attempt}" if attempt else ""
        found = await chat.ask(f"where{suffix}", either((UNSURE,), found_by(search)), text="where")
        if isinstance(found, str):
            return None
        if len(found) == 1:
            return found[0]
        offered = tuple(Option(region.code, region.name, region.within) for region in found[:PLACES])
        code = await chat.ask(f"where_which{suffix}", choice(*offered, Option("none")), text="where_which")
        if code != "none":
            return next(region for region in found if region.code == code)
    return None


async def _concerns_receivers(chat: Chat, words: str) -> bool:
    """A tip about an office that may receive it goes to the next level up; asked only where such an office is named."""
    return bool(RECEIVING_OFFICES.search(words)) and await chat.ask("above", choice(YES, NO)) == "yes"


async def _keep_originals(chat: Chat, photos: Sequence[str]) -> bool:
    """Whether the untouched originals are kept for a court; not asked where only this server could keep them."""
    return chat.reads.originals_there(photos) and await chat.ask("originals", choice(NO, YES)) == "yes"


async def _patience(chat: Chat) -> None:
    """In a flood of tips a small sum, which a person does at once; nobody is locked out."""
    if "patience" not in chat.answers and not chat.reads.surge():
        return
    one, other = 2 + chat.seed % 5, 2 + chat.seed // 5 % 5

    def read(answer: Answer) -> int:
        if plain(answer.text) not in (str(one + other), *SUMS[one + other]):
            raise Rejected("tip.patience_wrong")
        return one + other

    await chat.ask("patience", Reader(read), one=Name(f"tip.numbers.{one}"), other=Name(f"tip.numbers.{other}"))


async def _anything_more(chat: Chat, what: str, who: str, day: dt.date | None, photos: Sequence[str]) -> str:
    """Say once, kindly, what would make the tip easier to follow up; anything more is welcome, nothing is required."""
    missing = [
        name for name, absent in (("who", not who), ("when", day is None), ("photos", not photos), ("short", len(what) < 80)) if absent
    ]
    return await chat.ask("more", text(at_most=MORE_AT_MOST, optional=True), text=f"more_{missing[0]}" if missing else "more")


async def _sure(chat: Chat, draft: Tip) -> bool:
    """Show the whole tip; send, change one answer, or drop it."""
    answered = [name for name in EDITABLE if name in chat.answers]
    options = (
        Option("send", keywords=("kirim", "send", "ya", "ok", "oke")),
        *(Option(f"edit:{name}") for name in answered),
    )
    await chat.confirm(
        "send",
        choice(*options),
        indicator=Name(f"tip.options.indicator.{draft.indicator}"),
        kind=Name(f"tip.options.kind.{draft.kind}") if draft.kind != "other" else "",
        region=draft.region.path if draft.region else "",
        day=draft.day.strftime("%d/%m/%Y") if draft.day else "",
        their_what=draft.what,
        their_who=draft.who,
        their_more=draft.more,
        photos=len(draft.photos) or "",
        alike=Name("tip.photos_alike") if len(draft.photos) > 1 and chat.reads.photos_alike(draft.photos) else "",
        originals=Name("tip.originals_kept") if draft.originals else "",
        above=Name("tip.goes_above") if draft.above else "",
    )
    return True


@dataclass(frozen=True, slots=True)
class KeepTip:
    """Seals a tip; runs once, in the transaction that ends the conversation."""

    cases: Cases
    receipt: Callable[[], FreshReceipt | None]
    last_groups: LastGroups
    quotas: Quotas
    originals: Waiting

    def __call__(self, tip: Tip, turn: Turn) -> None:
        if not self.quotas.may_send_tip(turn.address):
            raise Rejected("tip.enough_today")
        if not self.cases.ready(turn.connection):
            raise Rejected("tip.no_team")
        fresh = self.receipt()
        if fresh is None:
            raise NotReady("receipt")
        new = NewTip(
            day=turn.now.date(),
            language=turn.language,
            facts={
                "indicator": tip.indicator,
                "kind": tip.kind,
                "region": tip.region.code if tip.region else "",
                "region_name": tip.region.path if tip.region else "",
                "when": tip.day.isoformat() if tip.day else "",
                "what": tip.what,
                "who": tip.who,
                "more": tip.more,
                "above": tip.above,
            },
            photos=tip.photos,
            region=tip.region.code if tip.region else "",
            above=tip.above,
            originals=self.originals.of(tip.photos) if tip.originals else {},
        )
        case = self.cases.open(turn.connection, turn.address, new, fresh.receipt)
        self.quotas.tip_sent(turn.address)
        turn.say_secret("tip.receipt", code=grouped(fresh.code), alias=self.cases.alias(turn.connection, case))
        turn.then = Go("saved_code", {"handle": Answer(text=self.last_groups.keep(fresh.code))})
