"""Ten scenes to practise on, from the same entries that answer questions; the score belongs to the person, the counts to nobody."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bot.chat import Chat, Go, Name, Reader, Rejected
from bot.downloads import Offer, Serves
from bot.messages import Answer, Option
from bot.questions import choice, plain
from bot.turn import Flow, Turn
from faq.entries import Entry
from faq.scenarios import ROUNDS, Scenario, draw
from handlers.who import Search, person_name, role_and_region, told
from storage.practice import Certificates, Given, Practice, Score

ALLOWED = Option("boleh", keywords=("boleh", "ya", "b", "bole", "blh", "allowed", "yes", "ok"))
FORBIDDEN = Option("dilarang", keywords=("dilarang", "tidak boleh", "tidak", "gak boleh", "ga boleh", "ngga boleh", "d", "forbidden", "no"))
DEPENDS = Option("bersyarat", keywords=("bersyarat", "tergantung", "syarat", "s", "depends", "it depends"))
ANSWERS = (ALLOWED, FORBIDDEN, DEPENDS)
SHARE = Option("share", keywords=("kirim ke rekan", "bagikan", "share"))
START = Option("start", keywords=("mulai", "ya", "start", "ok", "oke", "lanjut"))
DAILY = Option("daily", keywords=("harian", "daily"))
DAILY_STEP = 2
"""Every second card of the day's hand: five cards, easy ones first."""

WEAKEST = 2


@dataclass(frozen=True, slots=True)
class Start:
    """Which cards to take: a seed and a round; without a seed, those of this conversation, or the five of the day."""

    seed: int | None = None
    round: int = 0
    daily: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A quiz that was answered to its end."""

    given: tuple[Given, ...]
    weak: tuple[str, ...]
    last: str
    seed: int
    round: int
    daily: bool
    role: str
    region: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the result's page needs to know; no name, no answers."""

    right: int
    of: int
    weak: tuple[str, ...]
    last: str
    seed: int
    round: int
    daily: bool
    role: str
    region: str

    def as_answer(self) -> Answer:
        """As the first answer of the flow `quiz_result`."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return Answer(text=json.dumps(fields))


def quiz(entries: Mapping[str, Entry], scenarios: Mapping[str, Scenario], search: Search) -> Flow:
    """The flow over these entries and their scenarios."""
    deck, indicators = tuple(scenarios.values()), {entry.id: entry.indicator for entry in entries.values()}

    @lru_cache(maxsize=2048)
    def hand(seed: int, number: int) -> tuple[Scenario, ...]:
        return draw(deck, indicators, seed, number)

    async def flow(chat: Chat) -> Finished:
        """Ten cards (or the five of the day): a scene, an answer, the verdict and why."""
        start = await chat.ask("ready", _ready(), rounds=ROUNDS)
        role, region = await role_and_region(chat, search)
        seed = chat.started_at.toordinal() if start.daily else _seed(chat) if start.seed is None else start.seed
        cards = hand(seed, start.round)[::DAILY_STEP] if start.daily else hand(seed, start.round)
        given: list[Given] = []
        before: Scenario | None = None
        for number, card in enumerate(cards, start=1):
            answer = await _card(chat, entries, card, before, number, len(cards))
            topic = card.entry.partition(".")[0]
            given.append(Given(topic, card.entry, answer == card.answer))
            _verdict(chat, entries[card.entry], card, right=answer == card.answer)
            before = card
        return Finished(tuple(given), weakest(given), cards[-1].id, seed, start.round, start.daily, role, region)

    return flow


def _seed(chat: Chat) -> int:
    """The conversation's seed, another one each time that the quiz is begun."""
    return chat.seed ^ (int(chat.started_at.timestamp()) & 0xFFFFFFFF)


def _ready() -> Reader[Start]:
    def read(answer: Answer) -> Start:
        words = plain(answer.text)
        if answer.choice == DAILY.value or words in DAILY.keywords:
            return Start(daily=True)
        if answer.choice == START.value or words in START.keywords:
            return Start()
        kind, _, rest = answer.choice.partition(":")
        seed, _, number = rest.partition(":")
        if kind == "round" and seed.isdigit() and number.isdigit():
            return Start(int(seed), int(number))
        raise Rejected("errors.choose_one")

    return Reader(read, options=(START, DAILY), wants="choice")


async def _card(chat: Chat, entries: Mapping[str, Entry], card: Scenario, before: Scenario | None, number: int, of: int) -> str:
    """The answer to one card; before it is given, the card before can be had as a text to pass on."""
    story = card.text_en if chat.language == "en" else card.text
    offered = ANSWERS if before is None else (*ANSWERS, SHARE)
    answer = await chat.ask(f"card.{card.id}", choice(*offered), text="card", number=number, of=of, story=story)
    if answer != SHARE.value or before is None:
        return answer
    share(chat, entries[before.entry], before)
    return await chat.ask(f"card.{card.id}.again", choice(*ANSWERS), text="card", number=number, of=of, story=story)


def _verdict(chat: Chat, entry: Entry, card: Scenario, *, right: bool) -> None:
    chat.say(
        "right" if right else "wrong",
        verdict=Name(f"self_check.verdict.{card.answer}"),
        why=card.why_en if chat.language == "en" else card.why,
        basis=_basis(entry),
    )


def share(chat: Chat, entry: Entry, card: Scenario) -> None:
    """The scene with its answer, as a text to pass on."""
    chat.say(
        ".quiz.share",
        story=card.text_en if chat.language == "en" else card.text,
        verdict=Name(f"self_check.verdict.{card.answer}"),
        why=card.why_en if chat.language == "en" else card.why,
        basis=_basis(entry),
    )


def _basis(entry: Entry) -> str:
    return "; ".join(f"{one.regulation} {one.article}".strip() for one in entry.basis[:2])


def weakest(given: Sequence[Given]) -> tuple[str, ...]:
    """For the two topics with most wrong answers, the first entry that was wrong in each."""
    wrong = [card for card in given if not card.right]
    topics = Counter(card.topic for card in wrong).most_common(WEAKEST)
    return tuple(next(card.entry for card in wrong if card.topic == topic) for topic, _ in topics)


@dataclass(frozen=True, slots=True)
class KeepQuiz:
    """Counts a finished quiz by topic, role and region, and goes on to its result."""

    practice: Practice

    def __call__(self, done: Finished, turn: Turn) -> None:
        self.practice.finished(turn.connection, turn.now.date(), done.given, done.role, done.region)
        right = sum(card.right for card in done.given)
        outcome = Outcome(right, len(done.given), done.weak, done.last, done.seed, done.round, done.daily, done.role, done.region)
        turn.then = Go("quiz_result", {"outcome": outcome.as_answer()})


# --- the result ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as it was asked for. The name is typed for the paper and stands nowhere else."""

    name: str
    outcome: Outcome


def quiz_result(entries: Mapping[str, Entry], scenarios: Mapping[str, Scenario], serves: Serves) -> Flow:
    """The flow that follows a finished quiz."""

    async def flow(chat: Chat) -> Certificate | Go | None:
        """Score, the weakest topics with their answers, a text to pass on, a certificate, and again."""
        outcome = await chat.ask("outcome", outcome_of())
        weak = [entries[known] for known in outcome.weak if known in entries]
        titles = [entry.title_en if chat.language == "en" else entry.title for entry in weak]
        learn = [Option(f"entry:{entry.id}", title) for entry, title in zip(weak, titles, strict=True)]
        wishes = ("again", "certificate", *(("share",) if outcome.last in scenarios else ()), "pledge", "enough")
        text, right, of = "wish" if titles else "wish_all_right", outcome.right, outcome.of
        wish = await chat.ask("wish", choice(*learn, *wishes), text=text, right=right, of=of, weak=titles)
        if wish == "share":
            card = scenarios[outcome.last]
            share(chat, entries[card.entry], card)
            left = choice(*learn, "again", "certificate", "pledge", "enough")
            wish = await chat.ask("wish.again", left, text=text, right=right, of=of, weak=titles)
        return await _after(chat, outcome, wish, serves)

    return flow


async def _after(chat: Chat, outcome: Outcome, wish: str, serves: Serves) -> Certificate | Go | None:
    if wish.startswith("entry:"):
        return Go("self_check", {"question": Answer(choice=wish)})
    if wish == "again":
        number = 0 if outcome.daily else outcome.round + 1
        seed = outcome.seed if not outcome.daily else _seed(chat)
        return Go("quiz", {"ready": Answer(choice=f"round:{seed}:{number}"), **told(outcome.role, outcome.region)})
    if wish == "certificate" and not serves(chat.channel):
        chat.say(".papers.nowhere")
        return Go("quiz_result", {"outcome": outcome.as_answer()})
    if wish == "certificate":
        return Certificate(await chat.ask("name", person_name()), outcome)
    if wish == "pledge":
        return Go("pledge")
    chat.say("goodbye")
    return None


def outcome_of() -> Reader[Outcome]:
    """The outcome that the quiz gave in advance; one that cannot be read is said to be gone."""

    def read(answer: Answer) -> Outcome:
        try:
            fields = json.loads(answer.text)
            return Outcome(**{**fields, "weak": tuple(fields["weak"])})
        except (ValueError, TypeError, KeyError):
            raise Rejected("quiz_result.gone") from None

    return Reader(read)


Draw = Callable[[str, str, Score, str], bytes]
"""Draws a certificate: language, name, score, code."""


@dataclass(frozen=True, slots=True)
class KeepCertificate:
    """Hands the certificate over as a short-lived link. Neither the paper nor the name is stored."""

    certificates: Certificates
    offer: Offer
    draw: Draw

    def __call__(self, wanted: Certificate, turn: Turn) -> None:
        score = Score(_day(turn), wanted.outcome.right, wanted.outcome.of)
        code, language = self.certificates.code(score), turn.language
        token, link = self.offer(
            turn.address.channel, "sertifikat-netra.pdf", "application/pdf", lambda: self.draw(language, wanted.name, score, code)
        )
        turn.document = token
        turn.say("quiz_result.certificate", link=link, code=code)
        turn.then = Go("quiz_result", {"outcome": wanted.outcome.as_answer()})


def _day(turn: Turn) -> dt.date:
    return turn.now.date()
