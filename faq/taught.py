"""Phrasings that an installation has taught the matcher beside its weights: they speak up where a question is nearly the same.

A taught phrasing lifts its entry just so far that both voices would prefer it for these very words, and loses its influence as a question
becomes less like it; beyond `NEAR` it has none. So teaching one thing leaves everything else as it was measured. It is no training: what
proves itself belongs into `faq/phrasings`, where `netra faq train` learns from it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faq.entries import Phrasing
from faq.voices import UNKNOWN, Floats, Ints, Matcher, Words

NEAR: Final = 0.55
"""From this likeness on (cosine of the features) a phrasing says something; at 1 it says all."""

RIDGE_LEAD: Final = 2.0
BAYES_LEAD: Final = 8.0
INSIDE: Final = -7.0
"""What an entry leads the next one by in each voice, and the log-odds of lying beside the subject, at the same words: the medians of the
questions of the development set that are answered."""


class Taught:
    """The features of the phrasings, and how far each lifts its entry."""

    def __init__(self, matcher: Matcher, phrasings: Sequence[Phrasing]) -> None:
        place = {name: number for number, name in enumerate(matcher.classes[: matcher.entries])}
        rows: list[Ints] = []
        weights: list[Floats] = []
        classes, lifts, inside = [], [], []
        for phrasing in phrasings:
            reading = matcher.lexicon.read(phrasing.words)
            if phrasing.entry not in place or not reading.content:
                continue
            number = place[phrasing.entry]
            found, heavy = matcher.features.of(reading)
            heard, others = matcher.voices.scores(found, heavy)[:, : matcher.entries], np.arange(matcher.entries) != number
            ridge, bayes = heard[:, number]
            ahead = (heard[:, others]).max(axis=1)
            head = float((matcher.head_start[: matcher.entries][others]).max() - matcher.head_start[number])
            lifts.append((max(0.0, ahead[0] + RIDGE_LEAD - ridge), max(0.0, ahead[1] + BAYES_LEAD + max(0.0, head) - bayes)))
            inside.append(max(0.0, matcher.intent.of(found, heavy)[0] - INSIDE))
            classes.append(number)
            rows.append(found)
            weights.append(heavy)
        owner = np.repeat(np.arange(len(rows)), [len(found) for found in rows])
        feature = np.concatenate(rows) if rows else np.zeros(0, np.int32)
        order = np.argsort(feature, kind="stable")
        self.feature, self.owner = feature[order], owner[order]
        self.value = (np.concatenate(weights) if weights else np.zeros(0, np.float32))[order]
        self.classes = np.array(classes, dtype=np.int64)
        self.lift = np.array(lifts).reshape(-1, 2)
        self.inside = np.array(inside)

    def near(self, rows: Ints, weights: Floats) -> NDArray[np.float64]:
        """How much each phrasing has to say of a question: from nothing to all."""
        begins, ends = self.feature.searchsorted(rows, "left"), self.feature.searchsorted(rows, "right")
        lengths = ends - begins
        places = np.repeat(begins - lengths.cumsum() + lengths, lengths) + np.arange(int(lengths.sum()))
        shared = self.value[places] * weights.repeat(lengths)
        likeness = np.bincount(self.owner[places], weights=shared, minlength=len(self.classes)) / 2.0  # parts and words, each of length one
        near: NDArray[np.float64] = np.clip((likeness - NEAR) / (1.0 - NEAR), 0.0, 1.0)
        return near

    def hear(
        self, rows: Ints, weights: Floats, heard: NDArray[np.float64], intent: tuple[float, float]
    ) -> tuple[NDArray[np.float64], tuple[float, float]]:
        """What the voices and the intent say when the phrasings have had their say."""
        near = self.near(rows, weights)
        loud = near.nonzero()[0]
        if not len(loud):
            return heard, intent
        heard = heard.copy()
        for voice in (0, 1):
            lifted = np.zeros(heard.shape[1])
            np.maximum.at(lifted, self.classes[loud], near[loud] * self.lift[loud, voice])
            heard[voice] += lifted
        return heard, (intent[0] - float((near[loud] * self.inside[loud]).max()), intent[1])


def teach(matcher: Matcher, phrasings: Sequence[Phrasing]) -> Matcher:
    """A matcher that knows these phrasings too; the one given stays as it is."""
    knows = copy.copy(matcher)
    knows.taught = Taught(matcher, phrasings)
    knows.words = _with_words(matcher, phrasings)
    return knows


def _with_words(matcher: Matcher, phrasings: Sequence[Phrasing]) -> Words:
    """Which words are used for which entry, the new ones included; a risky word never becomes one of a "boleh"."""
    words, place = matcher.words, {name: number for number, name in enumerate(matcher.classes[: matcher.entries])}
    row, used = dict(words.row), [np.array(words.used)]
    weight = list(words.weight)
    wanted: list[tuple[str, int]] = []
    for phrasing in phrasings:
        number = place.get(phrasing.entry)
        if number is not None:
            risky = matcher.lexicon.risk if matcher.verdicts[number] == "boleh" else frozenset[str]()
            wanted += [(word, number) for word in matcher.lexicon.read(phrasing.words).content if word not in risky]
    for word, _ in wanted:
        if word not in row:
            row[word] = len(weight)
            weight.append(UNKNOWN)
            used.append(np.zeros((1, words.used.shape[1]), np.uint8))
    bits = np.concatenate(used)
    for word, number in wanted:
        bits[row[word], number >> 3] |= 128 >> (number & 7)
    return Words(row, np.array(weight, dtype=np.float32), bits)
