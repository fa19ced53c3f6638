"""Damaged arrays: one line whatever their headers say, and no error of our own is taken for damage."""

import io
import random
import zipfile

import numpy as np
import pytest

from ds3d_tf.common import InputError, arrays
from ds3d_tf.common.arrays import read_npy, read_npz
from ds3d_tf.localization.frames.source import open_frames

MARK = b"\x93NUMPY\x01\x00"
HEADERS = {
    "keys that are no texts": "{[]: 1}",
    "keys of two kinds": "{'descr': '<u2', b'fortran_order': False, 'shape': (2,)}",
    "without an end": "{'descr': '<u2', 'fortran_order': False, 'shape': (2,)",
    "no expression": "{'descr': '<u2' 'fortran_order'; }",
    "nested deeply": "[" * 4000,
    "negative": "{'descr': '<u2', 'fortran_order': False, 'shape': (-2,)}",
    "no dtype": "{'descr': None, 'fortran_order': False, 'shape': 2}",
}


def with_header(text):
    line = text.encode() + b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return MARK + len(line).to_bytes(2, "little") + line + bytes(300)


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS)
def test_headers(tmp_path, text):
    (tmp_path / "a.npy").write_bytes(with_header(text))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("frames.npy", with_header(text))
    for read, name in ((read_npy, "a.npy"), (open_frames, "a.npy"), (open_frames, "a.npz")):
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_changed_bytes_give_one_line_or_an_array(tmp_path, save):
    stream, path = io.BytesIO(), tmp_path / "a"
    save(stream, np.arange(64, dtype=np.uint16).reshape(4, 4, 4))
    whole, rng = stream.getvalue(), random.Random(0)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(bytes(content))
        try:
            read_npy(path) if save is np.save else read_npz(path, "mend")
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 50


def test_mistakes_of_the_program_are_not_taken_for_damage(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.ones(3))

    def wrong(*arguments):
        raise TypeError("a mistake in the program")

    monkeypatch.setattr(arrays, "npy_header", wrong)
    with pytest.raises(TypeError, match="a mistake in the program"):
        read_npy(tmp_path / "a.npy")
