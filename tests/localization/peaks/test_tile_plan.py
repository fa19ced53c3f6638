"""Tiles: every pixel counts once, seen with the whole receptive field or up to the frame's border."""

import numpy as np
import pytest

from ds3d_tf.localization.peaks.tile_plan import plan_tiles, plan_tiles_of_size


def check(tiles, shape, overlap):
    counted = np.zeros(shape, int)
    for tile in tiles:
        counted[slice(*tile.kept_rows), slice(*tile.kept_columns)] += 1
        for seen, kept, length in zip(
            (tile.rows, tile.columns), (tile.kept_rows, tile.kept_columns), shape, strict=True
        ):
            assert 0 <= seen[0] <= kept[0] < kept[1] <= seen[1] <= length
            assert seen[0] == 0 or kept[0] - seen[0] >= overlap
            assert seen[1] == length or seen[1] - kept[1] >= overlap
    assert (counted == 1).all()


@pytest.mark.parametrize("shape", [(40, 40), (61, 74), (41, 97), (40, 200)])
@pytest.mark.parametrize(("size", "overlap"), [((40, 40), 13), ((27, 31), 13), ((33, 40), 2), ((40, 40), 19)])
def test_tiles_of_one_size(shape, size, overlap):
    tiles = plan_tiles_of_size(shape, size, overlap)
    assert {(p.rows[1] - p.rows[0], p.columns[1] - p.columns[0]) for p in tiles} == {size}
    check(tiles, shape, overlap)
    # The fewest there can be.
    least = [
        1 if length == own else 2 + max(-(-(length - 2 * (own - overlap)) // (own - 2 * overlap)), 0)
        for length, own in zip(shape, size, strict=True)
    ]
    assert len(tiles) == least[0] * least[1]


@pytest.mark.parametrize("tile", [(0, 0), (20, 30), (8, 74), (100, 100)])
def test_tiles_with_an_overlap(tile):
    tiles = plan_tiles((61, 74), tile, 13)
    check(tiles, (61, 74), 13)
    if tile == (0, 0):
        assert len(tiles) == 1 and tiles[0].rows == (0, 61)


@pytest.mark.parametrize(("shape", "size", "overlap"), [((39, 50), (40, 40), 3), ((50, 50), (40, 26), 13)])
def test_tiles_that_cannot_cover(shape, size, overlap):
    with pytest.raises(ValueError, match="cannot cover"):
        plan_tiles_of_size(shape, size, overlap)
