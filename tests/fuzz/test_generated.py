"""Thousands of malformed inputs: each gets one line, or a right result; nothing crashes, hangs or eats the memory.

Every case is drawn from (seed, number), so that one that fails can be drawn again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from generators import FRAMES, GENERATORS, SETUP, json_text, setup_text, table_text, zarr_metadata

from ds3d_tf.common import InputError
from ds3d_tf.common.texts import parse_json, parse_yaml
from ds3d_tf.evaluation.truth import read_truth
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.localization.tables.growing import read_state
from ds3d_tf.setup import Setup

SEED = 20260101
LONG = 25
"""How many times more cases the slow tests draw."""
MEMORY_BYTES = 3 * 2**30
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are copies of this one")
both = pytest.mark.parametrize("times", [1, pytest.param(LONG, marks=pytest.mark.slow)])


def in_a_copy(cases, seconds=120):
    """Run ``cases`` (name → function) in a copy of this process, whose memory and time are limited."""
    import resource

    ready, report = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready)
        problems, accepted = [], 0
        try:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
            signal.alarm(seconds)
            warnings.simplefilter("ignore")
            for name, case in cases:
                os.write(report, f"{name}\n".encode())
                try:
                    accepted += case() is not None
                except InputError as error:
                    if "\n" in str(error) or not 10 <= len(str(error)) <= 3000:
                        problems.append(f"{name}: unclear: {str(error)[:300]}")
                except BaseException:
                    problems.append(f"{name}: {traceback.format_exc(limit=-4)}")
        finally:
            os.write(report, b"\0" + json.dumps([problems[:5], len(problems), accepted]).encode())
            os._exit(0)
    os.close(report)
    with open(ready, "rb") as stream:
        content = stream.read()
    _, status = os.waitpid(child, 0)
    names, _, ending = content.partition(b"\0")
    last = names.decode().strip().rpartition("\n")[2]
    assert os.WIFEXITED(status) and ending, f"ended by a signal ({status}) at {last}"
    problems, number, accepted = json.loads(ending)
    assert not number, f"{number} problems:\n" + "\n".join(problems)
    return accepted


def drawn(kind, number):
    return np.random.default_rng([SEED, sum(kind.encode()), number])


@both
def test_setups(times):
    """What is accepted is what a plain YAML reader finds, in bounds, and reads back as itself."""

    def case(number):
        text = setup_text(drawn("setup", number))
        setup = Setup.from_yaml(text)
        assert Setup.from_yaml(setup.to_yaml()) == setup
        try:
            plain = yaml.safe_load(text)
        except ValueError:  # dates that no calendar has, which are texts here
            return setup
        for section, fields in plain.items():
            if isinstance(fields, dict):
                for field, value in fields.items():
                    own = getattr(getattr(setup, section), field)
                    own = list(own) if isinstance(own, tuple) else own
                    if isinstance(value, list):  # YAML 1.1 takes 3e-07 for a text
                        value = [float(one) for one in value]
                    if isinstance(value, (int, float, list)):
                        assert own == pytest.approx(value), (section, field, value, own)
        assert np.isfinite(setup.optics.fft_size_px) and setup.volume.z_min_um < setup.volume.z_max_um
        return setup

    accepted = in_a_copy([(f"setup {n}", lambda n=n: case(n)) for n in range(500 * times)], 100 * times)
    assert accepted > 10


@both
@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_recordings(times, kind, tmp_path):
    """What is accepted is what the library reads whose format it is."""

    def case(number):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(GENERATORS[kind](drawn(kind, number)))
        try:
            source = open_frames(path)
            found = np.stack([source.read(index) for index in range(len(source))])
            expected = plain_tiffs(path) if kind == "tif" else [np.load(path)]
            if kind == "npz":
                expected = [expected[0]["frames"]]
            same = [np.array_equal(found, np.asarray(one, np.float32).reshape(found.shape)) for one in expected
                    if np.size(one) == found.size]  # fmt: skip
            if source.remarks and kind == "tif":  # it stopped early, and what is there is read
                same.append(np.array_equal(found, first_pages(path, len(found))))
            assert any(same)
            return found
        finally:
            path.unlink()

    count = {"tif": 500, "npy": 250, "npz": 150}[kind] * times
    in_a_copy([(f"{kind} {n}", lambda n=n: case(n)) for n in range(count)], 100 * times)


def first_pages(path, count):
    """Return the first pages of a TIFF, or planes that follow one another under its first header, float32."""
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages[0]
        if len(tiff.pages) < count:
            content = path.read_bytes()[first.dataoffsets[0] :][: count * first.nbytes]
            numbers = np.frombuffer(content, first.dtype.newbyteorder(tiff.byteorder))
            return numbers.reshape(count, *first.shape).astype(np.float32)
        return np.stack([tiff.pages[place].asarray() for place in range(count)]).astype(np.float32)


def plain_tiffs(path):
    """Return the planes of a TIFF as tifffile finds them: as its header says, and each page by its own tags."""
    found = []
    with contextlib.suppress(Exception):
        found.append(tifffile.imread(path))
    with contextlib.suppress(Exception), tifffile.TiffFile(path) as tiff:
        found.append(np.stack([page.asarray() for page in tiff.pages]))
    with contextlib.suppress(Exception), tifffile.TiffFile(path) as tiff:
        found.append(np.stack([page.aspage().asarray() for page in tiff.pages]))
    return found


@both
def test_zarr(times, tmp_path):
    """An array that is accepted has the frames that were written, where their description still says so."""
    import zarr

    for form in (2, 3):
        folder = tmp_path / f"{form}.zarr"
        array = zarr.create_array(
            store=str(folder), shape=FRAMES.shape, chunks=(1, 16, 12), dtype="uint16", zarr_format=form
        )
        array[:] = FRAMES
        file = folder / ("zarr.json" if form == 3 else ".zarray")
        text = file.read_text()

        def case(number, folder=folder, file=file, text=text):
            file.write_text(zarr_metadata(drawn(folder.name, number), text))
            source = open_frames(folder)
            if len(source) > 50:  # a shape that was changed: frames that are not there are named
                source.read(49)
            found = [source.read(index) for index in range(min(len(source), 50))]
            expected = np.asarray(zarr.open(str(folder), mode="r")[:], np.float32)
            np.testing.assert_array_equal(np.stack(found), expected.reshape(-1, *found[0].shape)[: len(found)])
            return found

        in_a_copy([(f"zarr {form} {n}", lambda n=n: case(n)) for n in range(100 * times)], 100 * times)


@both
def test_truths(times, tmp_path):
    """A truth that is accepted has the numbers that pandas finds, all of them possible."""

    def case(number):
        path = tmp_path / "truth.csv"
        path.write_bytes(table_text(drawn("truth", number)))
        frames = read_truth(path, 4, None)
        table = pd.read_csv(path)
        assert sum(len(frame.photons) for frame in frames) == len(table)
        photons = np.concatenate([frame.photons for frame in frames])
        np.testing.assert_allclose(np.sort(photons), np.sort(table["photons"].to_numpy(float)))
        assert (photons >= 0).all() and all(np.isfinite(frame.xyz_um).all() for frame in frames)
        return frames

    assert in_a_copy([(f"truth {n}", lambda n=n: case(n)) for n in range(250 * times)], 100 * times) > 5


@both
def test_states_and_other_json(times, tmp_path):
    """States of partial tables that are accepted have the kinds of values that resuming needs."""
    fields = {
        "valid_bytes": 10,
        "digest": "00",
        "rows": 1,
        "next_frame": 2,
        "damaged": {"1": "lost"},
        "frames": {"chain": "00", "every": 1, "sampled": [[0, 5]]},
        "files": {},
        "identity": {"model": "m"},
    }

    def case(number):
        path = tmp_path / "state.json"
        path.write_text(json_text(drawn("state", number), fields), encoding="utf-8")
        state = read_state(path)
        assert min(state["valid_bytes"], state["rows"], state["next_frame"]) >= 0
        assert all(isinstance(index, int) for index in state["damaged"])
        return state

    in_a_copy([(f"state {n}", lambda n=n: case(n)) for n in range(200 * times)], 100 * times)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 5000, "&a [*a]", SETUP * 2, "\0", "9" * 10**5, "a: " * 9999])
def test_texts_of_one_kind(text):
    for parse in (parse_yaml, parse_json):
        with pytest.raises(InputError) as caught:
            value = parse(text, "text")
            raise InputError(f"accepted: {value!r}"[:60])
        assert "\n" not in str(caught.value)
