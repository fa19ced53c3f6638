"""Writes stack files as Micro-Manager does, after https://micro-manager.org/Micro-Manager_File_Formats."""

import json
import struct

import numpy as np


def write_stack(path, planes, summary, finished=True, tail=b""):
    """Write one stack file: ``planes`` holds ((channel, slice, frame, position), uint16 [H, W]).

    ``finished`` False leaves out the index of the planes and the end of the chain of pages, as when the program dies.
    """
    text = json.dumps(summary).encode()
    content = bytearray(40) + text
    content[:8] = struct.pack("<2sHI", b"II", 42, 0)
    content[8:40] = struct.pack("<8I", 54773648, 0, 483765892, 0, 99384722, 0, 2355492, len(text))
    offsets, link = [], 4
    for (channel, z, time, position), pixels in planes:
        place = {"ChannelIndex": channel, "SliceIndex": z, "FrameIndex": time, "PositionIndex": position}
        tag = json.dumps(place).encode() + b"\0"
        content += b"\0" * (len(content) % 2)
        start = len(content)
        offsets.append((channel, z, time, position, start))
        struct.pack_into("<I", content, link, start)
        tags = 9
        data = start + 2 + 12 * tags + 4
        height, width = pixels.shape
        entries = [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, 16),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, data),
            (278, 4, 1, height),
            (279, 4, 1, pixels.nbytes),
            (51123, 2, len(tag), data + pixels.nbytes),
        ]
        content += struct.pack("<H", tags)
        for code, kind, count, value in entries:
            content += struct.pack("<HHI", code, kind, count)
            content += struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
        link = len(content)
        content += struct.pack("<I", 0) + np.ascontiguousarray(pixels, "<u2").tobytes() + tag
    if finished:
        struct.pack_into("<I", content, 12, len(content))
        content += struct.pack("<II", 3453623, len(offsets))
        for row in offsets:
            content += struct.pack("<5I", *row)
    else:
        struct.pack_into("<I", content, link, len(content) + 10)
    path.write_bytes(bytes(content) + tail)


def summary(frames, positions=1, channels=1, names=()):
    """Return the summary of a recording as Micro-Manager writes it into every file."""
    return {
        "Frames": frames,
        "Slices": 1,
        "Positions": positions,
        "Channels": channels,
        "ChNames": list(names),
        "StagePositions": [{"Label": f"Well {number}"} for number in range(positions)],
    }
