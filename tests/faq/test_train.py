"""The build: leaving out follows from the one solution, and counts are counts."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("sklearn")

from scipy.sparse import csr_matrix

from faq.train import RIDGE, SMOOTH, Counts, alike, quantise, solve

RANDOM = np.random.default_rng(7)
MATRIX = csr_matrix((RANDOM.random((40, 25)) * (RANDOM.random((40, 25)) > 0.6)).astype(np.float32))
NUMBER = RANDOM.integers(0, 4, 40).astype(np.int32)


def test_an_unseen_block_is_scored_as_if_trained_without_it() -> None:
    """The short cut and the long way agree."""
    block = np.array([3, 4, 5, 17])
    short = solve(MATRIX, NUMBER, 4).unseen(block)
    kept = np.setdiff1d(np.arange(40), block)
    seen = MATRIX[kept].toarray()
    target = np.eye(4, dtype=np.float32)[NUMBER[kept]]
    weight = seen.T @ np.linalg.solve(seen @ seen.T + RIDGE * np.eye(len(kept)), target)
    assert short == pytest.approx(MATRIX[block].toarray() @ weight, abs=1e-4)


def test_counts_without_a_block_are_counts_of_the_rest() -> None:
    """Taking off is as good as never adding."""
    block = np.array([0, 9, 20])
    kept = np.setdiff1d(np.arange(40), block)
    without = Counts(MATRIX, NUMBER, 4).bayes(block).toarray()
    assert without == pytest.approx(Counts(MATRIX[kept], NUMBER[kept], 4).bayes().toarray())


def test_naive_bayes_weighs_what_is_said_more_often_than_expected() -> None:
    """One feature, said twice of one of two equal classes."""
    matrix = csr_matrix(np.array([[1], [1], [0], [0]], dtype=np.float32))
    weight = Counts(matrix, np.array([0, 0, 1, 1], dtype=np.int32), 2).bayes().toarray()
    assert weight == pytest.approx(np.array([[np.log1p(2 / (1 + SMOOTH)), 0.0]]))


def test_eight_bits_are_near_enough() -> None:
    """What is kept is kept to one part in a hundred of the largest weight."""
    ridge = np.zeros((6, 3), dtype=np.float32)
    bayes = csr_matrix(RANDOM.random((6, 3)))
    voices = quantise(ridge, bayes)
    said = voices.scores(np.arange(6, dtype=np.int32), np.ones(6, dtype=np.float32))
    assert said[1] == pytest.approx(bayes.toarray().sum(axis=0), abs=0.05)


def test_length_tells_nothing() -> None:
    """Weighed, questions beside the subject are as long as the others."""
    lengths = np.array([0] * 10 + [1] * 10 + [0] * 8 + [1] * 2)
    outside = np.array([False] * 20 + [True] * 10)
    weights = alike(lengths, outside)
    assert weights[outside & (lengths == 0)].sum() == pytest.approx(weights[outside & (lengths == 1)].sum())
    assert (weights[~outside] == 1.0).all()
