"""Frames of every kind of recording, and one clear line for everything that is none."""

import os
import struct

import numpy as np
import pytest
import tifffile

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames.source import open_frames


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 4000, (5, 40, 52)).astype(np.uint16)


def frames(path):
    return np.stack(list(open_frames(path)))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "f2", "f4", "f8", ">u2", ">f4"])
def test_every_pixel_type(tmp_path, dtype):
    frame = np.random.default_rng(1).integers(0, 200, (40, 52)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", frame)
    source = open_frames(tmp_path / "a.tif")
    assert len(source) == 1 and source.shape == (40, 52)
    assert source.read(0).dtype == np.float32
    np.testing.assert_array_equal(source.read(0), frame.astype(np.float32))


@pytest.mark.parametrize(
    "options", [{}, {"imagej": True}, {"bigtiff": True}, {"compression": "zlib"}, {"ome": True}, {"metadata": None}]
)
def test_multi_page_files(tmp_path, stack, options):
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    tifffile.imwrite(path, stack, **options)
    source = open_frames(path)
    assert len(source) == 5
    np.testing.assert_array_equal(frames(path), stack)
    np.testing.assert_array_equal(source.read(3), stack[3])
    assert source.name(3) == f"{path} page 4"


def test_imagej_stack_of_one_page(tmp_path, stack):
    """ImageJ writes stacks over 4 GB as one page followed by all other planes."""
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    order = "<" if data[:2] == b"II" else ">"
    ifd = struct.unpack(order + "I", data[4:8])[0]
    entries = struct.unpack(order + "H", data[ifd : ifd + 2])[0]
    data[ifd + 2 + 12 * entries : ifd + 6 + 12 * entries] = bytes(4)
    (tmp_path / "b.tif").write_bytes(data)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert len(tiff.pages) == 1
    np.testing.assert_array_equal(frames(tmp_path / "b.tif"), stack)
    end = tifffile.TiffFile(tmp_path / "a.tif").series[0].dataoffset + stack.nbytes
    (tmp_path / "c.tif").write_bytes(data[: end - 1000])
    source = open_frames(tmp_path / "c.tif")
    np.testing.assert_array_equal(list(source), stack[:4])
    assert len(source.remarks) == 1 and "4 whole frames are read" in source.remarks[0]


def test_stack_of_one_page_by_tifffile(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack, truncate=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 1
    np.testing.assert_array_equal(frames(tmp_path / "a.tif"), stack)


def test_pages_appended_one_by_one(tmp_path, stack):
    """As recording programs write: frame after frame into an open file."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for frame in stack:
            writer.write(frame, contiguous=True)
    np.testing.assert_array_equal(frames(tmp_path / "a.tif"), stack)


def test_big_endian_imagej_stack_of_one_page(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, byteorder=">")
    np.testing.assert_array_equal(frames(tmp_path / "a.tif"), stack)


def test_ome_planes_in_the_headers_order(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.ome.tif", stack.reshape(1, 5, 1, 40, 52), metadata={"axes": "ZTCYX"})
    np.testing.assert_array_equal(frames(tmp_path / "a.ome.tif"), stack)


def test_ome_recording_over_several_files(tmp_path, stack):
    """One file by itself leads to all planes; in a folder each file gives its own, so no plane comes twice."""
    names = {"run_1.ome.tif": (0, 2), "run_2.ome.tif": (2, 5)}
    planes = "".join(
        f'<TiffData IFD="{t - first}" FirstT="{t}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{first}</UUID></TiffData>'
        for name, (first, end) in names.items()
        for t in range(first, end)
    )
    for name, (first, end) in names.items():
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{first}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="52" SizeY="40" SizeC="1" SizeZ="1" SizeT="5"><Channel ID="Channel:0"/>{planes}</Pixels></Image>'
            "</OME>"
        )
        tifffile.imwrite(
            tmp_path / name, stack[first:end], description=xml, metadata=None, photometric="minisblack", ome=False
        )
    np.testing.assert_array_equal(frames(tmp_path / "run_1.ome.tif"), stack)
    np.testing.assert_array_equal(frames(tmp_path), stack)


def test_numbered_names_in_the_order_of_their_numbers(tmp_path, stack):
    for number, frame in zip((1, 2, 9, 10, 100), stack, strict=True):
        tifffile.imwrite(tmp_path / f"f{number}.tif", frame)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "._f1.tif").write_text("left behind by a Macintosh")
    np.testing.assert_array_equal(frames(tmp_path), stack)
    np.testing.assert_array_equal(frames(f"{tmp_path}/f*.tif"), stack)
    np.testing.assert_array_equal(frames(f"{tmp_path}/f?.tif"), stack[:3])
    assert open_frames(tmp_path).name(3) == str(tmp_path / "f10.tif")


def test_folder_of_multi_page_files(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a2.TIF", stack[:2])
    tifffile.imwrite(tmp_path / "a10.tiff", stack[2:], photometric="minisblack")
    np.testing.assert_array_equal(frames(tmp_path), stack)


def test_arrays(tmp_path, stack):
    np.save(tmp_path / "a.npy", stack)
    np.savez_compressed(tmp_path / "a.npz", frames=stack, other=1)
    np.save(tmp_path / "one.npy", stack[0])
    np.testing.assert_array_equal(frames(tmp_path / "a.npy"), stack)
    np.testing.assert_array_equal(frames(tmp_path / "a.npz"), stack)
    np.testing.assert_array_equal(frames(tmp_path / "one.npy"), stack[:1])


def test_only_the_file_being_read_is_open(tmp_path, stack):
    for number in range(200):
        tifffile.imwrite(tmp_path / f"{number}.tif", stack[0])
    before = len(os.listdir("/proc/self/fd"))
    source = open_frames(tmp_path)
    assert len(source) == 200
    for _ in source:
        assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_real_frames(data):
    source = open_frames(data / "frames" / "tetrapod_storm")
    assert len(source) == 20 and source.shape == (297, 391)
    assert [os.path.basename(source.name(i)) for i in (1, 9, 19)] == ["2.tif", "10.tif", "20.tif"]
    np.testing.assert_array_equal(source.read(1), tifffile.imread(data / "frames" / "tetrapod_storm" / "2.tif"))


def nan_frame(path, stack):
    frame = stack[:2].astype(np.float32)
    frame[1, 3, 4] = np.nan
    tifffile.imwrite(path, frame)


def cut(path, stack, keep):
    tifffile.imwrite(path, stack)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


BAD = {
    "missing": (lambda p, s: None, "no such file or folder"),
    "empty": (lambda p, s: p.write_bytes(b""), "empty"),
    "text": (lambda p, s: p.write_text("this is no image at all"), "not a TIFF"),
    "header only": (lambda p, s: p.write_bytes(b"II*\0"), "truncated or damaged"),
    "dangling header": (lambda p, s: p.write_bytes(b"II*\0\xff\xff\0\0"), "truncated or damaged|no frames"),
    "truncated single": (lambda p, s: cut(p, s[0], 0.5), "truncated"),
    "nan": (nan_frame, r"page 2: 1 of 2080 pixels are NaN"),
    "inf": (lambda p, s: tifffile.imwrite(p, np.full((9, 9), np.inf, np.float32)), "NaN or infinite"),
    "float64 overflow": (lambda p, s: tifffile.imwrite(p, np.full((9, 9), 1e300)), "NaN or infinite"),
    "rgb": (lambda p, s: tifffile.imwrite(p, np.zeros((9, 8, 3), np.uint8), photometric="rgb"), "colour image"),
    "planar rgb": (
        lambda p, s: tifffile.imwrite(p, np.zeros((3, 9, 8), np.uint8), photometric="rgb", planarconfig="separate"),
        "colour image",
    ),
    "complex": (lambda p, s: tifffile.imwrite(p, np.zeros((9, 8), np.complex64)), "complex64"),
    "bool": (lambda p, s: tifffile.imwrite(p, np.zeros((9, 8), bool)), "bool"),
    "channels": (
        lambda p, s: tifffile.imwrite(p, s[:4].reshape(2, 2, 40, 52), imagej=True, metadata={"axes": "TCYX"}),
        "2 channels",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_file_gives_one_line_that_names_it(tmp_path, stack, kind):
    make, expected = BAD[kind]
    path = tmp_path / "bad.tif"
    make(path, stack)
    with pytest.raises(InputError, match=expected) as caught:
        frames(path)
    assert "bad.tif" in str(caught.value) and "\n" not in str(caught.value)


def test_mixed_sizes_name_the_odd_one(tmp_path, stack):
    tifffile.imwrite(tmp_path / "1.tif", stack[0])
    tifffile.imwrite(tmp_path / "2.tif", stack[0, :30])
    with pytest.raises(InputError, match=r"2\.tif: 30×52 pixels, but the first frame has 40×52"):
        frames(tmp_path)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        writer.write(stack[0])
        writer.write(stack[1, :, :20])
    with pytest.raises(InputError, match=r"pages\.tif page 2: 40×20 pixels"):
        frames(tmp_path / "pages.tif")


def test_damaged_file_in_a_folder_is_named(tmp_path, stack):
    tifffile.imwrite(tmp_path / "1.tif", stack[0])
    cut(tmp_path / "2.tif", stack[0], 0.5)
    with pytest.raises(InputError, match=r"2\.tif.*truncated"):
        frames(tmp_path)


def test_what_is_damaged_may_stand_as_a_damaged_frame(tmp_path, stack):
    """A file that cannot be opened in place of one frame; the lost end of a truncated one as one more."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "1.tif").write_bytes(b"")
    tifffile.imwrite(folder / "2.tif", stack[0])
    (folder / "3.tif").write_text("no image")
    source = open_frames(folder, keep_damaged=True)
    assert len(source) == 3 and source.shape == (40, 52) and source.first()[0] == 1
    for index, reason in ((0, "1.tif: the file is empty"), (2, "3.tif: not a TIFF file")):
        with pytest.raises(InputError, match=reason):
            source.read(index)
    np.testing.assert_array_equal(source.read(1), stack[0])

    for name, options in (("pages.tif", {}), ("imagej.tif", {"imagej": True}), ("one.tif", {"truncate": True})):
        tifffile.imwrite(tmp_path / name, stack, **options)
        with tifffile.TiffFile(tmp_path / name) as tiff:
            end = tiff.series[0].dataoffset + 3 * stack[0].nbytes + 100
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:end])
        source = open_frames(tmp_path / name)
        np.testing.assert_array_equal(list(source), stack[:3])
        assert len(source.remarks) == 1 and "truncated" in source.remarks[0]
        source = open_frames(tmp_path / name, keep_damaged=True)
        sound = len(source) - 1
        assert sound == 3
        np.testing.assert_array_equal([source.read(index) for index in range(sound)], stack[:sound])
        with pytest.raises(InputError, match=f"{name}.*truncated"):
            source.read(sound)


def test_all_damaged(tmp_path):
    (tmp_path / "1.tif").write_bytes(b"")
    (tmp_path / "2.tif").write_bytes(b"")
    with pytest.raises(InputError, match="all 2 frames are damaged"):
        _ = open_frames(tmp_path, keep_damaged=True).shape


def test_damaged_compressed_page(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place = tiff.pages[2].dataoffsets[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[place : place + 20] = b"\xff" * 20
    (tmp_path / "a.tif").write_bytes(data)
    source = open_frames(tmp_path / "a.tif")
    source.read(1)
    with pytest.raises(InputError, match=r"a\.tif page 3: truncated or damaged"):
        source.read(2)


@pytest.mark.parametrize(
    ("name", "expected"), [("nothing*.tif", "no file matches this pattern"), ("", "no TIFF files in this folder")]
)
def test_nothing_found(tmp_path, name, expected):
    with pytest.raises(InputError, match=expected):
        open_frames(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(np.zeros((2, 2, 2, 2)), "4 dimensions"), (None, "not a NumPy file, or truncated"), ({}, "no array named")],
)
def test_bad_arrays(tmp_path, content, expected):
    path = tmp_path / ("bad.npz" if isinstance(content, dict) else "bad.npy")
    if content is None:
        path.write_bytes(b"\x93NUMPY")
    elif isinstance(content, dict):
        np.savez(path, other=np.zeros(3))
    else:
        np.save(path, content)
    with pytest.raises(InputError, match=expected):
        open_frames(path)
