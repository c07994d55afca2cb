from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from whatworks import kriging, rank
from whatworks.kriging import Covariances

SHARED, OWN = np.array([0.2, 0.0, 0.02]), np.array([0.03, 0.7, 0.5])


def made_of(contexts: int, cells: int, patterns: int, seed: int) -> Covariances:
    """Cells at random, no pattern twice in a context."""
    chance = np.random.default_rng(seed)
    keys = chance.choice(contexts * patterns, cells, replace=False)
    vectors = chance.standard_normal((contexts, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kernels = np.array([rank.kernel(vectors @ vectors.T, reach) for reach in (0.6, 1.0, 1.0)])
    noise = (1 - SHARED - OWN)[:, None] / chance.uniform(0.2, 2.0, cells)
    return Covariances(kernels, keys % contexts, keys // contexts, SHARED, OWN, noise)


def solved(given: Covariances, right: np.ndarray) -> np.ndarray:
    """By the definition of the covariance."""
    kernels, context, pattern, shared, own, noise = given
    found = []
    for h, side in enumerate(right):
        share = shared[h] + own[h] * (pattern[:, None] == pattern)
        covariance = share * kernels[h][np.ix_(context, context)] + np.diag(noise[h])
        found.append(np.linalg.solve(covariance, side))
    return np.array(found)


@pytest.mark.parametrize(
    ("contexts", "cells", "patterns"),
    [(1, 1, 1), (1, 9, 9), (9, 9, 1), (4, 64, 20), (30, 256, 150), (128, 256, 2), (256, 256, 40)],
)
def test_cells_may_share_contexts_and_patterns_in_any_way(
    contexts: int, cells: int, patterns: int
) -> None:
    given = made_of(contexts, cells, patterns, seed=cells)
    right = np.random.default_rng(1).standard_normal((3, cells, 5))
    assert_allclose(kriging.systems(given).solve(right), solved(given, right), rtol=1e-9, atol=1e-11)


def test_a_pattern_may_have_several_cells_in_a_context() -> None:
    given = made_of(4, 64, 20, seed=0)
    twice = given._replace(
        **{name: np.tile(getattr(given, name), 2) for name in ("context", "pattern", "noise")}
    )
    right = np.random.default_rng(1).standard_normal((3, 128, 2))
    assert_allclose(kriging.systems(twice).solve(right), solved(twice, right), rtol=1e-9, atol=1e-11)


def test_estimates_are_the_same_whether_or_not_it_is_known_which_cells_share_a_context() -> None:
    given, chance = made_of(12, 100, 30, seed=3), np.random.default_rng(4)
    vectors = chance.standard_normal((13, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    seen = vectors[:-1][given.context]
    known = rank.Records(
        *chance.uniform(1, 9, (1, 30)), *chance.uniform(0, 1, (1, 30)), *np.zeros((3, 30))
    )
    cells = rank.Cells(
        given.pattern,
        seen @ vectors[-1],
        seen @ seen.T,
        chance.uniform(0.5, 2, 100),
        chance.random(100),
    )
    grouped = rank.Cells(
        given.pattern,
        cells.similarity,
        vectors[:-1] @ vectors[:-1].T,
        cells.effective,
        cells.mean,
        given.context,
    )
    whole = rank.Population(0.5, 15.0)
    one, other = rank.estimate(known, cells, whole), rank.estimate(known, grouped, whole)
    for part in dataclasses.fields(one):
        assert_allclose(getattr(one, part.name), getattr(other, part.name), rtol=1e-9, atol=1e-12)
