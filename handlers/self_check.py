"""May I do this? From a person's own words to a verdict with its legal basis; conditions are asked, never assumed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from bot.chat import Chat, Go, Link, Name, Reader, Rejected, Said
from bot.messages import Answer, Option
from bot.questions import NO, YES, choice, either, text
from bot.turn import Flow, Turn
from faq.entries import Entry
from faq.match import Faq, Found
from faq.versions import Version
from storage.counts import Counts

ASKS_LENGTH = 1500
BROWSE = Option("browse", keywords=("topik", "pilih topik", "topics"))
TOPICS = (
    *("sosmed", "kampanye", "foto", "atribut", "keluarga", "pengaruh", "pelayanan"),
    *("pemungutan", "fasilitas", "karier", "keputusan", "lapor", "masa-tenang", "partai"),
    *("pencalonan", "status", "uang", "umum"),
)
PAGE = 7
"""So many rows of a list, so that "more", back and cancel have room beside them."""
ASIDE_LENGTH = 200
"""Words longer than this, where any words are taken, are a story and not a question."""
TELLS_ENOUGH = 20
"""A report of so many characters is carried over into the tip (as long as the tip's own least)."""
STRICT = {"dilarang": 0, "tanya": 1, "bersyarat": 2, "boleh_syarat": 3, "boleh": 4}
OPENS_A_QUESTION = re.compile(
    r"^(?:(?:min|kak|pak|bu|apakah|apa|kalau|kalo|klo|terus|trus|eh|mau tanya|tanya)[ ,]+)*"
    r"(?:boleh|bole|blh|bisakah|bolehkah|may i|can i|am i allowed)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Feedback:
    """Whether an answer helped, and, with consent, the words that found none."""

    entry: str
    helpful: bool
    words: str = ""
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    words: str = ""
    entry: str = ""
    browse: bool = False
    photos: Answer | None = None
    day: str = ""


def self_check(faq: Faq, versions: Mapping[str, Version] = MappingProxyType({})) -> Flow:
    """The flow over this FAQ, which says when an answer that was shared has changed since."""

    async def flow(chat: Chat) -> Feedback | Go | None:
        """Find what is meant, answer it, and stay for what follows."""
        asked = await chat.ask("question", _question(faq))
        today = date.fromisoformat(asked.day) if asked.day else chat.now.date()
        if asked.photos:
            return Go("tip", {"photos": asked.photos})
        if asked.browse:
            return await _answers(chat, faq, (await _browse(chat, faq),), asked.words, today)
        if asked.entry:
            _say_changed(chat, versions.get(asked.entry))
            return await _answers(chat, faq, (asked.entry,), "", today)
        found = faq.ask(asked.words, today)
        chat.count(f"self_check.{found.outcome}")
        if found.outcome == "report":
            wish = await chat.ask("report", choice(Option("report_yes", keywords=YES.keywords), Option("report_no", keywords=NO.keywords)))
            if wish == "report_yes":
                return _reported(chat, asked.words)
        if found.outcome == "decline":
            return _declined(chat, found)
        entries = found.entries
        if found.outcome != "answer":
            picked = await _pick_one(chat, faq, found, "which")
            if picked is None:
                return await _no_answer(chat, asked.words, found)
            entries = (picked,)
        if found.about_another:
            chat.say("about_another")
        return await _answers(chat, faq, entries, asked.words, found.day or today)

    return flow


def _reported(chat: Chat, words: str) -> Go:
    """On to the tip, with what was told already."""
    if len(words) < TELLS_ENOUGH:
        return Go("tip")
    chat.say("report_carried")
    return Go("tip", {"what": Answer(text=words)})


def _question(faq: Faq) -> Reader[_Asked]:
    words = text(at_most=ASKS_LENGTH)

    def read(answer: Answer) -> _Asked:
        if answer.choice.startswith("entry:"):
            entry = answer.choice.removeprefix("entry:")
            if entry not in faq.entries:
                raise Rejected("self_check.decline")
            return _Asked(entry=entry, day=answer.day)
        if answer.choice == BROWSE.value or answer.text.strip().lower() in BROWSE.keywords:
            return _Asked(browse=True, day=answer.day)
        if answer.photos:
            return _Asked(photos=answer)
        return _Asked(words=words.read(answer), day=answer.day)

    return Reader(read, options=(BROWSE,), free_text=True)


def _words_or_photos() -> Reader[str | Answer]:
    """Words are the next question, photos the start of a tip."""
    words = text(at_most=ASKS_LENGTH)
    return Reader(lambda answer: answer if answer.photos else words.read(answer), free_text=True)


async def _pick_one(chat: Chat, faq: Faq, found: Found, name: str) -> str | None:
    """One of the nearest entries, or None when none is meant."""
    nearest = [candidate.entry for candidate in found.candidates[:3] if candidate.entry in faq.entries]
    if not nearest:
        return None
    offered = tuple(Option(entry, _title(chat, faq.entries[entry])) for entry in nearest)
    picked = await chat.ask(name, choice(*offered, Option("none", keywords=NO.keywords)))
    return None if picked == "none" else picked


def _declined(chat: Chat, found: Found) -> Go:
    if found.redirect is not None:
        chat.say("redirect", reply=found.redirect.reply_en if chat.language == "en" else found.redirect.reply)
    else:
        chat.say("decline")
    return Go("menu")


async def _no_answer(chat: Chat, words: str, found: Found) -> Feedback | None:
    """Nothing offered was meant: with consent, the wording goes to the curators."""
    nearest = tuple(candidate.entry for candidate in found.candidates[:3])
    agreed = await chat.ask("consent", choice(YES, NO))
    chat.say("decline")
    return Feedback("", False, words, nearest) if agreed == "yes" else None


async def _browse(chat: Chat, faq: Faq) -> str:
    """An entry chosen by topic."""
    known = {entry.id.split(".")[0] for entry in faq.entries.values()}
    topic = await _paged(chat, "topic", [Option(topic) for topic in TOPICS if topic in known], Option("more_topics"))
    entries = [entry for entry in faq.entries.values() if entry.id.split(".")[0] == topic]
    return await _paged(chat, "pick", [Option(entry.id, _title(chat, entry)) for entry in entries], Option("more_entries"))


async def _paged(chat: Chat, name: str, options: Sequence[Option], more: Option) -> str:
    """One of many options, shown page by page."""
    for start in range(0, len(options), PAGE):
        rest = (more,) if start + PAGE < len(options) else ()
        picked = await chat.ask(f"{name}.{start}" if start else name, choice(*options[start : start + PAGE], *rest), text=name)
        if picked != more.value:
            return picked
    raise AssertionError("the last page has no more")


async def _answers(chat: Chat, faq: Faq, entries: Sequence[str], words: str, day: date) -> Feedback | Go | None:
    """Each act in turn, the strictest first; what the person chooses last decides how it goes on."""
    ending: Feedback | Go | None = None
    for number, entry in enumerate(entries):
        if number:
            chat.say("second")
        ending = await _answer(chat, faq, faq.entries[entry], words, day, number, last=number == len(entries) - 1)
        if isinstance(ending, Go):
            return ending
    return ending


async def _answer(chat: Chat, faq: Faq, entry: Entry, words: str, day: date, number: int, *, last: bool) -> Feedback | Go | None:
    chat.count(f"asked.{entry.id}")
    title = _title(chat, entry)
    outcome = await _outcome(chat, entry, title, number)
    if outcome:
        verdict, told = outcome
        chat.say("outcome", title=title, verdict=Name(f"self_check.verdict.{verdict}"), outcome=told)
    else:
        chat.say("card", title=title, verdict=Name(f"self_check.verdict.{entry.verdict}"), short=_short(chat, entry))
    _surroundings(chat, faq, entry, day)
    if not last:
        return None
    return await _afterwards(chat, faq, entry, title, words, day, number)


async def _outcome(chat: Chat, entry: Entry, title: str, number: int) -> tuple[str, str] | None:
    """The definite outcome of a conditional entry."""
    if entry.verdict != "bersyarat" or not entry.conditions:
        return None
    for step, condition in enumerate(entry.conditions):
        asked = condition.ask_en if chat.language == "en" else condition.ask
        said = await chat.ask(f"condition.{number}.{step}", choice(YES, NO), text="condition", title=title, question=asked)
        key = condition.yes if said == "yes" else condition.no
        if key != "next":
            result = entry.outcomes[key]
            verdict = "boleh_syarat" if result.verdict == "boleh" else result.verdict
            return verdict, result.text_en if chat.language == "en" else result.text
    return None


def _say_changed(chat: Chat, version: Version | None) -> None:
    """Whoever follows a link may remember another answer."""
    if version is not None and version.changed:
        chat.say("changed", day=_day(version.since), what=[Name(f"self_check.changes.{what}") for what in version.changed])


def _surroundings(chat: Chat, faq: Faq, entry: Entry, day: date) -> None:
    """What depends on the day: the stage, an election that is over; and what is uncertain."""
    election = faq.calendar.election()
    if election.over(day):
        chat.say("election_over", election=election.title_en if chat.language == "en" else election.title, vote=_day(election.vote))
    else:
        stage = election.stage(day)
        chat.say("stage_now", day=_day(day), stage=stage.name_en if chat.language == "en" else stage.name)
    if entry.uncertain:
        chat.say("uncertain", what=entry.uncertain, ask=entry.ask)


async def _afterwards(chat: Chat, faq: Faq, entry: Entry, title: str, words: str, day: date, number: int) -> Feedback | Go | None:
    """Legal basis, sanction, what instead, a text to pass on; as often as wanted."""
    left = ["basis", "sanction", "instead", "share", "again", "tip", "helpful", "not_helpful"]
    for step in range(len(left)):
        reader = either([Option(one) for one in left], _words_or_photos())
        wish = await chat.ask(f"next.{number}.{step}", reader, text="more")
        if isinstance(wish, Answer):
            return Go("tip", {"photos": wish})
        if wish == "again":
            return Go("self_check")
        if wish == "tip":
            return Go("tip")
        if wish == "helpful":
            chat.say("thanks")
            return Feedback(entry.id, True)
        if wish == "not_helpful":
            return await _not_helpful(chat, faq, entry, words, number)
        if wish not in left:
            return Go("self_check", {"question": Answer(text=wish)})
        _tell(chat, faq, entry, title, wish, day)
        left.remove(wish)
    return None


def _tell(chat: Chat, faq: Faq, entry: Entry, title: str, wish: str, day: date) -> None:
    reviewed = _day(entry.reviewed)
    if wish == "basis":
        basis = [f"{one.regulation}, {one.article}: {one.says}" if one.article else f"{one.regulation}: {one.says}" for one in entry.basis]
        chat.say("basis", basis=basis, reviewed=reviewed)
    elif wish == "sanction":
        before = faq.calendar.election().before_candidates(day)
        pns = entry.sanction.before if before else entry.sanction.after
        pppk = entry.sanction.before_pppk if before else entry.sanction.after_pppk
        stage = Name("self_check.sanction_before" if before else "self_check.sanction_after")
        chat.say("sanction", stage=stage, pns=pns, pppk=pppk or pns)
    elif wish == "instead":
        chat.say("instead", instead=entry.instead, happened=entry.if_happened, ask=entry.ask)
    elif wish == "share":
        basis_line = "; ".join(f"{one.regulation} {one.article}".strip() for one in entry.basis[:2])
        verdict = Name(f"self_check.verdict.{entry.verdict}")
        chat.say(
            "share",
            title=title,
            verdict=verdict,
            short=_short(chat, entry),
            basis=basis_line,
            reviewed=reviewed,
            card=Link(f"/kartu/{entry.id}.png"),
        )


async def _not_helpful(chat: Chat, faq: Faq, entry: Entry, words: str, number: int) -> Feedback | Go | None:
    """Three other topics that may be meant; after that, with consent, the wording goes to the curators."""
    found = faq.ask(words, chat.now.date()) if words else None
    nearest = [candidate.entry for candidate in found.candidates if candidate.entry != entry.id][:3] if found else list(entry.related[:3])
    nearest = [known for known in nearest if known in faq.entries]
    offered = [Option(known, _title(chat, faq.entries[known])) for known in nearest]
    picked = await chat.ask(f"nearest.{number}", choice(*offered, Option("none", keywords=NO.keywords)), text="nearest")
    if picked != "none":
        return Go("self_check", {"question": Answer(choice=f"entry:{picked}")})
    agreed = await chat.ask("consent", choice(YES, NO)) if words else "no"
    return Feedback(entry.id, False, words if agreed == "yes" else "", tuple(nearest))


def _title(chat: Chat, entry: Entry) -> str:
    return entry.title_en if chat.language == "en" else entry.title


def _short(chat: Chat, entry: Entry) -> str:
    return entry.short_en if chat.language == "en" else entry.short


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"


@dataclass(frozen=True, slots=True)
class KeepFeedback:
    """Counts whether answers help; keeps the words of a question only with consent, personal data masked."""

    counts: Counts
    masked: Callable[[str], str]

    def __call__(self, feedback: Feedback, turn: Turn) -> None:
        if feedback.entry:
            wish = "helpful" if feedback.helpful else "not_helpful"
            self.counts.add(turn.connection, turn.now.date(), f"{wish}.{feedback.entry}")
        if feedback.words:
            self.counts.keep_unanswered(turn.connection, turn.now.date(), self.masked(feedback.words), feedback.nearest)
            turn.say("self_check.noted")


def aside(faq: Faq) -> Callable[[str, bool, str, datetime], Sequence[Said] | None]:
    """Answers a question to the FAQ that comes in the middle of another conversation, in one short card."""

    def answer(words: str, free_text: bool, language: str, now: datetime) -> Sequence[Said] | None:
        if free_text and (len(words) > ASIDE_LENGTH or not OPENS_A_QUESTION.match(words.strip())):
            return None
        found = faq.ask(words, now.date())
        if found.outcome != "answer":
            return None
        cards = []
        for known in found.entries:
            entry = faq.entries[known]
            title, short = (entry.title_en, entry.short_en) if language == "en" else (entry.title, entry.short)
            cards.append(Said("self_check.aside", {"title": title, "verdict": Name(f"self_check.verdict.{entry.verdict}"), "short": short}))
        return cards

    return answer
