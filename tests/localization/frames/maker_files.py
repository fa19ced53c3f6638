"""Small files of microscope makers' formats, written by hand from their documented layouts."""

from __future__ import annotations

import struct
import uuid

import numpy as np


def _segment(name: bytes, data: bytes) -> bytes:
    allocated = -(-len(data) // 32) * 32
    return struct.pack("<16sqq", name, allocated, len(data)) + data.ljust(allocated, b"\0")


def _entry(place: dict[str, int], plane: np.ndarray, position: int, compression: int) -> bytes:
    sizes = {"X": plane.shape[1], "Y": plane.shape[0]}
    dimensions = b"".join(
        struct.pack("<4siifi", axis.encode(), 0 if axis in sizes else place[axis], sizes.get(axis, 1), 0.0, 0)
        for axis in [*sizes, *place]
    )
    count = len(sizes) + len(place)
    return struct.pack("<2siqiiBB4si", b"DV", 1, position, 0, compression, 0, 0, b"", count) + dimensions


def czi(path, planes, encode=None, compression=0):
    """Write uint16 planes ``[(place, [H, W]), ...]``, place axis → index such as {"T": 0, "C": 1}, as Zeiss's .czi."""
    blocks, entries = b"", []
    header = 32 + 512
    for place, plane in planes:
        position = header + len(blocks)
        entry = _entry(place, plane, position, compression)
        pixels = plane.astype("<u2").tobytes()
        pixels = encode(pixels) if encode else pixels
        about = struct.pack("<iiq", 0, 0, len(pixels)) + entry
        blocks += _segment(b"ZISRAWSUBBLOCK", about.ljust(16 + max(240, len(entry)), b"\0") + pixels)
        entries.append(entry)
    directory = _segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries))
    guid = uuid.uuid4().bytes
    where = header + len(blocks)
    about = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, guid, guid, 0, where, 0, 0, 0)
    path.write_bytes(_segment(b"ZISRAWFILE", about.ljust(512, b"\0")) + blocks + directory)


def lif(path, images):
    """Write uint16 images ``{name: [T, C, H, W]}`` as Leica's .lif."""
    elements, blocks = "", b""
    for number, (name, array) in enumerate(images.items()):
        times, channels, height, width = array.shape
        plane = 2 * height * width
        sizes = ((1, width, 2), (2, height, 2 * width), (4, times, plane * channels))
        dimensions = "".join(
            f'<DimensionDescription DimID="{kind}" NumberOfElements="{size}" Origin="0" Length="1" Unit="" '
            f'BitInc="0" BytesInc="{step}"/>'
            for kind, size, step in sizes
        )
        described = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            f'Max="65535" Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="{plane * channel}" BitInc="0"/>'
            for channel in range(channels)
        )
        memory = array.astype("<u2").tobytes()
        elements += (
            f'<Element Name="{name}" UniqueID="{number}"><Data><Image><ImageDescription><Channels>{described}'
            f"</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{len(memory)}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        label = f"MemBlock_{number}"
        blocks += struct.pack("<IIBQBI", 0x70, 13 + 2 * len(label) + 5, 0x2A, len(memory), 0x2A, len(label))
        blocks += label.encode("utf-16-le") + memory
    text = (
        '<LMSDataContainerHeader Version="2"><Element Name="recording" UniqueID="r"><Data><Experiment/></Data>'
        f'<Memory Size="0" MemoryBlockID="MemBlock_r"/><Children>{elements}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    header = struct.pack("<IIBI", 0x70, 2 * len(text) + 5, 0x2A, len(text)) + text.encode("utf-16-le")
    path.write_bytes(header + blocks)


def sif(path, planes):
    """Write ``[T, H, W]`` as Andor's .sif of version 65567."""
    count, height, width = planes.shape
    lines = [
        "Andor Technology Multi-Channel File",
        "65538 1",
        "65567 0 0 1 1540956289 -60 " + " " * 10 + "0 0.1 0.2 0.2 1 \0 0.2 1e-06 0 1 10 0 0 1e-09 " + "0 " * 16 + "0 0",
        "DU897_BV",
        f"{width} {height} 5",
        "a.sif ",
        "65538 4",
        "text",
    ]
    lines += ["65538 " + " " * 8 + "0 0"]
    lines += ["0"] * 8 + ["0 Unknown"]
    lines += ["0", "1 2 3 4 5 6 7 8"] + ["0"] * 8
    lines += ["65539 0", "0 1 0 0", "0 1 0 0", "0", "422", "13", "13"]
    text = "\n".join(lines) + "\n"
    text += "12\nPixel number6\nCounts12\nPixel number"
    pixels = width * height
    text += f"65541 1 {height} {width} 1 {count} 1 {pixels * count} {pixels}\n"
    text += f"65538 1 {height} {width} 1 1 1 0\n"
    text += "".join(f"{1000 * frame}\n" for frame in range(count)) + "0\n"
    path.write_bytes(text.encode("latin-1") + planes.astype("<f4").tobytes())
