"""Checks what the bot knows: every entry complete and consistent, enough phrasings, redirects, calendar and weights up to date."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from faq.calendar import BadCalendar, Calendar
from faq.entries import PHRASINGS, REPORT, VERDICTS, BadEntry, Entry, Redirect, load_entries, load_phrasings, load_redirects
from faq.normalise import LEXICON
from faq.pledge import BadPledge, load_pledges
from faq.scenarios import faults, load_scenarios
from faq.versions import load_versions, stale
from faq.voices import MODEL

PHRASINGS_AT_LEAST: Final = 30
REGISTERS_AT_LEAST: Final = 6
REDIRECT_PHRASINGS_AT_LEAST: Final = 20
REPORT_PHRASINGS_AT_LEAST: Final = 300
RELATED: Final = (2, 4)
CONDITIONS: Final = (1, 3)
ASK_AT_MOST: Final = 180
REPLY_AT_MOST: Final = 300
AT_MOST: Final[Mapping[str, int]] = {
    "title": 200,
    "title_en": 200,
    "short": 400,
    "short_en": 400,
    "explanation": 900,
    "instead": 400,
    "if_happened": 400,
}
NEEDED: Final = (
    "title",
    "title_en",
    "indicator",
    "stages",
    "stage_note",
    "short",
    "short_en",
    "explanation",
    "instead",
    "if_happened",
    "ask",
)
CONFIDENCE: Final = ("high", "medium", "low")
LEADS_TO: Final = ("boleh", "dilarang", "tanya")
NEXT: Final = "next"


def scenario_problems(entries: Mapping[str, Entry]) -> list[str]:
    """What is wrong with the quiz's scenarios, with the pledge's points, and with the ledger of changed answers."""
    try:
        scenarios, pledges = load_scenarios(), load_pledges()
    except (BadEntry, BadPledge) as reason:
        return [str(reason)]
    found = faults(scenarios, entries)
    for pledge in pledges.versions.values():
        found += [f"pledge {pledge.version}: there is no entry {point.entry}" for point in pledge.points if point.entry not in entries]
    if changed := stale(entries, load_versions()):
        found.append(f"the verdict, sanction or conditions changed: {', '.join(changed)}; record it with `netra faq versions --write`")
    return found


def check() -> list[str]:
    """Every problem, one sentence each; an empty list means that all is well."""
    try:
        entries, redirects = load_entries(), load_redirects()
    except BadEntry as reason:
        return [str(reason)]
    problems = [f"{entry.id}: {problem}" for entry in entries.values() for problem in entry_problems(entry, entries)]
    problems += scenario_problems(entries)
    problems += [f"{redirect.id}: {problem}" for redirect in redirects.values() for problem in redirect_problems(redirect)]
    problems += phrasing_problems(load_phrasings(), entries, redirects)
    try:
        Calendar.load()
    except BadCalendar as reason:
        problems.append(str(reason))
    return problems + list(model_problems())


def entry_problems(entry: Entry, entries: Mapping[str, Entry]) -> Iterator[str]:
    """What is wrong with one entry."""
    for name in NEEDED:
        if not getattr(entry, name).strip():
            yield f"{name} is empty"
    for name, most in AT_MOST.items():
        if len(getattr(entry, name)) > most:
            yield f"{name} has {len(getattr(entry, name))} characters, at most {most} are allowed"
    if entry.verdict not in VERDICTS:
        yield f"{entry.verdict!r} is not a verdict"
    if entry.confidence not in CONFIDENCE:
        yield f"{entry.confidence!r} is not a confidence"
    elif entry.confidence != "high" and not entry.uncertain.strip():
        yield "confidence is not high, but nothing is said to be uncertain"
    if not entry.sources:
        yield "there is no source"
    if not RELATED[0] <= len(set(entry.related)) <= RELATED[1]:
        yield f"{RELATED[0]} to {RELATED[1]} related entries are needed"
    for name in entry.related:
        if name not in entries or name == entry.id:
            yield f"related to {name!r}, which is no other entry"
    if not entry.basis:
        yield "there is no legal basis"
    for basis in entry.basis:
        if not (basis.regulation.strip() and basis.article.strip() and basis.says.strip()):
            yield "a legal basis is incomplete"
    if not (entry.sanction.before.strip() and entry.sanction.after.strip()):
        yield "the sanction is incomplete"
    yield from _condition_problems(entry)


def _condition_problems(entry: Entry) -> Iterator[str]:
    if entry.verdict != "bersyarat":
        if entry.conditions or entry.outcomes:
            yield f"a verdict of {entry.verdict} has no conditions"
        return
    if not CONDITIONS[0] <= len(entry.conditions) <= CONDITIONS[1]:
        yield f"{CONDITIONS[0]} to {CONDITIONS[1]} conditions are needed"
    led_to = set()
    for place, condition in enumerate(entry.conditions):
        last = place == len(entry.conditions) - 1
        if not (condition.ask.strip() and condition.ask_en.strip()):
            yield f"condition {place + 1} has no question"
        if max(len(condition.ask), len(condition.ask_en)) > ASK_AT_MOST:
            yield f"condition {place + 1} has more than {ASK_AT_MOST} characters"
        for answer in (condition.yes, condition.no):
            if answer == NEXT:
                if last:
                    yield "the last condition leads to no outcome"
            elif answer not in entry.outcomes:
                yield f"condition {place + 1} leads to {answer!r}, which is no outcome"
            led_to.add(answer)
        if condition.yes == condition.no:
            yield f"condition {place + 1} leads to the same whatever the answer"
    for name, outcome in entry.outcomes.items():
        if name not in led_to:
            yield f"nothing leads to the outcome {name!r}"
        if outcome.verdict not in LEADS_TO:
            yield f"outcome {name!r}: {outcome.verdict!r} is not a verdict"
        for text in (outcome.text, outcome.text_en):
            if not text.strip() or len(text) > AT_MOST["short"]:
                yield f"outcome {name!r}: a text is empty or longer than {AT_MOST['short']} characters"


def redirect_problems(redirect: Redirect) -> Iterator[str]:
    """What is wrong with one redirect."""
    for name in ("title", "title_en", "reply", "reply_en"):
        if not getattr(redirect, name).strip():
            yield f"{name} is empty"
    for name in ("reply", "reply_en"):
        if len(getattr(redirect, name)) > REPLY_AT_MOST:
            yield f"{name} has more than {REPLY_AT_MOST} characters"


def phrasing_problems(
    phrasings: Iterator[tuple[str, str, str]], entries: Mapping[str, Entry], redirects: Mapping[str, Redirect]
) -> list[str]:
    """Who has too few phrasings, and which phrasings belong to nobody or stand twice."""
    texts: dict[str, set[str]] = defaultdict(set)
    registers: dict[str, set[str]] = defaultdict(set)
    problems = []
    for register, name, phrasing in phrasings:
        if name != REPORT and name not in entries and name not in redirects:
            problems.append(f"{register}.tsv: {name!r} is no entry: {phrasing[:60]}")
        texts[name].add(phrasing.casefold())
        registers[name].add(register)
    for name in entries:
        if len(texts[name]) < PHRASINGS_AT_LEAST:
            problems.append(f"{name}: {len(texts[name])} phrasings, at least {PHRASINGS_AT_LEAST} are needed")
        if len(registers[name]) < REGISTERS_AT_LEAST:
            problems.append(f"{name}: phrasings in {len(registers[name])} registers, at least {REGISTERS_AT_LEAST} are needed")
    for name in redirects:
        if len(texts[name]) < REDIRECT_PHRASINGS_AT_LEAST:
            problems.append(f"{name}: {len(texts[name])} phrasings, at least {REDIRECT_PHRASINGS_AT_LEAST} are needed")
    if len(texts[REPORT]) < REPORT_PHRASINGS_AT_LEAST:
        problems.append(f"{REPORT}: {len(texts[REPORT])} phrasings, at least {REPORT_PHRASINGS_AT_LEAST} are needed")
    return problems


def model_problems() -> Iterator[str]:
    """Are the weights there, and built from what there is now?"""
    path = MODEL / "model.json"
    if not path.exists():
        yield "there are no weights: run `netra faq train`"
    elif json.loads(path.read_text(encoding="utf-8")).get("sources") != source_hash():
        yield "the weights are older than entries, phrasings or word lists: run `netra faq train`"


RECIPE: Final = 1
"""Raised whenever the code makes other weights of the same sources."""


def source_hash() -> str:
    """What the weights depend on, in one short word: names, titles and verdicts, phrasings, word lists."""
    digest = hashlib.blake2b(f"{RECIPE}\0".encode(), digest_size=16)
    known = [(entry.id, entry.title, entry.verdict) for entry in load_entries().values()]
    known += [(redirect.id, redirect.title, "") for redirect in load_redirects().values()]
    digest.update(json.dumps(known, ensure_ascii=False).encode())
    for path in (*sorted(PHRASINGS.glob("*.tsv")), *sorted(PHRASINGS.glob("*.toml")), *sorted(LEXICON.glob("*.tsv"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
