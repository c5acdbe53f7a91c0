"""From a question to ranked entries, and from ranked entries to an answer, a choice, a redirect or the tip flow.

Two voices score every entry from the same features, which are parts of words, words and pairs of words: a naive Bayes voice, which knows how
often each feature was said of each entry, and a ridge regression, which knows which features tell entries apart. Both are sums over features, so
one small table holds both. `confidence` turns the ranking into probabilities. The weights are built by `faq.train` and shipped in
`faq/model`; at run time there is only numpy and this file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faq.calendar import Calendar, Election, find_day
from faq.confidence import Judge, Signals, softmax
from faq.entries import REPORT, STRICTNESS, Entry, Redirect, load_entries, load_redirects
from faq.normalise import NEGATION, Lexicon, Reading

MODEL: Final = Path(__file__).parent / "model"

SIZES: Final = (3, 4, 5)
"""How many letters the parts of words have."""

RANKED: Final = 6
"""How many entries are ranked."""

SHOWN: Final = 3
"""How many entries a person may choose from."""

SHARPNESS: Final = 3.0
"""How fast the shares of the candidates fall with their scores."""

REPORTING: Final = frozenset({"lapor", "adu", "laporan", "aduan", "pengaduan", "pelapor", "bukti", "tindak", "periksa", "proses", "usut"})

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


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


def parts(word: str) -> list[str]:
    """The parts of a word, its edges marked: "<ka", "amp", "ye>"."""
    marked = f"<{word}>"
    return [marked[start : start + size] for size in SIZES for start in range(len(marked) - size + 1)]


def pairs(words: Sequence[str]) -> list[str]:
    """Words, neighbours, and neighbours but one."""
    single = [f"={word}" for word in words]
    near = [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]
    far = [f"{first} * {second}" for first, second in zip(words, words[2:], strict=False)]
    return single + near + far


def is_word(feature: str) -> bool:
    """Is this feature a content word or a pair of them, not a part of a word?"""
    return feature[0] == "=" or " " in feature


class Features:
    """Which features a reading has, as rows of the weights, and how much each counts. Words come after parts of words."""

    def __init__(self, vocabulary: Sequence[str], idf: Floats) -> None:
        self.row = {feature: row for row, feature in enumerate(vocabulary)}
        self.idf = idf
        self.first_word = next((row for row, feature in enumerate(vocabulary) if is_word(feature)), len(vocabulary))
        self._rows_of = lru_cache(maxsize=5_000)(self._find_rows)

    def _find_rows(self, word: str) -> tuple[int, ...]:
        row = self.row
        return tuple(row[part] for part in parts(word) if part in row)

    def of(self, reading: Reading) -> tuple[Ints, Floats]:
        """The rows of a reading and their weights: parts of words and words each of length one."""
        rows: list[int] = []
        for word in reading.plain:
            rows.extend(self._rows_of(word))
        known = self.row
        rows.extend(known[feature] for feature in pairs(reading.roots) if feature in known)
        every = np.array(rows, dtype=np.int32)
        every.sort()
        edges = np.flatnonzero(np.concatenate(([True], every[1:] != every[:-1])))[: len(every)]
        found = every[edges]
        counts = np.diff(edges, append=len(every))
        weights = (_TIMES[np.minimum(counts, len(_TIMES) - 1)] * self.idf[found]).astype(np.float32)
        cut = int(found.searchsorted(self.first_word))
        for part in (weights[:cut], weights[cut:]):
            length = math.sqrt(float(part @ part))
            if length > 0.0:
                part /= np.float32(length)
        return found, weights


_TIMES: Final = (1.0 + np.log(np.maximum(np.arange(64), 1))).astype(np.float32)
"""What a feature that appears so often counts."""


@dataclass(frozen=True, slots=True)
class Voices:
    """Both voices in one table, eight bits a weight: features with many weights as full rows, the others as lists.

    The first half of the columns is the ridge regression's, the second half naive Bayes'.
    """

    scale: Floats
    """What one step of a feature's weights is worth."""
    full: Ints
    """Which full row a feature has; -1 for none."""
    dense: NDArray[np.int8]
    start: Ints
    """Where a feature's list begins, one more at the end."""
    column: NDArray[np.uint16]
    value: NDArray[np.int8]

    def scores(self, rows: Ints, weights: Floats) -> NDArray[np.float64]:
        """What both voices give to every class: an array of two rows."""
        heavy = weights * self.scale[rows]
        full = self.full[rows]
        many = full >= 0
        total = (heavy[many] @ self.dense[full[many]].astype(np.float32)).astype(np.float64)
        few = ~many
        rows, heavy = rows[few], heavy[few]
        begins = self.start[rows]
        lengths = self.start[rows + 1] - begins
        ends = np.cumsum(lengths)
        if len(ends) and ends[-1]:
            places = np.arange(ends[-1]) + np.repeat(begins - ends + lengths, lengths)
            total += np.bincount(self.column[places], weights=np.repeat(heavy, lengths) * self.value[places], minlength=len(total))
        return total.reshape(2, -1)


@dataclass(frozen=True, slots=True)
class Words:
    """Which content words people use for each entry."""

    row: Mapping[str, int]
    weight: Floats
    """How telling each word is."""
    used: NDArray[np.uint8]
    """One bit for each word and entry."""

    def covered(self, content: Sequence[str], number: int) -> tuple[float, float, list[str]]:
        """Share of a question's weight that an entry's phrasings hold, share of its words known at all, and the words not held."""
        held = whole = known = 0.0
        missing: list[str] = []
        mask, place = 128 >> (number & 7), number >> 3
        for word in content:
            row = self.row.get(word)
            if row is None:
                whole += UNKNOWN
                missing.append(word)
                continue
            weight = float(self.weight[row])
            whole += weight
            known += 1.0
            if self.used[row, place] & mask:
                held += weight
            else:
                missing.append(word)
        return (held / whole, known / len(content), missing) if content else (0.0, 0.0, missing)


UNKNOWN: Final = 4.0
"""How telling a word is that nobody has used: it may be a name as well as the heart of the question."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best entries of a question, the best first, with the signals that `confidence` reads."""

    classes: tuple[int, ...]
    scores: tuple[float, ...]
    outside: int
    """The best redirect."""
    signals: Signals


class Matcher:
    """The voices, and what their scores look like."""

    def __init__(self, lexicon: Lexicon, features: Features, voices: Voices, words: Words, classes: Sequence[str], verdicts: Sequence[str]) -> None:
        self.lexicon = lexicon
        self.features = features
        self.voices = voices
        self.words = words
        self.classes = classes
        self.verdicts = verdicts
        self.entries = sum(1 for verdict in verdicts if verdict)
        """Entries come first among the classes, then the redirects, the wish to report last."""

    def rank(self, reading: Reading) -> Ranked:
        """Rank the entries for a question."""
        return self.weigh(reading, self.voices.scores(*self.features.of(reading)))

    def weigh(self, reading: Reading, heard: NDArray[np.float64]) -> Ranked:
        """Rank the entries by what the voices say."""
        ridge, bayes = heard
        scores = ridge + bayes
        inside = scores[: self.entries]
        best = np.argpartition(-inside, RANKED)[:RANKED]
        best = best[np.lexsort((best, -inside[best]))]
        first = int(best[0])
        verdict = self.verdicts[first]
        other = next((number for number in best if self.verdicts[number] != verdict), best[-1])
        outside = self.entries + int(np.argmax(scores[self.entries : -1])) if len(scores) > self.entries + 1 else len(scores) - 1
        by_ridge, by_bayes = np.partition(ridge[: self.entries], -2)[-2:], np.partition(bayes[: self.entries], -2)[-2:]
        covered, known, missing = self.words.covered(reading.content, first)
        top = float(inside[first])
        signals = Signals(
            best=top,
            lead=top - float(inside[best[1]]),
            lead_verdict=top - float(inside[other]),
            ridge=float(ridge[first]),
            ridge_lead=float(2 * ridge[first] - by_ridge.sum()) if ridge[first] >= by_ridge[1] else float(ridge[first] - by_ridge[1]),
            bayes=float(bayes[first]),
            bayes_lead=float(2 * bayes[first] - by_bayes.sum()) if bayes[first] >= by_bayes[1] else float(bayes[first] - by_bayes[1]),
            lead_outside=top - float(scores[outside]),
            lead_report=top - float(scores[-1]),
            outside=float(ridge[outside]),
            report=float(ridge[-1]),
            covered=covered,
            known=known,
            words=math.log1p(len(reading.content)),
            reporting=float(any(word.lstrip(NEGATION) in REPORTING for word in reading.content)),
            risk=float(sum(1 for word in missing if word in self.lexicon.risk)),
        )
        return Ranked(tuple(int(number) for number in best), tuple(float(inside[number]) for number in best), outside, signals)


class Faq:
    """Everything the bot knows, ready to be asked."""

    def __init__(
        self, entries: dict[str, Entry], redirects: dict[str, Redirect], calendar: Calendar, matcher: Matcher, judge: Judge, election: str = ""
    ) -> None:
        self.entries = entries
        self.redirects = redirects
        self.calendar = calendar
        self.matcher = matcher
        self.judge = judge
        self.election: Election = calendar.election(election)

    @classmethod
    def load(cls, election: str = "", model: Path = MODEL) -> Faq:
        """Read entries, redirects, calendar, word lists and weights."""
        matcher, judge = load_model(model)
        return cls(load_entries(), load_redirects(), Calendar.load(), matcher, judge, election)

    def ask(self, question: str, day: date | None = None) -> Found:
        """Find what a question is about; `day` is the day it is asked on, or the day asked about."""
        about = find_day(question, day or date.today(), self.election) or day
        reading = self.matcher.lexicon.read(question)
        if not reading.content:
            return Found(question, "decline", (), (), 0.0, None, about, False)
        ranked = self.matcher.rank(reading)
        chances = self.judge.probabilities(ranked.signals)
        sure = chances["right"]
        shares = softmax(ranked.scores, SHARPNESS)
        rest = sum(shares[1:]) or 1.0
        candidates = tuple(
            Candidate(
                name := self.matcher.classes[number],
                self.entries[name].verdict,
                self.entries[name].title,
                sure if place == 0 else chances["wrong"] * shares[place] / rest,
            )
            for place, number in enumerate(ranked.classes[:SHOWN])
        )
        first = candidates[0]
        if chances["report"] >= self.judge.report:
            return Found(question, "report", (), candidates, chances["report"], None, about, True)
        if sure >= self.judge.needed(first.verdict):
            return Found(question, "answer", (first.entry,), candidates, sure, None, about, False)
        if chances["outside"] >= self.judge.decline:
            redirect = self.redirects.get(self.matcher.classes[ranked.outside])
            return Found(question, "decline", (), candidates, chances["outside"], redirect, about, False)
        return Found(question, "choose", (), candidates, sure, None, about, False)


def load_model(folder: Path = MODEL) -> tuple[Matcher, Judge]:
    """Read the weights that `faq.train` has written."""
    table = json.loads((folder / "model.json").read_text(encoding="utf-8"))

    def array(name: str) -> NDArray[Any]:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))  # a plain view: slicing a memmap is slow

    vocabulary = (folder / "features.txt").read_text(encoding="utf-8").split("\n")
    words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")
    lexicon = Lexicon.load()
    lexicon.learn((folder / "roots.txt").read_text(encoding="utf-8").split("\n"))
    matcher = Matcher(
        lexicon,
        Features(vocabulary, array("idf")),
        Voices(array("scale"), array("full"), array("dense"), array("start"), array("column"), array("value")),
        Words({word: row for row, word in enumerate(words)}, array("word_weight"), array("word_used")),
        table["classes"],
        table["verdicts"],
    )
    return matcher, Judge.from_json(table["judge"])


def strictest_first(entries: Sequence[Entry]) -> list[Entry]:
    """Entries in the order in which they are answered."""
    return sorted(entries, key=lambda entry: STRICTNESS[entry.verdict])


__all__ = ["REPORT", "Candidate", "Faq", "Found", "Matcher"]
