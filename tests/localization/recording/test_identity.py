"""A recording exchanged between a crash and the resume is noticed; one that only grew is resumed where asked."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames.read_ahead import read_ahead
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.localization.recording.identity import checksums, open_table
from ds3d_tf.localization.tables.tables import COLUMNS

FRAMES = np.random.default_rng(0).poisson(100, (20, 16, 16)).astype(np.uint16)
DONE = 12


def row(frame):
    return pd.DataFrame({name: np.array([frame], float) for name in COLUMNS}).astype({"frame": int})


def table_of(folder, **options):
    source = open_frames(folder / "run.tif")
    return source, open_table(
        folder / "out.csv", {"model": "m"}, folder / "run.tif", source, columns=COLUMNS, **options
    )


@pytest.fixture
def interrupted(tmp_path):
    """A folder with a recording and its table, 12 of 20 frames done."""
    tifffile.imwrite(tmp_path / "run.tif", FRAMES, photometric="minisblack")
    source, table = table_of(tmp_path)
    for batch in read_ahead(source, 4, stop=DONE):
        table.append(row(batch.first + 1), batch.first + batch.count, None, checksums(batch))
    table.commit()
    return tmp_path


def write(folder, frames, keep_date=False):
    before = (folder / "run.tif").stat()
    tifffile.imwrite(folder / "run.tif", frames, photometric="minisblack")
    if keep_date:
        os.utime(folder / "run.tif", ns=(before.st_atime_ns, before.st_mtime_ns))


def one_pixel_less(frames):
    frames = frames.copy()
    frames[7, 3, 3] -= 1
    return frames


@pytest.mark.parametrize("keep_date", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        one_pixel_less,
        lambda frames: frames[::-1],
        lambda frames: np.roll(frames, 1, axis=0),
        lambda frames: np.concatenate([frames[:1], frames[1:][::-1]]),
        lambda frames: np.random.default_rng(1).poisson(100, frames.shape).astype(np.uint16),
    ],
)
def test_changed_recordings_are_refused(interrupted, change, keep_date):
    before = {path.name: path.read_bytes() for path in interrupted.glob("out.*")}
    write(interrupted, change(FRAMES), keep_date)
    with pytest.raises(InputError, match="another"):
        table_of(interrupted)
    assert {path.name: path.read_bytes() for path in interrupted.glob("out.*")} == before
    assert table_of(interrupted, overwrite=True)[1].next_frame == 0


def test_a_recording_that_was_only_copied_is_resumed(interrupted):
    shutil.copy(interrupted / "run.tif", interrupted / "copy.tif")
    (interrupted / "copy.tif").replace(interrupted / "run.tif")
    os.utime(interrupted / "run.tif", (0, 0))
    assert table_of(interrupted)[1].next_frame == DONE


def test_frames_still_to_do_may_change_nothing_else(interrupted):
    """What was not yet localized is not compared with anything; the frames done are."""
    changed = FRAMES.copy()
    changed[DONE:] += 1
    write(interrupted, changed)
    assert table_of(interrupted)[1].next_frame == DONE


def test_grown_recordings_are_resumed_where_asked(interrupted):
    write(interrupted, np.concatenate([FRAMES, FRAMES[:5]]))
    with pytest.raises(InputError, match=r"number of frames, which was 20 and is 25; grown"):
        table_of(interrupted)
    assert table_of(interrupted, grown=True)[1].next_frame == DONE
    write(interrupted, np.concatenate([FRAMES[::-1], FRAMES[:5]]))
    with pytest.raises(InputError, match="another first frame"):
        table_of(interrupted, grown=True)
    write(interrupted, np.concatenate([FRAMES[:1], FRAMES[:0:-1], FRAMES[:5]]))
    with pytest.raises(InputError, match="another recording"):
        table_of(interrupted, grown=True)


def test_shorter_recordings_are_refused_even_where_growth_is_asked_for(interrupted):
    write(interrupted, FRAMES[:15])
    with pytest.raises(InputError, match="number of frames"):
        table_of(interrupted, grown=True)


def test_changed_rows_are_refused(interrupted):
    rows = interrupted / "out.partial.csv"
    rows.write_bytes(rows.read_bytes().replace(b"5.000", b"6.000", 1))
    with pytest.raises(InputError, match="its rows have changed"):
        table_of(interrupted)


@pytest.mark.parametrize("name", ["out.partial.csv", "out.partial.json"])
def test_links_are_not_followed(interrupted, name):
    precious = interrupted / "precious"
    (interrupted / name).rename(precious)
    (interrupted / name).symlink_to(precious)
    before = precious.read_bytes()
    with pytest.raises(InputError, match="link"):
        table_of(interrupted, overwrite=True)
    assert precious.read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(field, value) for field in ("valid_bytes", "rows", "next_frame") for value in (-1, "x", None, 1.5, [])],
        *[(field, value) for field in ("identity", "damaged", "files", "frames") for value in (None, [], 3)],
        ("damaged", {"x": "y"}),
        ("next_frame", 10**30),
        ("digest", 0),
    ],
)
def test_damaged_states_are_refused_in_one_line(interrupted, field, value):
    path = interrupted / "out.partial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(InputError) as caught:
        table_of(interrupted)
    assert "\n" not in str(caught.value)
