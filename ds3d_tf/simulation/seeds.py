"""Counter-based seeds: every random number follows from (seed, split, frame), never from what ran before."""

from __future__ import annotations

import tensorflow as tf

SPLITS = {"training": 0, "validation": 1, "simulation": 2}


def split_seed(seed: int, split: str) -> tf.Tensor:
    """Return the seed, int64 ``[2]`` (no unit), of a split: "training", "validation" or "simulation".

    Raises ValueError for another split.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {sorted(SPLITS)}, got {split!r}")
    return tf.constant([seed % 2**63, SPLITS[split]], tf.int64)


def derived_seed(seed: tf.Tensor, counter: int | tf.Tensor) -> tf.Tensor:
    """Return an independent seed for each value of a counter.

    Args:
        seed: int64 ``[2]``, no unit.
        counter: int scalar, no unit.

    Returns:
        int64 ``[2]``, no unit.
    """
    return tf.random.experimental.stateless_fold_in(seed, counter)
