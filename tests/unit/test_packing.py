"""Vectors in 16-bit integers: what is left of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_array_equal

from whatworks import packing
from whatworks.testing import directions


def test_a_number_is_off_by_half_a_step_at_most_and_a_cosine_by_little() -> None:
    vectors, query = directions(500, 384), directions(1, 384, seed=3)[0]
    found = packing.unpacked(packing.packed(vectors))
    steps = np.abs(vectors).max(axis=1, keepdims=True) / packing.LARGEST
    assert (np.abs(found - vectors) <= 0.51 * steps + 1e-6).all()
    assert np.abs((found - vectors) @ query).max() < 1e-5
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)


numbers = st.floats(-1, 1, width=32).filter(lambda number: number == 0 or abs(number) > 1e-30)


@given(arrays.arrays(np.float32, (3, 4), elements=numbers).filter(lambda made: made.any(1).all()))
def test_what_was_read_is_packed_to_the_same_again(vectors: np.ndarray) -> None:
    kept = packing.packed(vectors)
    assert_array_equal(packing.packed(packing.unpacked(kept)), kept)


def test_the_largest_number_may_be_any() -> None:
    for scale in (1e-38, 1e-10, 1.0, 1e38):
        made = np.array([[1, -2, 0.5]], np.float32) * np.float32(scale)
        assert packing.packed(made).tolist() == [[16384, -32767, 8192]]
