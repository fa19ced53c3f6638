"""Arrays travel as text without loss, and other text is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common.array_text import array_from_text, array_to_text
from ds3d_tf.common.errors import InputError


def test_an_array_comes_back_to_the_bit() -> None:
    for dtype in (np.float64, np.float32, np.int16):
        array = (np.random.default_rng(0).normal(size=(7, 5)) * 100).astype(dtype)
        again = array_from_text(array_to_text(array), "here")
        assert again.dtype == array.dtype and np.array_equal(again, array)


@pytest.mark.parametrize("text", ["", "µ", "AAAA", "eJwDAAAAAAE=", array_to_text(np.zeros(3))[:-8]])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="answer: not an array as text"):
        array_from_text(text, "answer")
