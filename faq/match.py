"""From a question to ranked entries, and from ranked entries to an answer, a choice, a redirect or the tip flow.

`voices` ranks, `confidence` turns the ranking into probabilities, and this file decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from faq.calendar import Calendar, Election, find_day
from faq.confidence import softmax
from faq.entries import REPORT, STRICTNESS, Entry, Later, Phrasing, Redirect, load_entries, load_redirects
from faq.normalise import Reading

if TYPE_CHECKING:
    from faq.confidence import Judge
    from faq.voices import Matcher, Ranked

WIB: Final = timezone(timedelta(hours=7), "WIB")
"""Where "today" is when nobody says which day it is."""

SHOWN: Final = 3
"""How many entries a person may choose from."""

SHARPNESS: Final = 3.0
"""How fast the shares of the candidates fall with their scores."""

HALF_SURE: Final = 0.8
"""How sure each half of a question must be of its act; a half is short, and the whole must rank its act as well."""

ACTS_AT_MOST: Final = 18
"""A question with more content words is a story, whose halves are not two acts."""

JOINING: Final = frozenset({"dan", "sama", "terus", "lalu", "sambil", "sekaligus", "tetapi", "atau", "plus", "serta"})
SPEAKER: Final = frozenset({"saya", "aku", "kami", "kita"})
OTHERS: Final = frozenset(
    """
    teman rekan kawan sahabat atasan bos pimpinan bawahan staf kepala kadis kabid kasi sekda camat lurah kades tetangga suami istri pasangan
    anak ayah ibu bapak orang kakak adik ipar mertua paman bibi sepupu guru dosen dokter perawat bidan perangkat bupati walikota wali
    gubernur pegawai pns asn pppk honorer sekretaris ketua satpol polisi tentara bendahara penyuluh pejabat dia mereka oknum
    seseorang kepsek
    """.split()
)
"""Who else may have done it."""

OWNED: Final = OTHERS | frozenset(
    """
    kantor dinas sekolah desa kelurahan kecamatan puskesmas instansi rumah grup kampung daerah kota kabupaten tempat unit bidang
    """.split()
)
"""After these "saya" names whose it is, not who did it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that may be meant."""

    entry: str
    verdict: str
    title: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the bot makes of a question."""

    question: str
    outcome: str
    entries: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    confidence: float
    redirect: Redirect | None
    day: date | None
    about_another: bool

    def to_json(self) -> dict[str, Any]:
        """The object that `netra ask --json` prints."""
        first = self.entries[0] if self.entries else None
        verdict = next((known.verdict for known in self.candidates if known.entry == first), None)
        return {
            "question": self.question,
            "outcome": self.outcome,
            "entry": first,
            "verdict": verdict,
            "confidence": round(self.confidence, 4),
            "candidates": [
                {"entry": known.entry, "verdict": known.verdict, "title": known.title, "confidence": round(known.confidence, 4)}
                for known in self.candidates
            ],
        }


class Faq:
    """Everything the bot knows, ready to be asked."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        redirects: Mapping[str, Redirect],
        calendar: Calendar,
        trained: Callable[[], tuple[Matcher, Judge]],
    ) -> None:
        self.entries = entries
        self.redirects = redirects
        self.calendar = calendar
        self.election: Election = calendar.election()
        self._train = trained
        self._phrasings: tuple[Phrasing, ...] = ()

    @classmethod
    def load(cls, election: str = "") -> Faq:
        """Read the calendar; entries, redirects, word lists and weights are read when the first question needs them, or by `warm`."""
        calendar = Calendar.load()
        if election:
            calendar = replace(calendar, default=calendar.election(election).name)
        return cls(Later(load_entries), Later(load_redirects), calendar, _load_model)

    def warm(self) -> None:
        """Read everything now, so that the first question need not wait. Raises what is wrong with it."""
        assert len(self.entries) and len(self.redirects) and self._trained

    @cached_property
    def matcher(self) -> Matcher:
        """What ranks the entries, with what this installation has taught."""
        if not self._phrasings:
            return self._trained[0]
        from faq.taught import teach

        return teach(self._trained[0], self._phrasings)

    def teach(self, phrasings: Iterable[Phrasing]) -> None:
        """From now on these phrasings count beside the weights, and no others."""
        self._phrasings = tuple(phrasings)
        self.__dict__.pop("matcher", None)

    def taught(self, phrasings: Iterable[Phrasing]) -> Faq:
        """The same with other taught phrasings; this one stays as it is."""
        other = copy(self)
        other.teach(phrasings)
        return other

    @property
    def judge(self) -> Judge:
        """What turns rankings into probabilities."""
        return self._trained[1]

    @cached_property
    def _trained(self) -> tuple[Matcher, Judge]:
        return self._train()

    def ask(self, question: str, day: date | None = None) -> Found:
        """Find what a question is about; `day` is the day it is asked on, or the day asked about."""
        about = find_day(question, day or datetime.now(WIB).date(), self.election) or day
        reading = self.matcher.lexicon.read(question)
        if not reading.content:
            return Found(question, "decline", (), (), 0.0, None, about, False)
        return self.decide(question, reading, self.matcher.rank(reading), about)

    def decide(self, question: str, reading: Reading, ranked: Ranked, day: date | None, two_acts: bool = True) -> Found:
        """What follows from a ranking."""
        chances = self.judge.probabilities(ranked.signals)
        candidates = self._candidates(ranked, chances)
        first = candidates[0]
        another = about_another(reading.plain)
        if (wish := self.judge.reports(ranked.signals)) >= 0.5:
            return Found(question, "report", (), candidates, wish, None, day, True)
        if self.judge.answers(first.verdict, first.confidence, ranked.signals):
            return Found(question, "answer", (first.entry,), candidates, first.confidence, None, day, another)
        if two_acts and (both := self._both(reading, ranked)):
            return Found(question, "answer", both, candidates, first.confidence, None, day, another)
        if chances["outside"] >= self.judge.decline:
            redirect = self.redirects.get(self.matcher.classes[ranked.outside])
            return Found(question, "decline", (), candidates, chances["outside"], redirect, day, another)
        return Found(question, "choose", (), candidates, first.confidence, None, day, another)

    def _candidates(self, ranked: Ranked, chances: Mapping[str, float]) -> tuple[Candidate, ...]:
        """The best entries with their probabilities: the first one's is fitted, the others share what is left for another entry."""
        others = softmax(ranked.scores[1:], SHARPNESS)
        sure = [chances["right"], *(chances["wrong"] * share for share in others)]
        found: list[Candidate] = []
        for number, confidence in zip(ranked.classes[:SHOWN], sure, strict=False):
            entry = self.entries[self.matcher.classes[number]]
            found.append(Candidate(entry.id, entry.verdict, entry.title, min(confidence, sure[0]) if found else confidence))
        return tuple(found)

    def _both(self, reading: Reading, ranked: Ranked) -> tuple[str, ...]:
        """The two acts of a question that names two, strictest first; none unless each half is sure of an entry the whole ranks high."""
        found: list[Entry] = []
        for part in acts(reading):
            alone = self.matcher.rank(part)
            entry = self.entries[self.matcher.classes[alone.classes[0]]]
            sure = self.judge.probabilities(alone.signals)["right"]
            if (
                alone.classes[0] not in ranked.classes
                or sure < HALF_SURE
                or (entry.verdict == "boleh" and not self.judge.safe(alone.signals))
            ):
                return ()
            if entry not in found:
                found.append(entry)
        return tuple(entry.id for entry in strictest_first(found)) if len(found) == 2 else ()


def _load_model() -> tuple[Matcher, Judge]:
    from faq.voices import load_model

    return load_model()


def acts(reading: Reading) -> list[Reading]:
    """The two halves of a question that joins two acts; empty where neither half could stand alone."""
    best: list[Reading] = []
    if len(reading.content) > ACTS_AT_MOST:
        return best
    for place, word in enumerate(reading.roots):
        if word in JOINING:
            halves = [
                Reading((), half, tuple(kept for kept in half if kept in reading.content))
                for half in (reading.roots[:place], reading.roots[place + 1 :])
            ]
            if min(len(half.content) for half in halves) >= 2:
                best = [Reading(half.roots, half.roots, half.content) for half in halves]
    return best


def about_another(plain: Sequence[str]) -> bool:
    """Does somebody describe another person's deed? No "saya" is left once "suami saya" and the like are read as the other person."""
    other = False
    for place, word in enumerate(plain):
        if word in OTHERS:
            other = True
        elif word in SPEAKER and (place == 0 or plain[place - 1] not in OWNED):
            return False
    return other


def strictest_first(entries: Sequence[Entry]) -> list[Entry]:
    """Entries in the order in which they are answered."""
    return sorted(entries, key=lambda entry: STRICTNESS[entry.verdict])


__all__ = ["REPORT", "Candidate", "Faq", "Found"]
