"""How sure the bot is, and what follows: answer, let the person choose, decline, or offer the tip flow.

The probability of each case is fitted on rankings of questions whose whole register the ranking had not seen. A "boleh" needs more than
a high probability: every guard of `Judge.safe` must hold as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter, mul
from typing import Any, Final

CASES: Final = ("right", "wrong", "outside")
"""What a question may be, unless it is a report: its best entry is meant; another entry is; it lies beside the subject."""

VERDICTS: Final = ("dilarang", "bersyarat", "boleh")


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
    """Log-odds that it lies beside the subject."""
    report: float
    """Log-odds that somebody wants to report a deed."""
    covered: float
    """Share of the question's weight that its own phrasings hold."""
    known: float
    """Share of the question's words that any phrasing holds."""
    risk: float
    """Words that make a "boleh" dangerous and that its phrasings do not hold."""

    def vector(self) -> list[float]:
        """The signals in the order of their names."""
        return list(_ALL(self))


NAMES: Final = tuple(field.name for field in fields(Signals))
_ALL: Final = attrgetter(*NAMES)


@dataclass(frozen=True, slots=True)
class Judge:
    """The weights of the probabilities and the thresholds of the decision."""

    weights: Mapping[str, Sequence[float]]
    """For each case the weights of the signals, the constant last."""
    wish: Sequence[float]
    """The weights of the signals for the wish to report, the constant last."""
    answer: Mapping[str, float]
    """For each verdict the probability from which on an entry is answered alone."""
    report: float
    """From these log-odds of the wish to report on, the tip flow is offered."""
    decline: float
    """From this probability of lying outside on, nothing is offered."""
    lead_verdict: float
    """What a "boleh" must lead the best entry of another verdict by."""
    covered: float
    """What share of the question the phrasings of a "boleh" must hold."""

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Judge:
        """Read what `faq.train` has written."""
        return cls(**table)

    def probabilities(self, signals: Signals) -> dict[str, float]:
        """How likely each case is."""
        vector = signals.vector()
        return dict(zip(CASES, softmax([_weighed(self.weights[case], vector) for case in CASES]), strict=True))

    def reports(self, signals: Signals) -> float:
        """How likely somebody wants to report a deed; from one half on, the tip flow is offered."""
        return 1.0 / (1.0 + math.exp(max(-60.0, min(60.0, self.report - _weighed(self.wish, signals.vector())))))

    def answers(self, verdict: str, right: float, signals: Signals) -> bool:
        """Is the best entry sure enough to be answered alone?"""
        return right >= self.answer[verdict] and (verdict != "boleh" or self.safe(signals))

    def safe(self, signals: Signals) -> bool:
        """The guards of a "boleh": nothing of another verdict is near, nothing of weight or risk is left unexplained."""
        return (
            signals.lead_verdict >= self.lead_verdict
            and signals.covered >= self.covered
            and signals.risk == 0.0
            and signals.ridge_lead > 0.0
            and signals.bayes_lead > 0.0
        )


def _weighed(weights: Sequence[float], vector: Sequence[float]) -> float:
    """The weighed sum of the signals and the constant, which comes last among the weights."""
    whole: float = sum(map(mul, weights, vector)) + weights[-1]
    return whole


def softmax(scores: Sequence[float], sharpness: float = 1.0) -> list[float]:
    """Shares that sum to one."""
    top = max(scores)
    raised = [math.exp(max(-60.0, sharpness * (score - top))) for score in scores]
    whole = sum(raised)
    return [value / whole for value in raised]
