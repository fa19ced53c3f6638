"""Zarr arrays and OME-Zarr images of both versions, and groups that are none."""

import numpy as np
import pytest
import zarr

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames.source import open_frames


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 4000, (11, 24, 30)).astype(np.uint16)


def frames(path):
    return np.stack(list(open_frames(path)))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 24, 30), (4, 10, 30), (20, 24, 30)])
def test_plain_arrays(tmp_path, stack, zarr_format, chunks):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=stack.shape, chunks=chunks, dtype="u2", zarr_format=zarr_format
    )
    array[:] = stack
    source = open_frames(tmp_path / "a.zarr")
    assert len(source) == 11 and source.shape == (24, 30)
    np.testing.assert_array_equal(frames(tmp_path / "a.zarr"), stack)
    np.testing.assert_array_equal(source.read(7), stack[7])
    assert source.name(7).endswith("a.zarr frame 8")


def ome_group(path, stack, axes, version):
    """An OME-Zarr group as its specification describes it, with a second, smaller resolution."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    shape = [{"t": stack.shape[0], "c": 1, "z": 1, "y": 24, "x": 30}[axis] for axis in axes]
    for name, data in (("0", stack), ("1", stack[:, ::2, ::2])):
        data = data.reshape([*shape[:-2], *data.shape[-2:]])
        group.create_array(name, data=data, chunks=(1,) * (data.ndim - 2) + data.shape[-2:])
    images = [
        {
            "version": version,
            "axes": [{"name": axis, "type": "time" if axis == "t" else "space"} for axis in axes],
            "datasets": [{"path": "0"}, {"path": "1"}],
        }
    ]
    group.attrs.update({"multiscales": images} if version == "0.4" else {"ome": {"multiscales": images}})
    return group


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["tczyx", "tyx", "zctyx"])
def test_ome_zarr_images(tmp_path, stack, version, axes):
    ome_group(tmp_path / "image.ome.zarr", stack, axes, version)
    np.testing.assert_array_equal(frames(tmp_path / "image.ome.zarr"), stack)


def test_a_single_plane_and_a_group_of_one_array(tmp_path, stack):
    zarr.save_array(tmp_path / "plane.zarr", stack[0])
    np.testing.assert_array_equal(frames(tmp_path / "plane.zarr"), stack[:1])
    zarr.open_group(tmp_path / "group", mode="w").create_array("data", data=stack)
    np.testing.assert_array_equal(frames(tmp_path / "group"), stack)


def test_each_chunk_is_decoded_once(tmp_path, stack, monkeypatch):
    zarr.create_array(tmp_path / "a.zarr", data=stack, chunks=(4, 24, 30))
    source = open_frames(tmp_path / "a.zarr")
    reads = []
    get = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: (reads.append(key), get(self, key))[1])
    list(source)
    assert len(reads) == 3


def test_damaged_chunk_names_its_frame(tmp_path, stack):
    zarr.create_array(tmp_path / "a.zarr", data=stack, chunks=(2, 24, 30))
    (tmp_path / "a.zarr" / "c" / "2" / "0" / "0").write_bytes(b"nonsense")
    source = open_frames(tmp_path / "a.zarr")
    source.read(3)
    with pytest.raises(InputError, match=r"a\.zarr frame 6: truncated or damaged") as caught:
        source.read(5)
    assert "\n" not in str(caught.value)
    source.read(6)


def two_arrays(path, stack):
    group = zarr.open_group(path, mode="w")
    group.create_array("a", data=stack)
    group.create_array("b", data=stack)


def missing_image(path, stack):
    group = ome_group(path, stack, "tyx", "0.5")
    del group["0"]


def channels(path, stack):
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=np.stack([stack, stack]))
    group.attrs["multiscales"] = [{"axes": [{"name": n} for n in "ctyx"], "datasets": [{"path": "0"}]}]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path, stack: path.mkdir(), "not a Zarr array or group"),
        (lambda path, stack: zarr.open_group(path, mode="w"), "a Zarr group of 0 arrays without an OME-Zarr image"),
        (two_arrays, "a Zarr group of 2 arrays without an OME-Zarr image"),
        (missing_image, "its image is missing"),
        (channels, "holds 2 channels"),
        (lambda path, stack: zarr.save_array(path, stack[0, 0]), "1 dimensions"),
        (lambda path, stack: zarr.save_array(path, stack.astype(bool)), "pixels of type bool"),
        (lambda path, stack: zarr.save_array(path, stack[:0]), "holds no frames"),
    ],
)
def test_what_is_no_recording(tmp_path, stack, make, expected):
    path = tmp_path / "bad.zarr"
    make(path, stack)
    with pytest.raises(InputError, match=expected) as caught:
        frames(path)
    assert "bad.zarr" in str(caught.value) and "\n" not in str(caught.value)
