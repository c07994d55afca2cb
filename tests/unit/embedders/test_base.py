from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from whatworks import InvalidInputError, StoreError
from whatworks.embedders import Embedder, embedder_for, vectors_of
from whatworks.testing import HashEmbedder


def plain(texts: list[str]) -> Any:
    return np.ones((len(texts), 3), np.float32)


class Model:
    def __call__(self, texts: list[str]) -> Any:
        return plain(texts)


def test_a_function_is_named_after_its_place() -> None:
    assert embedder_for(plain).model_id.endswith("test_base.plain")
    assert embedder_for(Model()).model_id.endswith("test_base.Model")
    assert embedder_for(partial(plain)).model_id == "functools.partial"


def test_an_embedder_keeps_its_own_name() -> None:
    given = HashEmbedder(8)
    assert embedder_for(given) is given
    assert isinstance(given, Embedder)
    assert given.model_id == "hash-8"


@pytest.mark.parametrize("value", [5, "model", None, [plain]])
def test_what_cannot_be_called_is_no_embedder(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="expected a function"):
        embedder_for(value)


def test_vectors_have_length_one() -> None:
    made = vectors_of(embedder_for(plain), ["a", "b"])
    assert made.dtype == np.float32
    assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)


def test_very_long_and_very_short_vectors_have_length_one_too() -> None:
    for scale in (3e38, 1e-11):
        made = vectors_of(embedder_for(lambda texts, s=scale: np.full((len(texts), 3), s)), ["a"])
        assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda texts: np.ones((len(texts) + 1, 3)), "returned shape"),
        (lambda texts: np.ones(3), "returned shape"),
        (lambda texts: np.ones((len(texts), 0)), "returned shape"),
        (lambda texts: None, "returned shape|failed"),
        (lambda texts: [["a"]], "failed"),
        (lambda texts: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_an_embedder_that_fails_is_a_store_error(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        vectors_of(embedder_for(function), ["a"])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_text_without_direction_gets_zeros_and_leaves_the_others_alone(value: float) -> None:
    made = vectors_of(embedder_for(lambda texts: np.array([[value, value], [3.0, 4.0]])), ["a", "b"])
    assert made.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


def test_texts_that_share_words_are_near_for_the_hash_embedder() -> None:
    near, far, same = HashEmbedder()(["fix the import", "bake a cake", "import the fix"])
    assert near @ same == pytest.approx(1)
    assert near @ far < 0.5
    assert HashEmbedder()([]).shape == (0, 64)
    assert HashEmbedder()(["", "?!"]).shape == (2, 64)
