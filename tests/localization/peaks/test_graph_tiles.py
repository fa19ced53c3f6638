"""Tiles chosen in the graph are those chosen in Python."""

import numpy as np
import tensorflow as tf

from ds3d_tf.localization.peaks.graph_tiles import graph_tile_size
from ds3d_tf.localization.peaks.tiles import MIN_TILE_PX, tile_size


def test_the_tiles_are_those_of_python():
    choose = tf.function(graph_tile_size, input_signature=[tf.TensorSpec([], tf.int32)] * 4)
    rng = np.random.default_rng(0)
    chosen = set()
    for _ in range(150):
        height, width = (int(size) for size in rng.integers(5, 700, 2))
        overlap_px = int(rng.integers(1, 45))
        most = int(rng.integers((MIN_TILE_PX + 2 * overlap_px) ** 2 // 2, 250_000))
        expected = tile_size((height, width), overlap_px, most)
        got = tuple(choose(height, width, overlap_px, most).numpy())
        if expected is None:
            assert max(got) < 2 * MIN_TILE_PX
        else:
            assert got == expected, (height, width, overlap_px, most)
        chosen.add(expected)
    assert len(chosen) > 60 and None in chosen
    assert tuple(choose(2048, 2048, 36, 133_000).numpy()) == tile_size((2048, 2048), 36, 133_000)
