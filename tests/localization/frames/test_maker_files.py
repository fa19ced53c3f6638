"""Files of microscope makers: every pixel and the frames' order, choices, and what is damaged.

Zeiss's, Leica's and Andor's files are written by hand (``maker_files``). Nothing writes Nikon's, so what stands for
the library nd2 there has the attributes that its documentation names.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from maker_files import czi, lif, sif

from ds3d_tf.common.errors import InputError
from ds3d_tf.localization.frames.source import open_frames

STACK = np.random.default_rng(0).integers(0, 60000, (3, 2, 20, 30))  # time, channel, row, column


def _frames(path, **choice):
    source = open_frames(path, **choice)
    frames = [source.read(index) for index in range(len(source))]
    source._readers[0].close()
    np.testing.assert_array_equal(source.read(0), frames[0])  # opened again
    return np.stack(frames)


def _zeiss(path):
    czi(path, [({"C": channel, "T": time}, STACK[time, channel]) for time in (2, 0, 1) for channel in (0, 1)])


def test_zeiss(tmp_path):
    pytest.importorskip("czifile")
    _zeiss(tmp_path / "a.czi")
    np.testing.assert_array_equal(_frames(tmp_path / "a.czi", channel="2"), STACK[:, 1])
    with pytest.raises(InputError, match="holds 2 channels"):
        open_frames(tmp_path / "a.czi")
    czi(tmp_path / "scenes.czi", [({"S": s, "Z": z}, STACK[z, s]) for s in (0, 1) for z in range(3)])
    np.testing.assert_array_equal(_frames(tmp_path / "scenes.czi", position="1"), STACK[:, 0])
    czi(tmp_path / "tiles.czi", [({"M": tile}, STACK[tile, 0]) for tile in range(3)])
    with pytest.raises(InputError, match="several tiles"):
        open_frames(tmp_path / "tiles.czi")


@pytest.mark.parametrize("kind", ["zstd", "zstd with bytes apart", "unknown"])
def test_zeiss_compressed(tmp_path, kind):
    pytest.importorskip("czifile")
    from imagecodecs import zstd_encode

    def apart(pixels):
        bytes_ = np.frombuffer(pixels, np.uint8).reshape(-1, 2)
        return bytes([3, 1, 1]) + zstd_encode(np.ascontiguousarray(bytes_.T).tobytes())

    encode, number = {"zstd": (zstd_encode, 5), "zstd with bytes apart": (apart, 6), "unknown": (None, 100)}[kind]
    czi(tmp_path / "a.czi", [({"T": time}, STACK[time, 0]) for time in range(3)], encode, number)
    if kind == "unknown":
        with pytest.raises(InputError, match="uncompressed"):
            open_frames(tmp_path / "a.czi")
    else:
        np.testing.assert_array_equal(_frames(tmp_path / "a.czi"), STACK[:, 0])


def test_leica(tmp_path):
    pytest.importorskip("liffile")
    lif(tmp_path / "a.lif", {"left": STACK, "right": STACK[::-1]})
    np.testing.assert_array_equal(_frames(tmp_path / "a.lif", position="right", channel="2"), STACK[::-1, 1])
    with pytest.raises(InputError, match="1: left, 2: right"):
        open_frames(tmp_path / "a.lif")
    lif(tmp_path / "one.lif", {"only": STACK[:, :1]})
    np.testing.assert_array_equal(_frames(tmp_path / "one.lif"), STACK[:, 0])
    lif(tmp_path / "still.lif", {"only": STACK[:1, :1]})
    np.testing.assert_array_equal(_frames(tmp_path / "still.lif"), STACK[:1, 0])


def test_andor(tmp_path):
    pytest.importorskip("sif_parser")
    sif(tmp_path / "a.sif", STACK[:, 0])
    np.testing.assert_array_equal(_frames(tmp_path / "a.sif"), STACK[:, 0])
    with open(tmp_path / "a.sif", "r+b") as stream:
        stream.truncate((tmp_path / "a.sif").stat().st_size - 7)
    source = open_frames(tmp_path / "a.sif")
    assert len(source) == 2 and "2 of 3 frames" in source.remarks[0]
    with pytest.raises(InputError, match="no such channel"):
        open_frames(tmp_path / "a.sif", channel="2")


class _Nikon:
    """A .nd2 file of 2 positions × 3 times × 2 channels whose last time was not written."""

    def __init__(self, path):
        self.path = str(path)
        self.sizes = {"T": 3, "P": 2, "C": 2, "Y": 20, "X": 30}
        self.dtype = np.dtype("<u2")
        points = [SimpleNamespace(name="left"), SimpleNamespace(name="right")]
        self.experiment = [SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points))]
        channels = [SimpleNamespace(channel=SimpleNamespace(name=name)) for name in ("488", "561")]
        self.metadata = SimpleNamespace(channels=channels)
        self.loop_indices = tuple({"T": time, "P": position} for time in range(3) for position in range(2))
        chunks = {f"ImageDataSeq|{number}!".encode(): (0, 1) for number in range(4)}
        self._rdr = SimpleNamespace(_frame_offsets=dict.fromkeys(range(4), 0), chunkmap=chunks)

    def read_frame(self, number):
        time, position = divmod(number, 2)
        return (STACK[time] + position).astype("<u2")

    def close(self):
        pass


def test_nikon(tmp_path, monkeypatch):
    (tmp_path / "a.nd2").write_bytes(b"x")
    with monkeypatch.context() as patch:
        nd2 = pytest.importorskip("nd2")
        patch.setattr(nd2, "ND2File", _Nikon)
        np.testing.assert_array_equal(_frames(tmp_path / "a.nd2", position="right", channel="561"), STACK[:2, 1] + 1)
        assert "2 of 3 frames" in open_frames(tmp_path / "a.nd2", position="1", channel="1").remarks[0]
        with pytest.raises(InputError, match="1: left, 2: right"):
            open_frames(tmp_path / "a.nd2")
    with pytest.raises(InputError, match="not a Nikon file, or damaged"):
        open_frames(tmp_path / "a.nd2")


@pytest.mark.parametrize(("ending", "library"), [("czi", "czifile"), ("lif", "liffile"), ("sif", "sif_parser")])
def test_damaged_files_give_one_line(tmp_path, ending, library):
    pytest.importorskip(library)
    path = tmp_path / f"a.{ending}"
    write = {"czi": _zeiss, "lif": lambda to: lif(to, {"only": STACK}), "sif": lambda to: sif(to, STACK[:, 0])}
    write[ending](path)
    whole = path.read_bytes()
    for keep in (0, 10, 40, 200, 400, 700, 1500, len(whole) // 2):
        path.write_bytes(whole[:keep])
        _one_line_or_frames(path)
    random = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in random.integers(0, min(len(whole), 3000), 4):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(bytes(damaged))
        _one_line_or_frames(path)


def _one_line_or_frames(path):
    try:
        _frames(path, channel=None if path.suffix == ".sif" else "1")
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("ending", "library"), [("nd2", "nd2"), ("czi", "czifile"), ("lif", "liffile"), ("sif", "sif_parser")]
)
def test_without_its_library_the_extra_is_named(tmp_path, monkeypatch, ending, library):
    (tmp_path / f"a.{ending}").write_bytes(b"something")
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr("ds3d_tf.common.optional.is_installed", lambda package: package != library)
    with pytest.raises(InputError, match=rf"a\.{ending}: {library} is not installed; pip install 'ds3d-tf\[formats\]'"):
        open_frames(tmp_path / f"a.{ending}")
