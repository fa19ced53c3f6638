"""Windows: every pixel counts once, seen with all that the network looks at or with the frame's own border."""

import numpy as np
import pytest

from ds3d_tf.localization.peaks.windows import windows, windows_of_size


def check(parts, shape, halo):
    counted = np.zeros(shape, int)
    for part in parts:
        counted[slice(*part.kept_rows), slice(*part.kept_columns)] += 1
        for seen, kept, length in zip(
            (part.rows, part.columns), (part.kept_rows, part.kept_columns), shape, strict=True
        ):
            assert 0 <= seen[0] <= kept[0] < kept[1] <= seen[1] <= length
            assert seen[0] == 0 or kept[0] - seen[0] >= halo
            assert seen[1] == length or seen[1] - kept[1] >= halo
    assert (counted == 1).all()


@pytest.mark.parametrize("shape", [(40, 40), (61, 74), (41, 97), (40, 200)])
@pytest.mark.parametrize(("size", "halo"), [((40, 40), 13), ((27, 31), 13), ((33, 40), 2), ((40, 40), 19)])
def test_windows_of_one_size(shape, size, halo):
    parts = windows_of_size(shape, size, halo)
    assert {(p.rows[1] - p.rows[0], p.columns[1] - p.columns[0]) for p in parts} == {size}
    check(parts, shape, halo)
    # The fewest there can be.
    least = [
        1 if length == own else 2 + max(-(-(length - 2 * (own - halo)) // (own - 2 * halo)), 0)
        for length, own in zip(shape, size, strict=True)
    ]
    assert len(parts) == least[0] * least[1]


@pytest.mark.parametrize("tile", [(0, 0), (20, 30), (8, 74), (100, 100)])
def test_windows_with_a_halo(tile):
    parts = windows((61, 74), tile, 13)
    check(parts, (61, 74), 13)
    if tile == (0, 0):
        assert len(parts) == 1 and parts[0].rows == (0, 61)


@pytest.mark.parametrize(("shape", "size", "halo"), [((39, 50), (40, 40), 3), ((50, 50), (40, 26), 13)])
def test_windows_that_cannot_cover(shape, size, halo):
    with pytest.raises(ValueError, match="cannot cover"):
        windows_of_size(shape, size, halo)
