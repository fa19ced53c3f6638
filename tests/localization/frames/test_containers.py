"""Every container gives the pixels and the order of the plain array, or one clear refusal."""

import struct

import numpy as np
import pytest
import tifffile
import zarr
from micro_manager_files import summary, write_stack

from ds3d_tf.common import InputError
from ds3d_tf.localization.frames.source import open_frames


@pytest.fixture
def stack():
    """Counts of 10 bits, so that every container holds them."""
    return np.random.default_rng(0).integers(0, 1024, (6, 24, 30)).astype(np.uint16)


def frames(path, **choice):
    return np.stack(list(open_frames(path, **choice)))


def packed(stack, bits):
    """A TIFF of rows of bits without gaps, written by hand: the highest bit first, each row filled up to a byte."""
    pages, content = [], bytearray(struct.pack("<2sHI", b"II", 42, 0))
    for frame in stack:
        rows = (frame[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        pages.append(np.packbits(rows.reshape(len(frame), -1).astype(np.uint8), axis=1).tobytes())
    link = 4
    for frame, data in zip(stack, pages, strict=True):
        start = len(content) + len(content) % 2
        content += b"\0" * (len(content) % 2)
        struct.pack_into("<I", content, link, start)
        height, width = frame.shape
        entries = ((256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, start + 2 + 8 * 12 + 4))
        entries += ((278, height), (279, len(data)))
        content += struct.pack("<H", 8) + b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in entries)
        link = len(content)
        content += struct.pack("<I", 0) + data
    return bytes(content)


def metamorph(stack):
    """A MetaMorph stack: one directory, whose tag UIC2 counts the planes that follow one another."""
    count, height, width = stack.shape
    first, tags = 8, 10
    uic1 = first + 2 + 12 * tags + 4
    uic2 = uic1 + 8
    data = uic2 + 24 * count
    entries = ((256, 4, 1, width), (257, 4, 1, height), (258, 4, 1, 16), (259, 4, 1, 1), (262, 4, 1, 1))
    entries += (
        (273, 4, 1, data),
        (278, 4, 1, height),
        (279, 4, 1, stack[0].nbytes),
        (33628, 5, 1, uic1),
        (33629, 5, count, uic2),
    )
    content = struct.pack("<2sHI", b"II", 42, first) + struct.pack("<H", tags)
    content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", 0)
    content += struct.pack("<2I", 0, 1)  # UIC1: a single setting, AutoScale
    return content + b"".join(struct.pack("<6I", 1, 1, 2451545, 0, 2451545, 0) for _ in stack) + stack.tobytes()


def imagej_over_4_gb(path, stack):
    """ImageJ writes one directory and the number of images; the other planes follow the first."""
    description = f"ImageJ=1.53t\nimages={len(stack)}\nframes={len(stack)}\n"
    tifffile.imwrite(path, stack[0].astype(">u2"), byteorder=">", metadata=None, description=description)
    with open(path, "ab") as stream:
        stream.write(stack[1:].astype(">u2").tobytes())


def ndtiff(folder, stack, channels=("",)):
    """An NDTiff dataset of the public description: pixels somewhere in a file, and an index that names the axes."""
    folder.mkdir()
    pixels, index = bytearray(b"\0" * 64), b""
    for time, frame in enumerate(stack):
        for number, channel in enumerate(channels):
            axes = b'{"time": %d' % time + (b', "channel": "%s"' % channel.encode() if channel else b"") + b"}"
            index = (
                struct.pack("<I", len(axes))
                + axes
                + struct.pack("<I", 8)
                + b"data.tif"
                + index_fields(len(pixels), frame.shape)
                + index
            )  # the last first: the axes tell the order, not the file
            pixels += (frame + 1000 * number).astype("<u2").tobytes()
    (folder / "data.tif").write_bytes(bytes(pixels))
    (folder / "NDTiff.index").write_bytes(index)


def index_fields(offset, shape):
    return struct.pack("<IiiiiIii", offset, shape[1], shape[0], 1, 0, 0, 0, 0)


def imaris(path, stack):
    import h5py

    def text(value):
        return np.frombuffer(str(value).encode(), "S1")

    with h5py.File(path, "w") as file:
        for axis, size in (("X", 30), ("Y", 24), ("Z", 1)):
            file.require_group("DataSetInfo/Image").attrs[axis] = text(size)
        file.require_group("DataSetInfo/Channel 0").attrs["Name"] = text("red")
        for time, frame in enumerate(stack):
            block = np.zeros((1, 32, 32), np.uint16)
            block[0, :24, :30] = frame
            file[f"DataSet/ResolutionLevel 0/TimePoint {time}/Channel 0/Data"] = block


def dax(path, stack, order="little"):
    path.write_bytes(stack.astype("<u2" if order == "little" else ">u2").tobytes())
    path.with_suffix(".inf").write_text(
        f"frame dimensions = 30 x 24\nnumber of frames = {len(stack)}\n"
        f"data type = 16 bit integers (binary, {order} endian)\n"
    )


def ome_zarr(path, stack, version):
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=stack[:, None, None], chunks=(2, 1, 1, 24, 30))
    images = [{"axes": [{"name": name} for name in "tczyx"], "datasets": [{"path": "0"}], "version": version}]
    group.attrs.update({"multiscales": images} if version == "0.4" else {"ome": {"multiscales": images}})


def xarray_axes(path, stack):
    """The frames last, as some programs store them, with the names of the axes."""
    zarr.create_array(path, data=stack.transpose(2, 1, 0), chunks=(30, 24, 4), dimension_names=("x", "y", "time"))


def micro_manager(path, stack):
    planes = [((0, 0, time, 0), frame) for time, frame in enumerate(stack)]
    write_stack(path, planes[:4], summary(6))
    write_stack(path.with_name(path.name.replace(".ome", "_1.ome")), planes[4:], summary(6))


CONTAINERS = {
    "plain.tif": lambda p, s: tifffile.imwrite(p, s),
    "big.tif": lambda p, s: tifffile.imwrite(p, s, bigtiff=True),
    "big_endian.tif": lambda p, s: tifffile.imwrite(p, s, byteorder=">"),
    "one.ome.tif": lambda p, s: tifffile.imwrite(p, s, metadata={"axes": "TYX"}),
    "imagej.tif": lambda p, s: tifffile.imwrite(p, s, imagej=True),
    "imagej_over_4_gb.tif": imagej_over_4_gb,
    "run_MMStack_Pos0.ome.tif": micro_manager,
    "movie.stk": lambda p, s: p.write_bytes(metamorph(s)),
    "lzw.tif": lambda p, s: tifffile.imwrite(p, s, compression="lzw"),
    "deflate.tif": lambda p, s: tifffile.imwrite(p, s, compression="zlib", predictor=True),
    "zstd.tif": lambda p, s: tifffile.imwrite(p, s, compression="zstd"),
    "jpeg_2000.tif": lambda p, s: tifffile.imwrite(p, s, compression="jpeg2000", compressionargs={"reversible": True}),
    "tiled.tif": lambda p, s: tifffile.imwrite(p, s, tile=(16, 16)),
    "packed_10.tif": lambda p, s: p.write_bytes(packed(s, 10)),
    "packed_12.tif": lambda p, s: p.write_bytes(packed(s, 12)),
    "packed_14.tif": lambda p, s: p.write_bytes(packed(s, 14)),
    "ndtiff": ndtiff,
    "a.ome.zarr": lambda p, s: ome_zarr(p, s, "0.4"),
    "b.ome.zarr": lambda p, s: ome_zarr(p, s, "0.5"),
    "axes.zarr": xarray_axes,
    "array.npy": np.save,
    "imaris.ims": imaris,
    "little.dax": dax,
    "big.dax": lambda p, s: dax(p, s, "big"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_pixel_in_order(tmp_path, stack, name):
    CONTAINERS[name](tmp_path / name, stack)
    source = open_frames(tmp_path / name)
    assert len(source) == 6 and not source.remarks
    np.testing.assert_array_equal(np.stack(list(source)), stack)
    np.testing.assert_array_equal(source.read(2), stack[2])


def test_jpeg_decodes(tmp_path):
    """JPEG changes pixels of 8 bits a little, and no more."""
    smooth = np.add.outer(np.arange(40), np.arange(48)).astype(np.uint8)[None].repeat(3, axis=0)
    tifffile.imwrite(
        tmp_path / "a.tif", smooth, photometric="minisblack", compression="jpeg", compressionargs={"level": 95}
    )
    assert np.abs(frames(tmp_path / "a.tif") - smooth).max() <= 3


def test_a_codec_that_is_not_there_is_named(tmp_path, stack):
    """A compression number of nobody: the file is sound, and no frame of it counts as damaged."""
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    entry = struct.pack("<HHI", 259, 3, 1)
    (tmp_path / "a.tif").write_bytes(content.replace(entry + b"\1\0", entry + struct.pack("<H", 34676)))
    for keep in (False, True):
        with pytest.raises(InputError, match=r"a\.tif: its pixels are compressed by SGILOG"):
            open_frames(tmp_path / "a.tif", keep_damaged=keep)


class TestMicroManager:
    """Files × positions × channels × stopped."""

    @pytest.fixture
    def folder(self, tmp_path):
        """Two positions of two channels, each position in two files; position, channel and time are in the counts."""
        for position in (0, 1):
            planes = [
                ((c, 0, t, position), np.full((20, 24), 1000 * position + 100 * c + t, np.uint16))
                for t in range(5)
                for c in (0, 1)
            ]
            about = summary(5, 2, 2, ("405", "561"))
            write_stack(tmp_path / f"run_MMStack_Pos{position}.ome.tif", planes[:7], about)
            write_stack(tmp_path / f"run_MMStack_Pos{position}_1.ome.tif", planes[7:], about)
        return tmp_path

    @pytest.mark.parametrize("where", ["", "*.tif"])
    @pytest.mark.parametrize(
        ("position", "channel", "first"), [("Pos0", "405", 0), ("Pos1", "561", 1100), ("2", "1", 1000)]
    )
    def test_one_of_each(self, folder, where, position, channel, first):
        found = frames(f"{folder}/{where}", position=position, channel=channel)
        np.testing.assert_array_equal(found[:, 0, 0], first + np.arange(5))

    def test_a_file_stands_for_its_position(self, folder):
        for name in ("run_MMStack_Pos1.ome.tif", "run_MMStack_Pos1_1.ome.tif"):
            np.testing.assert_array_equal(frames(folder / name, channel="405")[:, 0, 0], 1000 + np.arange(5))

    def test_never_mixed(self, folder):
        with pytest.raises(InputError, match=r"holds 2 positions \(1: Pos0, 2: Pos1\); choose one with position"):
            open_frames(folder)
        with pytest.raises(InputError, match=r"holds 2 channels \(1: 405, 2: 561\); choose one with channel"):
            open_frames(folder, position="Pos0")
        with pytest.raises(InputError, match=r"channel 640: .* has no such channel; there are 1: 405, 2: 561"):
            open_frames(folder, position="Pos0", channel="640")

    def test_positions_in_one_file(self, tmp_path):
        planes = [((0, 0, t, p), np.full((20, 24), 10 * p + t, np.uint16)) for t in range(3) for p in (0, 1)]
        write_stack(tmp_path / "run_MMStack.ome.tif", planes, summary(3, 2))
        assert frames(tmp_path / "run_MMStack.ome.tif", position="Well 1")[:, 0, 0].tolist() == [10, 11, 12]

    @pytest.mark.parametrize("tail", [b"", b"\0" * 5000], ids=["cut", "room that was kept"])
    def test_stopped_early(self, tmp_path, tail):
        planes = [((0, 0, t, 0), np.full((20, 24), t, np.uint16)) for t in range(4)]
        write_stack(tmp_path / "run_MMStack_Pos0.ome.tif", planes, summary(9), finished=False, tail=tail)
        source = open_frames(tmp_path)
        assert np.stack(list(source))[:, 0, 0].tolist() == [0, 1, 2, 3]
        assert len(source.remarks) == 1
        assert "stopped early; 4 frames are there and are read, 9 frames were planned" in source.remarks[0]

    def test_folder_of_single_images(self, tmp_path):
        for p in (0, 1):
            for t in range(11):
                name = f"img_channel000_position{p:03}_time{t:09}_z000.tif"
                tifffile.imwrite(tmp_path / name, np.full((8, 8), 100 * p + t, np.uint16))
        with pytest.raises(InputError, match="holds 2 positions"):
            open_frames(tmp_path)
        assert frames(tmp_path, position="2")[:, 0, 0].tolist() == list(range(100, 111))


def test_channels_of_ndtiff_by_name(tmp_path, stack):
    ndtiff(tmp_path / "set", stack, ("GFP", "Cy5"))
    np.testing.assert_array_equal(frames(tmp_path / "set", channel="cy5"), stack + 1000)
    with pytest.raises(InputError, match="holds 2 channels"):
        open_frames(tmp_path / "set")


def test_channels_by_their_names_and_numbers(tmp_path, stack):
    two = np.stack([stack, stack + 1000], axis=1)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        two,
        metadata={"axes": "TCYX", "Channel": {"Name": ["GFP", "Cy5"]}},
        photometric="minisblack",
    )
    tifffile.imwrite(tmp_path / "b.tif", two, imagej=True, metadata={"axes": "TCYX"})
    tifffile.imwrite(tmp_path / "c.tif", two, metadata={"axes": "TCYX"}, photometric="minisblack")
    zarr.create_array(tmp_path / "d.zarr", data=two, dimension_names=("t", "c", "y", "x"))
    np.testing.assert_array_equal(frames(tmp_path / "a.ome.tif", channel="Cy5"), stack + 1000)
    for name in ("a.ome.tif", "b.tif", "c.tif", "d.zarr"):
        np.testing.assert_array_equal(frames(tmp_path / name, channel="2"), stack + 1000)
        np.testing.assert_array_equal(frames(tmp_path / name, channel="1"), stack)
        with pytest.raises(InputError, match=r"holds 2 channels .*; choose one with channel"):
            open_frames(tmp_path / name)


def test_positions_of_ome(tmp_path, stack):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        for name, shift in (("left", 0), ("right", 1000)):
            writer.write(stack + shift, metadata={"axes": "TYX", "Name": name}, photometric="minisblack")
    np.testing.assert_array_equal(frames(tmp_path / "a.ome.tif", position="right"), stack + 1000)
    with pytest.raises(InputError, match=r"holds 2 positions \(1: left, 2: right\)"):
        open_frames(tmp_path / "a.ome.tif")


def test_a_choice_where_there_is_none(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack)
    np.testing.assert_array_equal(frames(tmp_path / "a.tif", position="1", channel="1"), stack)
    with pytest.raises(InputError, match=r"position Pos3: .*a\.tif has no such position; there is one"):
        open_frames(tmp_path / "a.tif", position="Pos3")


def test_collection_of_ome_zarr_images(tmp_path, stack):
    """As Bio-Formats writes several positions."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["ome"] = {"bioformats2raw.layout": 3}
    for number in range(11):
        ome_zarr(tmp_path / "a.zarr" / str(number), stack + number, "0.5")
    np.testing.assert_array_equal(frames(tmp_path / "a.zarr", position="11"), stack + 10)


@pytest.mark.parametrize(
    "names",
    [
        ("run.tif", "run_1.tif", "run_2.tif", "run_10.tif"),
        ("run.tif", "run-1.tif", "run-2.tif", "run-10.tif"),
        ("run.tif", "run (2).tif", "run (3).tif", "run (10).tif"),
        ("run.tif", "run1.tif", "run2.tif", "run10.tif"),
        ("run.tif", "run_X2.tif", "run_X3.tif", "run_X10.tif"),
        ("run.tif", "run@0001.tif", "run@0002.tif", "run@0010.tif"),
        ("Run.tif", "run_1.TIF", "RUN_2.tif", "run_10.tiff"),
    ],
)
def test_split_files_in_the_order_of_recording(tmp_path, stack, names):
    for name, frame in zip(names, stack, strict=False):
        tifffile.imwrite(tmp_path / name, frame)
    np.testing.assert_array_equal(frames(tmp_path), stack[:4])


def test_brackets_in_a_pattern(tmp_path, stack):
    folder = tmp_path / "cell [561nm]"
    folder.mkdir()
    for number in (1, 2, 3):
        tifffile.imwrite(folder / f"{number}.tif", stack[number])
    np.testing.assert_array_equal(frames(f"{folder}/*.tif"), stack[1:4])
    np.testing.assert_array_equal(frames(f"{tmp_path}/cell*/[23].tif"), stack[2:4])


def test_more_planes_than_a_header_tells_of(tmp_path, stack):
    """One directory, and the file holds six planes: whatever wrote it, it is not one frame."""
    tifffile.imwrite(tmp_path / "a.tif", stack[0].repeat(8, axis=0), metadata=None)
    with open(tmp_path / "a.tif", "ab") as stream:
        stream.write(stack[0].repeat(8, axis=0).tobytes() * 5)
    with pytest.raises(InputError, match=r"1 plane of .* bytes in a file of .*; it seems to hold 5 more"):
        open_frames(tmp_path / "a.tif")


def test_less_planes_in_the_header_than_in_the_file(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "TYX"})
    content = (tmp_path / "a.ome.tif").read_bytes().replace(b'SizeT="6"', b'SizeT="3"').replace(b'"6"', b'"3"')
    (tmp_path / "a.ome.tif").write_bytes(content)
    with pytest.raises(InputError, match="its OME header describes 3 planes, but the file has 6"):
        open_frames(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("ending", ["vsi", "oib", "raw", "dcimg", "avi"])
def test_what_is_not_read_is_told_what_to_become(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_bytes(b"something")
    with pytest.raises(InputError, match=rf"a\.{ending}: .*TIFF") as caught:
        open_frames(tmp_path / f"a.{ending}")
    assert "\n" not in str(caught.value)


def test_dax_that_does_not_fit_its_description(tmp_path, stack):
    dax(tmp_path / "a.dax", stack)
    with open(tmp_path / "a.dax", "r+b") as stream:
        stream.truncate(4 * 24 * 30 * 2 + 7)
    source = open_frames(tmp_path / "a.dax")
    np.testing.assert_array_equal(list(source), stack[:4])
    assert "4 of 6 frames are there" in source.remarks[0]
    (tmp_path / "a.inf").unlink()
    with pytest.raises(InputError, match=r"a\.inf, which describes it, is missing"):
        open_frames(tmp_path / "a.dax")
