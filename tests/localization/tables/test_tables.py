"""Tables: the origin against hand-computed positions, the round trip, and files that are no tables."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.localization.tables.tables import from_table, read_table, to_table, write_table

SETUP = SimpleNamespace(optics=SimpleNamespace(pixel_um=0.11), volume=SimpleNamespace(z_min_um=2.0))


@pytest.mark.parametrize("shape", [(121, 121), (297, 391), (40, 64)])
def test_origin_is_the_corner_of_the_frame_and_z_min(shape):
    """ThunderSTORM: the centre of pixel (row, column) is at (column + 0.5, row + 0.5) pixels."""
    height, width = shape
    middle = to_table([1], [[0.0, 0.0, 2.0]], [100], shape, SETUP).iloc[0]
    assert middle["x [nm]"] == pytest.approx((width // 2 + 0.5) * 110)
    assert middle["y [nm]"] == pytest.approx((height // 2 + 0.5) * 110)
    assert middle["z [nm]"] == pytest.approx(0)
    corner = to_table([1], [[-(width // 2) * 0.11, -(height // 2) * 0.11, 3.5]], [1], shape, SETUP).iloc[0]
    assert [corner["x [nm]"], corner["y [nm]"], corner["z [nm]"]] == pytest.approx([55, 55, 1500])


def test_round_trip_through_the_file(tmp_path):
    rng = np.random.default_rng(0)
    frame, xyz, confidence = rng.integers(1, 9, 50), rng.uniform(-5, 5, (50, 3)), rng.uniform(0, 800, 50)
    write_table(tmp_path / "a.csv", to_table(frame, xyz, confidence, (90, 80), SETUP))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "frame,x [nm],y [nm],z [nm],intensity [au]" and len(lines) == 51
    back = from_table(read_table(tmp_path / "a.csv"), (90, 80), SETUP)
    np.testing.assert_array_equal(back[0], frame)
    np.testing.assert_allclose(back[1], xyz, atol=1e-6)
    np.testing.assert_allclose(back[2], confidence, atol=1e-3)


def test_no_localizations(tmp_path):
    write_table(tmp_path / "a.csv", to_table([], np.zeros((0, 3)), [], (9, 9), SETUP))
    assert len(read_table(tmp_path / "a.csv")) == 0


def test_table_of_thunderstorm(tmp_path):
    """Quoted names, an id, further columns, the frame as a float."""
    text = '"id","frame","x [nm]","y [nm]","z [nm]","sigma1 [nm]","intensity [au]"\n1,3.0,10.5,20.5,-30,150,99\n'
    (tmp_path / "a.csv").write_text(text)
    table = read_table(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(
        table,
        pd.DataFrame({"frame": [3], "x [nm]": [10.5], "y [nm]": [20.5], "z [nm]": [-30.0], "intensity [au]": [99.0]}),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no such file"),
        ("", "not a CSV table"),
        ("frame,x [nm]\n1,2\n", r"no column 'y \[nm\]'"),
        ("frame,x [nm],y [nm],z [nm],intensity [au]\n1,2,oops,4,5\n", r"row 2, column 'y \[nm\]': 'oops'"),
        ("frame,x [nm],y [nm],z [nm],intensity [au]\n1,2,3,4,5\n2,2,3,nan,5\n", r"row 3, column 'z \[nm\]'"),
        ("frame,x [nm],y [nm],z [nm],intensity [au]\n1.5,2,3,4,5\n", "whole number"),
        ("frame,x [nm],y [nm],z [nm],intensity [au]\n0,2,3,4,5\n", "counted from 1"),
        ("\x00\xff\xfe", "not a text file"),
    ],
)
def test_bad_tables(tmp_path, text, expected):
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=expected) as caught:
        read_table(path)
    assert "bad.csv" in str(caught.value) and "\n" not in str(caught.value)
