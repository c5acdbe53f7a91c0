"""Two voices that score every entry from the same features, which are parts of words, words and pairs of words.

A naive Bayes voice knows how often each feature was said of each entry, and a ridge regression knows which features tell entries apart.
Both are sums over features, so one small table holds both. The weights are built by `faq.train` and shipped in `faq/model`; at run time
there is only numpy and this file. It is imported with the first question, since an idle server needs none of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from faq.confidence import Judge, Signals
from faq.normalise import Lexicon, Reading

if TYPE_CHECKING:
    from faq.taught import Taught

MODEL: Final = Path(__file__).parent / "model"

SIZES: Final = (3, 4, 5)
"""How many letters the parts of words have."""

RANKED: Final = 6
"""How many entries are ranked."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def parts(word: str) -> list[str]:
    """The parts of a word, its edges marked: "<ka", "amp", "ye>"."""
    marked = f"<{word}>"
    return [marked[start : start + size] for size in SIZES for start in range(len(marked) - size + 1)]


def pairs(words: Sequence[str]) -> list[str]:
    """Words, neighbours, and neighbours but one."""
    single = [f"={word}" for word in words]
    near = [f"{first} {second}" for first, second in pairwise(words)]
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

    def _find_rows(self, word: str) -> Ints:
        row = self.row
        return np.array([row[part] for part in parts(word) if part in row], dtype=np.int32)

    def expect(self, words: Iterable[str]) -> None:
        """Look these words up now, so that the first questions do not wait for it."""
        for word in words:
            self._rows_of(word)

    def of(self, reading: Reading) -> tuple[Ints, Floats]:
        """The rows of a reading and their weights: parts of words and words each of length one."""
        known = self.row.get
        words = np.array([row for feature in pairs(reading.roots) if (row := known(feature)) is not None], dtype=np.int32)
        every = np.concatenate([words, *map(self._rows_of, reading.plain)])
        every.sort()
        new = np.ones(len(every) + 1, dtype=bool)
        np.not_equal(every[1:], every[:-1], out=new[1:-1])
        edges = new.nonzero()[0]
        found = every[edges[:-1]]
        counts = np.minimum(edges[1:] - edges[:-1], len(_TIMES) - 1)
        weights = _TIMES[counts] * self.idf[found]
        cut = int(found.searchsorted(self.first_word))
        for block in (weights[:cut], weights[cut:]):
            length = math.sqrt(float(block @ block))
            np.multiply(block, np.float32(1.0 / length) if length > 0.0 else np.float32(0.0), out=block)
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
        heavy = weights * self.scale.take(rows)
        full = self.full.take(rows)
        many = full >= 0
        total = (heavy[many] @ self.dense.take(full[many], axis=0).astype(np.float32)).astype(np.float64)
        few = ~many
        rows, heavy = rows[few], heavy[few]
        begins = self.start.take(rows)
        lengths = self.start.take(rows + 1) - begins
        ends = lengths.cumsum()
        if len(ends) and ends[-1]:
            places = np.repeat(begins - ends + lengths, lengths)
            places += np.arange(len(places), dtype=np.int32)
            loud = heavy.repeat(lengths)
            loud *= self.value.take(places)
            total += np.bincount(self.column.take(places), weights=loud, minlength=len(total))
        return total.reshape(2, -1)


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody wants with a question, whatever the act: to know about an act, something beside the subject, or to report a deed."""

    weight: NDArray[np.float16]
    """For each feature what it says for "beside the subject" and for "to report", each against "to know"."""
    constant: tuple[float, float]

    def of(self, rows: Ints, weights: Floats) -> tuple[float, float]:
        """The log-odds of lying beside the subject, and of the wish to report."""
        outside, report = weights @ self.weight[rows].astype(np.float32)
        return float(outside) + self.constant[0], float(report) + self.constant[1]


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

    def __init__(
        self,
        lexicon: Lexicon,
        features: Features,
        voices: Voices,
        head_start: NDArray[np.float64],
        intent: Intent,
        words: Words,
        classes: Sequence[str],
        verdicts: Sequence[str],
    ) -> None:
        self.lexicon = lexicon
        self.features = features
        self.voices = voices
        self.head_start = head_start
        """What each class gets before anything is said."""
        self.intent = intent
        self.words = words
        self.classes = classes
        self.verdicts = verdicts
        self.taught: Taught | None = None
        """What this installation has taught beside the weights."""
        self.entries = sum(1 for verdict in verdicts if verdict)
        """Entries come first among the classes, then the redirects, the wish to report last."""

    def rank(self, reading: Reading) -> Ranked:
        """Rank the entries for a question."""
        rows, weights = self.features.of(reading)
        heard, intent = self.voices.scores(rows, weights), self.intent.of(rows, weights)
        if self.taught is not None:
            heard, intent = self.taught.hear(rows, weights, heard, intent)
        return self.weigh(reading, heard, intent)

    def weigh(self, reading: Reading, heard: NDArray[np.float64], intent: tuple[float, float]) -> Ranked:
        """Rank the entries by what the voices say."""
        ridge, bayes = heard
        scores = ridge + bayes + self.head_start
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
            outside=intent[0],
            report=intent[1],
            covered=covered,
            known=known,
            risk=float(sum(1 for word in missing if word in self.lexicon.risk)),
        )
        return Ranked(tuple(int(number) for number in best), tuple(float(inside[number]) for number in best), outside, signals)


def load_model(folder: Path = MODEL) -> tuple[Matcher, Judge]:
    """Read the weights that `faq.train` has written."""
    table = json.loads((folder / "model.json").read_text(encoding="utf-8"))

    def array(name: str) -> NDArray[Any]:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))  # a plain view: slicing a memmap is slow

    vocabulary = (folder / "features.txt").read_text(encoding="utf-8").split("\n")
    words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")
    roots = (folder / "roots.txt").read_text(encoding="utf-8").split("\n")
    lexicon = Lexicon.load()
    lexicon.learn(roots)
    features = Features(vocabulary, array("idf"))
    features.expect(roots)
    matcher = Matcher(
        lexicon,
        features,
        Voices(array("scale"), array("full"), array("dense"), array("start"), array("column"), array("value")),
        array("head_start"),
        Intent(array("intent"), tuple(table["intent"])),
        Words({word: row for row, word in enumerate(words)}, array("word_weight"), array("word_used")),
        table["classes"],
        table["verdicts"],
    )
    return matcher, Judge.from_json(table["judge"])
