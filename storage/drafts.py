"""What a broadcast says, to whom, and when; and what keeps it from being proposed. `docs/broadcasts.md` has the reasons."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from storage.subscribers import CHANNELS, KINDS, ROLES, ZONES, zone_of

EARLIEST, LATEST = "07:00", "20:00"
"""Outside of these hours nobody is written to, wherever they live."""

TELEGRAM_AT_MOST, SESSION_AT_MOST, TEMPLATE_AT_MOST, FOOTER_AT_MOST = 4096, 1600, 1024, 200
"""Characters (Bot API; Twilio: text in the 24-hour window, approved template), and what the line about stopping takes."""
VARIABLES_AT_MOST, TITLE_AT_MOST = 100, 120
LANGUAGES = ("id", "en")

LINK = re.compile(r"(?i)[a-z][a-z0-9+.-]*://\S+|(?<![\w.-])(?:[\w-]+\.)+[^\W\d_]{2,24}(?![\w-])(?:/\S*)?")
MENTION = re.compile(r"(?<![\w/])@\w{2,}")
VARIABLE = re.compile(r"\{\{(\d+)\}\}")
STOP_WORD = re.compile(r"(?i)\b(?:berhenti|stop)\b")
"""A template is sent as Meta approved it: nothing can be added under it, so it has to say itself how to stop."""
TEMPLATE_ID = re.compile(r"HX[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is meant; an empty part means everybody. Regions are Kemendagri codes and hold what lies within them."""

    channels: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def overlaps(self, other: Audience) -> bool:
        """Whether somebody may belong to both."""
        parts = ((self.channels, other.channels), (self.roles, other.roles), (self.languages, other.languages))
        if any(one and two and not set(one) & set(two) for one, two in parts):
            return False
        if not self.regions or not other.regions:
            return True
        return any(_within(one, two) or _within(two, one) for one in self.regions for two in other.regions)

    @property
    def zones(self) -> tuple[str, ...]:
        """The time zones in which they live, the earliest morning first."""
        found = set(ZONES) if not self.regions else {zone_of(region) for region in self.regions}
        return tuple(zone for zone in ("WIT", "WITA", "WIB") if zone in found)


@dataclass(frozen=True, slots=True)
class OnWhatsApp:
    """What WhatsApp subscribers get: an approved template with its values, or words inside the 24-hour window; either may be empty."""

    template: str = ""
    wording: str = ""
    values: tuple[str, ...] = ()
    session: str = ""

    @property
    def filled(self) -> str:
        """The template as it is read."""
        return VARIABLE.sub(lambda match: self.values[int(match[1]) - 1] if int(match[1]) <= len(self.values) else match[0], self.wording)


@dataclass(frozen=True, slots=True)
class When:
    """The days and hours, each in the subscriber's own time zone; `label` says how the day was chosen (H-3, masa-tenang ...)."""

    day: dt.date
    last: dt.date
    start: str = "08:00"
    end: str = LATEST
    label: str = ""

    def opens(self, zone: str, now: datetime) -> float | None:
        """0 when it is allowed now in this zone, else the unix time when it will be; None when it will not be any more."""
        local = now.astimezone(ZONES[zone])
        begin, end = dt.time.fromisoformat(self.start), dt.time.fromisoformat(self.end)
        day = max(self.day, local.date())
        while day <= self.last:
            opening, closing = (datetime.combine(day, time, ZONES[zone]) for time in (begin, end))
            if local < opening:
                return opening.timestamp()
            if local < closing:
                return 0.0
            day += dt.timedelta(days=1)
        return None

    def first(self, zone: str) -> int:
        """The unix time at which it begins in a zone."""
        return int(datetime.combine(self.day, dt.time.fromisoformat(self.start), ZONES[zone]).timestamp())


@dataclass(frozen=True, slots=True)
class Draft:
    """A broadcast's content: everything that an approval is bound to."""

    title: str
    kind: str
    when: When
    audience: Audience = field(default_factory=Audience)
    telegram: Mapping[str, str] = field(default_factory=dict)
    whatsapp: Mapping[str, OnWhatsApp] = field(default_factory=dict)
    countries: tuple[str, ...] = ("62", "ID")
    """WhatsApp prices differ by country: only numbers with these codes (or business-scoped ids of these countries) are written to."""
    templates_at_most: int = 0
    """The budget: so many template messages, then the rest is skipped; 0: no limit."""
    again: int = 0
    """Only those whom this earlier broadcast failed to reach."""

    def body(self) -> str:
        """The content as one text, always the same for the same content."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, default=str)

    @property
    def digest(self) -> str:
        """SHA-256 of the content: what an approver has seen."""
        return hashlib.sha256(self.body().encode()).hexdigest()

    @classmethod
    def read(cls, body: str) -> Draft:
        """The content that `body` wrote."""
        data = json.loads(body)
        when = data["when"] | {name: dt.date.fromisoformat(data["when"][name]) for name in ("day", "last")}
        return cls(
            title=data["title"],
            kind=data["kind"],
            when=When(**when),
            audience=Audience(**{name: tuple(values) for name, values in data["audience"].items()}),
            telegram=data["telegram"],
            whatsapp={language: OnWhatsApp(**(said | {"values": tuple(said["values"])})) for language, said in data["whatsapp"].items()},
            countries=tuple(data["countries"]),
            templates_at_most=data["templates_at_most"],
            again=data["again"],
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels for which there is a text and an audience."""
        texts = {"telegram": self.telegram, "whatsapp": self.whatsapp}
        return tuple(name for name in CHANNELS if texts[name] and (not self.audience.channels or name in self.audience.channels))


def links(words: str) -> list[str]:
    """The hosts of everything in a text that a phone would make clickable, and mentions of accounts."""
    found = []
    for match in LINK.finditer(words):
        link = match[0] if "://" in match[0] else f"https://{match[0]}"
        try:
            parts = urlsplit(link)
            trusted = parts.scheme.lower() in ("http", "https") and "@" not in parts.netloc
            found.append((parts.hostname or link) if trusted else link)
        except ValueError:
            found.append(link)
    return [*found, *MENTION.findall(words)]


def length(words: str) -> int:
    """The length as Telegram and Twilio count it: in UTF-16 units."""
    return len(words.encode("utf-16-le")) // 2


def problems(draft: Draft, domains: Collection[str], today: dt.date) -> list[str]:
    """What keeps a draft from being proposed, as names of sentences; empty when it is complete."""
    found: list[str] = []
    if not draft.title.strip() or len(draft.title) > TITLE_AT_MOST:
        found.append("title")
    if draft.kind not in KINDS:
        found.append("kind")
    if not draft.channels:
        found.append("no_text")
    if not all(_known(values, known) for values, known in _parts(draft)):
        found.append("audience")
    found += _when_problems(draft.when, today)
    if draft.telegram and ("id" not in draft.telegram or any(not text.strip() for text in draft.telegram.values())):
        found.append("telegram_empty")
    if any(length(text) > TELEGRAM_AT_MOST - FOOTER_AT_MOST for text in draft.telegram.values()):
        found.append("telegram_long")
    for said in draft.whatsapp.values():
        found += _whatsapp_problems(said)
    if draft.whatsapp and "id" not in draft.whatsapp:
        found.append("whatsapp_empty")
    texts = [*draft.telegram.values(), *(text for said in draft.whatsapp.values() for text in (said.session, said.filled))]
    if any("{" in text or "}" in text for text in texts):
        found.append("braces")
    if any(not _allowed(link, domains) for text in texts for link in links(text)):
        found.append("links")
    return list(dict.fromkeys(found))


def _parts(draft: Draft) -> Iterable[tuple[Sequence[str], Collection[str]]]:
    audience = draft.audience
    return ((audience.channels, CHANNELS), (audience.roles, ROLES), (audience.languages, LANGUAGES), (tuple(draft.telegram), LANGUAGES))


def _known(values: Sequence[str], known: Collection[str]) -> bool:
    return set(values) <= set(known)


def _when_problems(when: When, today: dt.date) -> list[str]:
    try:
        start, end = dt.time.fromisoformat(when.start), dt.time.fromisoformat(when.end)
    except ValueError:
        return ["hours"]
    found = []
    if start >= end or start < dt.time.fromisoformat(EARLIEST) or end > dt.time.fromisoformat(LATEST):
        found.append("hours")
    if when.last < when.day or when.last < today or (when.last - when.day).days > 14:
        found.append("day")
    return found


def _whatsapp_problems(said: OnWhatsApp) -> list[str]:
    found = []
    if not said.template and not said.session.strip():
        found.append("whatsapp_empty")
    if length(said.session) > SESSION_AT_MOST - FOOTER_AT_MOST:
        found.append("session_long")
    if not said.template:
        return found
    numbers = [int(number) for number in VARIABLE.findall(said.wording)]
    bare = VARIABLE.sub("\0", said.wording).strip()
    if not TEMPLATE_ID.fullmatch(said.template) or not bare:
        found.append("template_id")
    if bare.startswith("\0") or bare.endswith("\0") or re.search("\0\\s*\0", bare):
        found.append("template_variables")
    complete = sorted(set(numbers)) == list(range(1, len(said.values) + 1)) and len(said.values) <= VARIABLES_AT_MOST
    if not complete or any(not value.strip() or re.search(r"[\n\t]| {4}", value) for value in said.values):
        found.append("template_values")
    if bare and not STOP_WORD.search(said.wording):
        found.append("template_stop")
    if length(said.filled) > TEMPLATE_AT_MOST:
        found.append("template_long")
    return found


def _allowed(host: str, domains: Collection[str]) -> bool:
    host = host.lower().rstrip(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _within(region: str, larger: str) -> bool:
    return region == larger or region.startswith(f"{larger}.")
