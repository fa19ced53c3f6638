"""Recordings of which a chunk or a file is missing: said at opening, and read around where that is asked for."""

import numpy as np
import pytest
import tifffile
import zarr
from micro_manager_files import summary, write_stack

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames import size_checks
from ds3d_tf.localization.frames.source import open_frames


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(1, 1024, (6, 24, 30)).astype(np.uint16)


def zarr_array(folder, stack, form, chunks=(1, 24, 30), **more):
    # Zarr up to 3.1.0 loses chunks where ``create_array`` itself writes shards.
    facts = {"shape": stack.shape, "dtype": stack.dtype, "chunks": chunks, "zarr_format": form, **more}
    zarr.create_array(folder / "a.zarr", **facts)[:] = stack
    return folder / "a.zarr"


def ome_set(folder, stack, sizes=(2, 2, 2)):
    """Write an OME-TIFF set as its specification describes it: every file's header names all files."""
    ends = np.cumsum(sizes)
    parts = [
        (f"run_{number}.ome.tif", end - size, end) for number, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    planes = "".join(
        f'<TiffData IFD="{t - first}" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{first}</UUID></TiffData>'
        for name, first, end in parts
        for t in range(first, end)
    )
    for name, first, end in parts:
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{first}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="30" SizeY="24" SizeC="1" SizeZ="1" SizeT="{len(stack)}"><Channel ID="Channel:0"/>{planes}</Pixels>'
            "</Image></OME>"
        )
        data = stack[first:end]
        tifffile.imwrite(folder / name, data, description=xml, metadata=None, photometric="minisblack", ome=False)
    return folder


def check(path, stack, lost, message):
    """Refused at opening; with ``keep_damaged`` all other frames have their places."""
    with pytest.raises(InputError, match=message) as caught:
        open_frames(path)
    assert "\n" not in str(caught.value) and "--skip-damaged" in str(caught.value)
    source = open_frames(path, keep_damaged=True)
    assert any("missing" in remark or "not whole" in remark for remark in source.remarks)
    for index in range(len(stack)):
        if index in lost:
            if index < len(source):
                with pytest.raises(InputError):
                    source.read(index)
        else:
            np.testing.assert_array_equal(source.read(index), stack[index])


@pytest.mark.parametrize(("form", "file"), [(3, "c/3/0/0"), (2, "3.0.0")])
def test_zarr_chunk(tmp_path, stack, form, file):
    path = zarr_array(tmp_path, stack, form)
    assert open_frames(path).remarks == ()
    (path / file).unlink()
    check(path, stack, {3}, rf"1 of its 6 chunks is missing; the first is {file}, of frame 4")


def test_parts_of_planes_and_several_frames_a_chunk(tmp_path, stack):
    path = zarr_array(tmp_path, stack, 3, chunks=(2, 10, 30))
    (path / "c/1/2/0").unlink()
    (path / "c/2/0/0").unlink()
    check(path, stack, {2, 3, 4, 5}, "2 of its 9 chunks are missing; the first is c/1/2/0, of frame 3")


def test_shards_are_files(tmp_path, stack):
    path = zarr_array(tmp_path, stack, 3, shards=(2, 24, 30))
    (path / "c/2/0/0").unlink()
    check(path, stack, {4, 5}, "1 of its 3 chunks is missing; the first is c/2/0/0, of frame 5")


def test_only_the_chosen_channel_counts(tmp_path, stack):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=np.stack([stack, stack + 1000], axis=1), chunks=(1, 1, 24, 30))
    group.attrs["multiscales"] = [{"axes": [{"name": n} for n in "tcyx"], "datasets": [{"path": "0"}]}]
    (tmp_path / "a.zarr/0/c/4/1/0/0").unlink()
    np.testing.assert_array_equal(list(open_frames(tmp_path / "a.zarr", channel="1")), stack)
    with pytest.raises(InputError, match="1 of its 6 chunks is missing; the first is c/4/1/0/0, of frame 5"):
        open_frames(tmp_path / "a.zarr", channel="2")


def test_the_work_goes_with_the_files_not_with_the_promise(tmp_path, stack, monkeypatch):
    path = zarr_array(tmp_path, stack, 3)
    description = path / "zarr.json"
    text = "".join(description.read_text().split())
    assert '"shape":[6,24,30]' in text
    description.write_text(text.replace('"shape":[6,24,30]', f'"shape":[{10**15},24,30]'))
    places = []
    real = size_checks._places
    monkeypatch.setattr(size_checks, "_places", lambda spans: (places.append(one) or one for one in real(spans)))
    with pytest.raises(InputError, match=f"{10**15 - 6} of its {10**15} chunks are missing; the first is c/6/0/0"):
        open_frames(path)
    assert len(places) < 100


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("folder", [False, True])
def test_file_of_an_ome_set(tmp_path, stack, lost, folder):
    ome_set(tmp_path, stack)
    np.testing.assert_array_equal(list(open_frames(tmp_path)), stack)
    (tmp_path / f"run_{lost}.ome.tif").unlink()
    path = tmp_path if folder else tmp_path / f"run_{1 if lost == 0 else 0}.ome.tif"
    frames = {2 * lost, 2 * lost + 1}
    message = f"2 of its 6 frames are missing, the first is {2 * lost + 1}; .* run_{lost}.ome.tif is"
    check(path, stack, frames, message)


def test_a_renamed_ome_file_misses_nothing(tmp_path, stack):
    ome_set(tmp_path, stack, (6,))
    (tmp_path / "run_0.ome.tif").rename(tmp_path / "better.ome.tif")
    np.testing.assert_array_equal(list(open_frames(tmp_path / "better.ome.tif")), stack)


@pytest.mark.parametrize("folder", [False, True])
def test_file_of_a_micro_manager_stack(tmp_path, stack, folder):
    for number, name in enumerate(("", "_1", "_2")):
        planes = [((0, 0, t, 0), stack[t]) for t in (2 * number, 2 * number + 1)]
        write_stack(tmp_path / f"run_MMStack_Pos0{name}.ome.tif", planes, summary(6))
    path = tmp_path if folder else tmp_path / "run_MMStack_Pos0.ome.tif"
    np.testing.assert_array_equal(list(open_frames(path)), stack)
    (tmp_path / "run_MMStack_Pos0_1.ome.tif").unlink()
    check(path, stack, {2, 3}, r"its file run_MMStack_Pos0_1\.ome\.tif is missing")


def test_numbers_in_the_names_of_micro_manager_positions_are_not_parts(tmp_path, stack):
    for number in (1, 3):
        planes = [((0, 0, t, number), stack[t]) for t in range(6)]
        write_stack(tmp_path / f"run_MMStack_grid_{number}.ome.tif", planes, summary(6, 4))
    np.testing.assert_array_equal(list(open_frames(tmp_path, position="grid_3")), stack)


def test_frames_of_ndtiff(tmp_path, stack):
    from test_containers import ndtiff

    ndtiff(tmp_path / "set", stack)
    files = sorted((tmp_path / "set").glob("*.tif"))
    assert len(files) == 1
    index = tmp_path / "set" / "NDTiff.index"
    content, name = index.read_bytes(), files[0].name.encode()
    # Of the second frame, the index names a file of a name as long, which is not there.
    second = content.index(name, content.index(name) + 1)
    index.write_bytes(content[:second] + b"x" * len(name) + content[second + len(name) :])
    with pytest.raises(InputError, match=f"1 of its frames are not whole; .*, of the file {'x' * len(name)}"):
        open_frames(tmp_path / "set")
    source = open_frames(tmp_path / "set", keep_damaged=True)
    assert len(source) == len(stack)
