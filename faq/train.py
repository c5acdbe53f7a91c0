"""Builds the weights of the matcher from entries, redirects and phrasings. Needs scikit-learn and scipy; the bot itself does not.

The ridge regression is solved in its dual form, which has one great advantage: what it would say of a block of phrasings had it never
seen them follows exactly from the one solution. Naive Bayes only counts, so a block is simply taken off the counts. Every register is
thus left out without training again, and the weight of the voices, the probabilities and the thresholds are fitted on answers to unseen
registers only.
"""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # the package has no types

from faq.check import source_hash
from faq.confidence import CASES, Judge
from faq.entries import REPORT, load_entries, load_phrasings, load_redirects
from faq.normalise import Lexicon, Reading
from faq.voices import MODEL, Features, Floats, Intent, Ints, Matcher, Ranked, Voices, Words, pairs, parts

SEEN: Final = 2
"""How many phrasings a feature must appear in."""

ROOT_SEEN: Final = 5
"""How many phrasings a word must appear in before other words are brought back to it."""

RIDGE: Final = 1.0
SMOOTH: Final = 0.2
"""Phrasings added to what naive Bayes expects, so that one phrasing proves little."""

KEPT: Final = 0.08
"""Share of the weights of the ridge regression that is kept."""

DENSE: Final = 64
"""From this number of weights on, a feature is kept as a full row."""

TITLES: Final = "judul"
"""The register of the entries' own titles, which is never left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """One phrasing, ready to learn from."""

    register: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Every phrasing, class by class, with its reading and features."""

    rows: Sequence[Row]
    readings: Sequence[Reading]
    classes: Sequence[str]
    verdicts: Sequence[str]
    number: Ints
    lexicon: Lexicon
    features: Features
    vocabulary: Sequence[str]
    roots: Sequence[str]

    @property
    def entries(self) -> int:
        """How many classes are entries."""
        return sum(1 for verdict in self.verdicts if verdict)


@dataclass(frozen=True, slots=True)
class Solved:
    """The ridge regression in its dual form."""

    inverse: Floats
    dual: Floats
    target: Floats

    def unseen(self, block: NDArray[np.int64]) -> Floats:
        """What the classifier would score for these rows had it never seen them."""
        own = self.inverse[np.ix_(block, block)]
        left_out: Floats = self.target[block] - np.linalg.solve(own, self.dual[block])
        return left_out


def read_corpus() -> Corpus:
    """Read everything there is to learn from."""
    entries, redirects = load_entries(), load_redirects()
    classes = [*entries, *redirects, REPORT]
    place = {name: number for number, name in enumerate(classes)}
    rows = [Row(register, name, text) for register, name, text in load_phrasings() if name in place]
    rows += [Row(TITLES, entry.id, entry.title) for entry in entries.values()]
    rows += [Row(TITLES, redirect.id, redirect.title) for redirect in redirects.values()]
    rows.sort(key=lambda row: place[row.name])
    lexicon = Lexicon.load()
    counts = Counter(word for row in rows for word in set(lexicon.words(row.text)))
    roots = sorted(word for word, count in counts.items() if count >= ROOT_SEEN)
    lexicon.learn(roots)
    readings = [lexicon.read(row.text) for row in rows]
    vocabulary, idf = _vocabulary(readings)
    return Corpus(
        rows,
        readings,
        classes,
        [entries[name].verdict if name in entries else "" for name in classes],
        np.array([place[row.name] for row in rows], dtype=np.int32),
        lexicon,
        Features(vocabulary, idf),
        vocabulary,
        roots,
    )


def _vocabulary(readings: Sequence[Reading]) -> tuple[list[str], Floats]:
    letters: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for reading in readings:
        letters.update({part for word in reading.plain for part in parts(word)})
        words.update(set(pairs(reading.roots)))
    kept = [sorted(feature for feature, count in counts.items() if count >= SEEN) for counts in (letters, words)]
    vocabulary = kept[0] + kept[1]
    seen = np.array([letters[feature] for feature in kept[0]] + [words[feature] for feature in kept[1]], dtype=np.float64)
    return vocabulary, (np.log((1 + len(readings)) / (1 + seen)) + 1.0).astype(np.float32)


def design(corpus: Corpus, readings: Sequence[Reading]) -> Any:
    """The features of readings as a sparse matrix."""
    columns, values, ends = [], [], [0]
    for reading in readings:
        found, weights = corpus.features.of(reading)
        columns.append(found)
        values.append(weights)
        ends.append(ends[-1] + len(found))
    return csr_matrix((np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=(len(readings), len(corpus.vocabulary)))


def solve(matrix: Any, number: Ints, classes: int) -> Solved:
    """Solve the ridge regression for all classes at once."""
    target = np.zeros((len(number), classes), dtype=np.float32)
    target[np.arange(len(number)), number] = 1.0
    gram = np.asfortranarray((matrix @ matrix.T).toarray())
    gram[np.diag_indices_from(gram)] += np.float32(RIDGE)
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise ArithmeticError("the ridge regression has no solution")
    for begin in range(0, len(inverse), 1024):  # the upper half is the lower one mirrored, a strip at a time
        end = begin + 1024
        inverse[begin:end, end:] = inverse[end:, begin:end].T
        square = inverse[begin:end, begin:end]
        inverse[begin:end, begin:end] = np.tril(square) + np.tril(square, -1).T
    return Solved(inverse, inverse @ target, target)


def blocks(corpus: Corpus) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """What is left out together: whole registers of the entries; half of the redirects kind by kind, the rest and the reports in parts."""
    registers = np.array([row.register for row in corpus.rows])
    inside = corpus.number < corpus.entries
    for register in sorted(set(registers.tolist()) - {TITLES}):
        block = np.flatnonzero(inside & (registers == register))
        if len(block):
            yield register, block
    for number, name in enumerate(corpus.classes):
        if number >= corpus.entries and name != REPORT and number % 2:
            yield "beside, unknown kind", np.flatnonzero(corpus.number == number)
    fold = np.array([zlib.crc32(row.text.encode()) % 5 for row in corpus.rows])
    known_kind = (corpus.number >= corpus.entries) & (corpus.number % 2 == 0) & (corpus.number < len(corpus.classes) - 1)
    for part in range(5):
        yield "beside, known kind", np.flatnonzero(known_kind & (fold == part) & (registers != TITLES))
    reports = np.flatnonzero(corpus.number == len(corpus.classes) - 1)
    for chunk in np.array_split(reports, 8):
        if len(chunk):
            yield "report", chunk


class Counts:
    """How often each feature was said of each class, with or without a block of phrasings."""

    def __init__(self, matrix: Any, number: Ints, classes: int) -> None:
        self.said = matrix.copy()
        self.said.data[:] = 1.0
        ones = np.ones(len(number), dtype=np.float32)
        self.of = csr_matrix((ones, (np.arange(len(number)), number)), shape=(len(number), classes))
        self.total = (self.said.T @ self.of).tocsr()

    def bayes(self, without: NDArray[np.int64] | None = None) -> Any:
        """The weights of naive Bayes: how much more often than expected a feature was said of a class, never negative."""
        counts, sizes = self.total, np.asarray(self.of.sum(axis=0)).ravel()
        if without is not None:
            counts = (counts - self.said[without].T @ self.of[without]).tocsr()
            sizes = sizes - np.asarray(self.of[without].sum(axis=0)).ravel()
        table = counts.tocoo()
        real = table.data > 0.5
        row, column, often = table.row[real], table.col[real], table.data[real].astype(np.float64)
        each = np.bincount(row, weights=often, minlength=counts.shape[0])
        expected = sizes[column] * each[row] / sizes.sum()
        return csr_matrix((np.log1p(often / (expected + SMOOTH)), (row, column)), shape=counts.shape)


def quantise(ridge: Floats, bayes: Any) -> Voices:
    """Both voices in one table: the large weights of the ridge regression, every weight of naive Bayes, eight bits each."""
    limit = np.quantile(np.abs(ridge), 1.0 - KEPT)
    both = np.concatenate([np.where(np.abs(ridge) >= limit, ridge, np.float32(0.0)), bayes.toarray().astype(np.float32)], axis=1)
    scale = (np.abs(both).max(axis=1) / 127.0 + 1e-9).astype(np.float32)
    small = np.rint(both / scale[:, None]).astype(np.int8)
    many = np.count_nonzero(small, axis=1) >= DENSE
    full = np.full(len(small), -1, dtype=np.int32)
    full[many] = np.arange(int(many.sum()), dtype=np.int32)
    dense = np.ascontiguousarray(small[many])
    small[many] = 0
    start = np.concatenate([[0], np.cumsum(np.count_nonzero(small, axis=1))]).astype(np.int32)
    return Voices(scale, full, dense, start, np.nonzero(small)[1].astype(np.uint16), small[small != 0])


INTENTS: Final = (1.0, 2.0, 4.0)
"""How much one phrasing counts for each intent: to know, something else, to report; there are few of the last."""


def fit_intent(corpus: Corpus, matrix: Any, without: NDArray[np.int64] | None = None) -> Intent:
    """Learn what somebody wants, from every phrasing but those left out."""
    kind = intents(corpus)
    seen = np.ones(len(kind), dtype=bool)
    if without is not None:
        seen[without] = False
    lengths = np.digitize([len(reading.content) for reading in corpus.readings], LONG)
    weights = np.array(INTENTS)[kind]
    for other in (1, 2):
        pair = seen & ((kind == 0) | (kind == other))
        weights[pair] *= alike(lengths[pair], kind[pair] == other)
    model = LogisticRegression(C=5.0, max_iter=400).fit(matrix[seen], kind[seen], sample_weight=weights[seen])
    outside, report = (model.coef_[place] - model.coef_[0] for place in (1, 2))
    constant = tuple(round(float(model.intercept_[place] - model.intercept_[0]), 6) for place in (1, 2))
    return Intent(np.stack([outside, report], axis=1).astype(np.float16), (constant[0], constant[1]))


def intents(corpus: Corpus) -> Ints:
    """The intent of each phrasing: 0 to know, 1 something beside the subject, 2 to report."""
    kind: Ints = (corpus.number >= corpus.entries).astype(np.int32) + (corpus.number == len(corpus.classes) - 1).astype(np.int32)
    return kind


FOLDS: Final = 6
"""Blocks are left out together in so many groups when the intent is learnt."""


def unseen_intents(corpus: Corpus, matrix: Any) -> NDArray[np.float64]:
    """The intent of every phrasing as learnt without its block."""
    found = np.zeros((len(corpus.rows), 2))
    every = [block for _, block in blocks(corpus)]
    for part in range(FOLDS):
        left_out = np.concatenate(every[part::FOLDS])
        intent = fit_intent(corpus, matrix, left_out)
        said = matrix[left_out] @ intent.weight.astype(np.float32)
        found[left_out] = said + np.array(intent.constant)
    return found


class Used:
    """Which content words are used for which entry, with or without a block of phrasings."""

    def __init__(self, corpus: Corpus) -> None:
        seen = Counter(word for reading in corpus.readings for word in set(reading.content))
        self.words = sorted(word for word, count in seen.items() if count >= SEEN)
        place = {word: row for row, word in enumerate(self.words)}
        self.row = place
        self.weight = np.array([np.log((1 + len(corpus.rows)) / (1 + seen[word])) for word in self.words], dtype=np.float32)
        pairs_of = [(row, place[word]) for row, reading in enumerate(corpus.readings) for word in set(reading.content) if word in place]
        lines, words = np.array(pairs_of).T
        self.said = csr_matrix((np.ones(len(lines), dtype=np.float32), (lines, words)), shape=(len(corpus.rows), len(self.words)))
        inside = np.flatnonzero(corpus.number < corpus.entries)
        shape = (len(corpus.rows), corpus.entries)
        self.of = csr_matrix((np.ones(len(inside), dtype=np.float32), (inside, corpus.number[inside])), shape=shape)
        self.total = (self.said.T @ self.of).toarray()

    def without(self, block: NDArray[np.int64] | None = None) -> Words:
        """The words as the matcher reads them."""
        counts = self.total if block is None else self.total - (self.said[block].T @ self.of[block]).toarray()
        return Words(self.row, self.weight, np.packbits(counts > 0.5, axis=1))


@dataclass(frozen=True, slots=True)
class Heard:
    """What both voices say of a block of phrasings they have not seen."""

    name: str
    block: NDArray[np.int64]
    ridge: Floats
    bayes: Floats


@dataclass(frozen=True, slots=True)
class Unseen:
    """A phrasing ranked by voices that had not seen its block."""

    block: str
    row: int
    number: int
    ranked: Ranked

    def case(self, entries: int, classes: int) -> str:
        """What the question turned out to be."""
        if self.number == classes - 1:
            return "report"
        if self.number >= entries:
            return "outside"
        return "right" if self.ranked.classes[0] == self.number else "wrong"


@dataclass(frozen=True, slots=True)
class Built:
    """Everything a build knows: the matcher, and every phrasing ranked as if its register had never been seen."""

    corpus: Corpus
    matcher: Matcher
    unseen: Sequence[Unseen]


def build() -> Built:
    """Learn from everything there is, on one core, so that the same sources always give the same weights."""
    with threadpool_limits(limits=1):
        corpus = read_corpus()
        matrix = design(corpus, corpus.readings)
        counts, used = Counts(matrix, corpus.number, len(corpus.classes)), Used(corpus)
        solved = solve(matrix, corpus.number, len(corpus.classes))
        heard = [
            Heard(name, block, solved.unseen(block), np.asarray((matrix[block] @ counts.bayes(block)).toarray(), dtype=np.float32))
            for name, block in blocks(corpus)
        ]
        intent, guessed = fit_intent(corpus, matrix), unseen_intents(corpus, matrix)
        balance = fit_balance(corpus, heard)
        voices = quantise(np.asarray(matrix.T @ solved.dual, dtype=np.float32) * np.float32(balance.loudness), counts.bayes())
        matcher = Matcher(corpus.lexicon, corpus.features, voices, balance.start, intent, used.without(), corpus.classes, corpus.verdicts)
        return Built(corpus, matcher, rank_unseen(corpus, used, heard, guessed, balance))


def train(out: Path = MODEL) -> dict[str, Any]:
    """Build and write the weights; gives a few figures of the build."""
    begun = time.perf_counter()
    built = build()
    write(out, built, fit_judge(built.unseen, built.corpus))
    return {
        "phrasings": len(built.corpus.rows),
        "classes": len(built.corpus.classes),
        "features": len(built.corpus.vocabulary),
        "bytes": sum(path.stat().st_size for path in out.iterdir()),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def judge_without(built: Built) -> Iterator[tuple[str, Judge, list[Unseen]]]:
    """For every block its phrasings, and a judge fitted on all the others."""
    for name in sorted({one.block for one in built.unseen}):
        own = [one for one in built.unseen if one.block == name]
        others = [one for one in built.unseen if one.block != name]
        # Reports and questions beside the subject are one block each: without them there would be nothing to tell them by.
        yield name, fit_judge(others if own[0].number < built.corpus.entries else built.unseen, built.corpus), own


COMPARED: Final = 12
"""How many entries are compared when the balance is fitted."""

LEVEL: Final = 0.5
"""How strongly the head start of an entry is held back."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How the voices are put together."""

    loudness: float
    """How loud the ridge regression speaks beside naive Bayes."""
    start: NDArray[np.float64]
    """The head start of each entry: naive Bayes does not hear what a question leaves out, and so prefers the special to the plain."""


def fit_balance(corpus: Corpus, heard: Sequence[Heard], without: str = "") -> Balance:
    """Put the voices together so that the entry meant comes first, on all blocks but one."""
    both, candidates, right = [], [], []
    for one in heard:
        inside = np.flatnonzero(corpus.number[one.block] < corpus.entries)
        if one.name == without or not len(inside):
            continue
        said = np.stack([one.ridge[inside, : corpus.entries], one.bayes[inside, : corpus.entries]], axis=-1).astype(np.float64)
        best = np.argsort(-(said @ (5.0, 1.0)), axis=1, kind="stable")[:, :COMPARED]
        hit = best == corpus.number[one.block][inside][:, None]
        found = hit.any(axis=1)
        both.append(np.take_along_axis(said, best[:, :, None], axis=1)[found])
        candidates.append(best[found])
        right.append(hit[found].argmax(axis=1))
    said, named, meant = np.concatenate(both), np.concatenate(candidates), np.concatenate(right)
    lines = np.arange(len(meant))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        level = weights[2:]
        scored = said @ weights[:2] + level[named]
        scored -= scored.max(axis=1, keepdims=True)
        share = np.exp(scored)
        share /= share.sum(axis=1, keepdims=True)
        missed = float(-np.log(share[lines, meant] + 1e-12).sum() + LEVEL * level @ level)
        share[lines, meant] -= 1.0
        slope = np.empty_like(weights)
        slope[:2] = (share[:, :, None] * said).sum(axis=(0, 1))
        slope[2:] = np.bincount(named.ravel(), weights=share.ravel(), minlength=len(level)) + 2.0 * LEVEL * level
        return missed / len(meant), slope / len(meant)

    weights = minimize(loss, np.concatenate([[5.0, 1.0], np.zeros(corpus.entries)]), jac=True, method="L-BFGS-B").x
    start = np.zeros(len(corpus.classes))
    start[: corpus.entries] = np.round(weights[2:] / weights[1], 4)
    return Balance(round(float(weights[0] / weights[1]), 4), start)


def rank_unseen(corpus: Corpus, used: Used, heard: Sequence[Heard], guessed: NDArray[np.float64], balance: Balance) -> list[Unseen]:
    """Rank every phrasing as if its block had never been seen."""
    found: list[Unseen] = []
    for one in heard:
        inside = corpus.number[one.block[0]] < corpus.entries
        own = fit_balance(corpus, heard, one.name) if inside else balance
        matcher = Matcher(
            corpus.lexicon, corpus.features, NO_VOICES, own.start, NO_INTENT, used.without(one.block), corpus.classes, corpus.verdicts
        )
        for place, row in enumerate(one.block):
            if corpus.readings[row].roots:
                said = np.stack([one.ridge[place] * own.loudness, one.bayes[place]]).astype(np.float64)
                intent = (float(guessed[row, 0]), float(guessed[row, 1]))
                ranked = matcher.weigh(corpus.readings[row], said, intent)
                found.append(Unseen(one.name, int(row), int(corpus.number[row]), ranked))
    return found


NO_VOICES: Final = Voices(
    np.zeros(1, np.float32),
    np.zeros(1, np.int32),
    np.zeros((1, 1), np.int8),
    np.zeros(1, np.int32),
    np.zeros(1, np.uint16),
    np.zeros(1, np.int8),
)
NO_INTENT: Final = Intent(np.zeros((1, 2), np.float16), (0.0, 0.0))


WRONG_AT_MOST: Final[Mapping[str, float]] = {"dilarang": 0.008, "bersyarat": 0.008, "boleh": 0.002}
"""Share of answers with this verdict that may have another verdict in truth, measured on unseen registers."""

DECLINED_AT_MOST: Final = 0.005
"""Share of the questions about entries that may be declined."""

REPORTS_MISSED: Final = 0.03
"""Share of the reports that may be taken for questions."""

LONG_AT_MOST: Final = 8.0
"""What a long question beside the subject may count for at most; there are few."""

LONG: Final = (3, 5, 7, 10, 14)
"""Numbers of content words between which questions count as equally long."""


def fit_judge(unseen: Sequence[Unseen], corpus: Corpus) -> Judge:
    """Fit the probabilities of the cases, and choose the thresholds."""
    entries, classes = corpus.entries, len(corpus.classes)
    asked = [one for one in unseen if one.case(entries, classes) != "report"]
    signals = np.array([one.ranked.signals.vector() for one in asked])
    cases = np.array([CASES.index(one.case(entries, classes)) for one in asked])
    lengths = np.digitize([len(corpus.readings[one.row].content) for one in asked], LONG)
    weights = fit_cases(signals, cases, alike(lengths, cases == CASES.index("outside")))
    wish, report = fit_wish(unseen, corpus)
    judge = Judge(weights, wish, dict.fromkeys(WRONG_AT_MOST, 0.0), report, decline=0.5, lead_verdict=0.1, covered=0.6)
    return replace(judge, answer=fit_answers(judge, asked, corpus), decline=fit_decline(judge, asked, corpus))


def alike(lengths: NDArray[np.intp], outside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights under which questions beside the subject are as long as the others: how long a question is must not tell what it is about."""
    size = len(LONG) + 1
    inside = np.bincount(lengths[~outside], minlength=size) / max(1, int((~outside).sum()))
    beside = np.bincount(lengths[outside], minlength=size) / max(1, int(outside.sum()))
    weights = np.ones(len(lengths))
    weights[outside] = np.minimum(LONG_AT_MOST, inside / np.maximum(beside, 1e-6))[lengths[outside]]
    weights[outside] /= weights[outside].mean()
    return weights


def fit_cases(signals: NDArray[np.float64], cases: NDArray[np.intp], weights: NDArray[np.float64]) -> dict[str, list[float]]:
    """Fit the probabilities of the cases."""
    return dict(zip(CASES, _logistic(signals, cases, weights), strict=True))


def fit_wish(unseen: Sequence[Unseen], corpus: Corpus) -> tuple[list[float], float]:
    """Fit the wish to report, and choose the log-odds from which on the tip flow is offered."""
    signals = np.array([one.ranked.signals.vector() for one in unseen])
    wish = np.array([one.number == len(corpus.classes) - 1 for one in unseen])
    lengths = np.digitize([len(corpus.readings[one.row].content) for one in unseen], LONG)
    (weights,) = _logistic(signals, wish.astype(np.intp), alike(lengths, wish))
    odds = signals[wish] @ np.array(weights[:-1]) + weights[-1]
    return weights, round(float(np.quantile(odds, REPORTS_MISSED)), 4)


def _logistic(signals: NDArray[np.float64], cases: NDArray[np.intp], weights: NDArray[np.float64]) -> list[list[float]]:
    """A logistic regression: the weights of the signals for each case, the constant last."""
    middle, spread = signals.mean(axis=0), signals.std(axis=0) + 1e-9
    model = LogisticRegression(C=1.0, max_iter=2000).fit((signals - middle) / spread, cases, sample_weight=weights)
    slopes = model.coef_ / spread
    constants = model.intercept_ - slopes @ middle
    return [[round(float(value), 6) for value in (*slope, constant)] for slope, constant in zip(slopes, constants, strict=True)]


def fit_answers(judge: Judge, asked: Sequence[Unseen], corpus: Corpus) -> dict[str, float]:
    """For each verdict the lowest probability from which on few enough answers have another verdict in truth."""
    found: dict[str, float] = {}
    for verdict, at_most in WRONG_AT_MOST.items():
        lines = []
        for one in asked:
            if corpus.verdicts[one.ranked.classes[0]] == verdict:
                right = judge.probabilities(one.ranked.signals)["right"]
                if judge.answers(verdict, right, one.ranked.signals):
                    lines.append((right, corpus.verdicts[one.number] != verdict))
        lines.sort(reverse=True)
        wrong = np.cumsum([line[1] for line in lines])
        share = wrong / np.arange(1, len(lines) + 1)
        enough = np.flatnonzero(share <= at_most)
        found[verdict] = round(lines[int(enough[-1])][0], 4) if len(enough) else 1.0
    return {**found, "boleh": max(found.values())}


def fit_decline(judge: Judge, asked: Sequence[Unseen], corpus: Corpus) -> float:
    """The probability of lying outside from which on so few questions about entries are declined."""
    outside = [judge.probabilities(one.ranked.signals)["outside"] for one in asked if one.number < corpus.entries]
    return round(max(0.5, float(np.quantile(outside, 1.0 - DECLINED_AT_MOST))), 4)


def write(out: Path, built: Built, judge: Judge) -> None:
    """Write the weights, the same bytes for the same sources."""
    corpus, matcher = built.corpus, built.matcher
    out.mkdir(parents=True, exist_ok=True)
    voices, words = matcher.voices, matcher.words
    arrays: Mapping[str, NDArray[Any]] = {
        "idf": corpus.features.idf,
        "scale": voices.scale,
        "full": voices.full,
        "dense": voices.dense,
        "start": voices.start,
        "column": voices.column,
        "value": voices.value,
        "head_start": matcher.head_start,
        "intent": matcher.intent.weight,
        "word_weight": words.weight,
        "word_used": words.used,
    }
    for old in (*out.glob("*.npy"), *out.glob("*.txt")):
        old.unlink()
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", array, allow_pickle=False)
    for name, lines in (("features", corpus.vocabulary), ("roots", corpus.roots), ("words", list(words.row))):
        (out / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    table = {
        "sources": source_hash(),
        "classes": list(corpus.classes),
        "verdicts": list(corpus.verdicts),
        "intent": list(matcher.intent.constant),
        "judge": asdict(judge),
    }
    (out / "model.json").write_text(json.dumps(table, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
