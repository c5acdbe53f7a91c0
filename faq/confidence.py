"""How sure the bot is, and what follows: answer, let the person choose, decline, or offer the tip flow.

The probability of each case is fitted on rankings of questions whose whole register the ranking had not seen. A "boleh" needs more than
a high probability: every guard of `Judge.safe` must hold as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

CASES: Final = ("right", "wrong", "outside", "report")
"""What a question may be: its best entry is meant; another entry is; it lies beside the subject; somebody wants to report a deed."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What a ranking looks like: everything the probabilities are made of."""

    best: float
    """Score of the best entry."""
    lead: float
    """Its lead over the second entry."""
    lead_verdict: float
    """Its lead over the best entry of another verdict."""
    ridge: float
    """What the ridge regression gives it."""
    ridge_lead: float
    """Its lead by the ridge regression alone; negative where that prefers another."""
    bayes: float
    """What naive Bayes gives it."""
    bayes_lead: float
    """Its lead by naive Bayes alone; negative where that prefers another."""
    lead_outside: float
    """Its lead over the best redirect."""
    lead_report: float
    """Its lead over the wish to report."""
    outside: float
    """What the ridge regression gives the best redirect."""
    report: float
    """What the ridge regression gives the wish to report."""
    covered: float
    """Share of the question's weight that its own phrasings hold."""
    known: float
    """Share of the question's words that any phrasing holds."""
    words: float
    """Number of content words, on a logarithmic scale."""
    reporting: float
    """Does a word of reporting appear?"""
    risk: float
    """Words that make a "boleh" dangerous and that its phrasings do not hold."""

    def vector(self) -> list[float]:
        """The signals in the order of their names."""
        return [getattr(self, name) for name in NAMES]


NAMES: Final = tuple(field.name for field in fields(Signals))


@dataclass(frozen=True, slots=True)
class Judge:
    """The weights of the probabilities and the thresholds of the decision."""

    weights: Mapping[str, Sequence[float]]
    """For each case the weights of the signals, the constant last."""
    answer: float
    """From this probability on, an entry is answered alone."""
    answer_boleh: float
    """The same for an entry whose verdict is boleh."""
    answer_bersyarat: float
    """The same for an entry whose verdict is bersyarat."""
    report: float
    """From this probability on, the tip flow is offered."""
    decline: float
    """From this probability of lying outside on, nothing is offered."""

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Judge:
        """Read what `faq.train` has written."""
        return cls(**table)

    def probabilities(self, signals: Signals) -> dict[str, float]:
        """How likely each case is."""
        vector = [*signals.vector(), 1.0]
        return dict(zip(CASES, softmax([sum(map(float.__mul__, self.weights[case], vector)) for case in CASES]), strict=True))

    def needed(self, verdict: str) -> float:
        """The probability that an answer with this verdict needs."""
        return {"boleh": self.answer_boleh, "bersyarat": self.answer_bersyarat}.get(verdict, self.answer)


def softmax(scores: Sequence[float], sharpness: float = 1.0) -> list[float]:
    """Shares that sum to one."""
    top = max(scores)
    raised = [math.exp(max(-60.0, sharpness * (score - top))) for score in scores]
    whole = sum(raised)
    return [value / whole for value in raised]
