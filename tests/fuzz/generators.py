"""Malformed and hostile inputs by kind: each generator draws one from a random generator."""

from __future__ import annotations

import io
import itertools
import json
import string
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile

FRAMES = np.random.default_rng(7).poisson(100, (4, 16, 12)).astype(np.uint16)
SETUP = """name: fuzz
optics: {wavelength_um: 0.67, camera_pixel_um: 11.0, magnification: 100.0}
volume: {height_px: 40, width_px: 40, margin_px: 10, depth_voxels: 11, z_min_um: 0.0, z_max_um: 4.0}
emitters: {count_range: [1, 35]}
signal: {distribution: uniform, uniform_range: [6000.0, 30000.0]}
blur: {sigma_range_px: [0.9, 1.1]}
read_noise: {kind: uniform, baseline_range: [10.0, 30.0], sigma_range: [3.0, 8.0]}
training_set: {training_count: 8, validation_count: 4, seed: 3}
learning: {filters: 4, batch_size: 2, epochs: 1}
"""
ODD_VALUES = (
    *(
        "1e300",
        "-1e300",
        "1e-300",
        "-1",
        "0",
        ".inf",
        "-.inf",
        ".nan",
        "9" * 400,
        "0x" + "f" * 90,
        "1e30",
        "2147483648",
    ),
    *(
        "~",
        "yes",
        "''",
        "[]",
        "{}",
        "[1]",
        "[1, 2, 3]",
        "[[1]]",
        "{a: 1}",
        "!!int x",
        "!!binary aGk=",
        "!!float a",
        "&a [*a]",
    ),
    *(
        '"\\0"',
        '"\\ud800"',
        "2020-13-45",
        "12:61:61",
        "010",
        "!!python/name:os.system",
        "'\x07'",
        "é" * 300,
        "@",
        "%",
        "0b2",
    ),
)


def setup_text(rng: np.random.Generator) -> str:
    """Return a setup with one or a few mistakes."""
    text = SETUP
    for _ in range(rng.integers(1, 4)):
        lines = text.splitlines()
        place = int(rng.integers(len(lines)))
        kind = rng.integers(8)
        if kind == 0:  # an odd value
            head, colon, tail = lines[place].rpartition(": ")
            lines[place] = head + colon + str(rng.choice(ODD_VALUES)) + ("}" if tail.endswith("}") else "")
        elif kind == 1:  # a number times a power of ten
            words = lines[place].split(" ")
            numbers = [i for i, word in enumerate(words) if word.strip("[]{},").replace(".", "", 1).isdigit()]
            if numbers:
                i = int(rng.choice(numbers))
                number = words[i].strip("[]{},")
                words[i] = words[i].replace(number, f"{float(number) * 10.0 ** int(rng.integers(-12, 13)):g}", 1)
            lines[place] = " ".join(words)
        elif kind == 2:
            lines.insert(int(rng.integers(len(lines))), lines[place])
        elif kind == 3:
            del lines[place]
        elif kind == 4:
            at = int(rng.integers(len(lines[place]) + 1))
            lines[place] = (
                lines[place][:at] + str(rng.choice(list(string.printable + "\0\x85\u2028\ufeff"))) + lines[place][at:]
            )
        elif kind == 5:
            lines.append("x: " + "[" * int(rng.integers(1, 400)))
        elif kind == 6:
            names = [f"a{i}" for i in range(int(rng.integers(2, 12)))]
            lines.append(f"{names[0]}: &{names[0]} [1,1,1,1,1,1,1,1,1]")
            lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise(names)]
        else:
            lines[place] = lines[place].replace(":", str(rng.choice(["", "=", "::", ": :", ":\t"])), 1)
        text = "\n".join(lines)
    return text


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Return bytes that were cut, changed, repeated or added to."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(max(len(data), 1)))
        kind = rng.integers(6)
        if kind == 0:
            del data[at:]
        elif kind == 1 and data:
            data[at] = int(rng.integers(256))
        elif kind == 2:
            data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0"])
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 9))]
        elif kind == 4:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        else:  # the header is what is read first
            at = int(rng.integers(min(len(data), 300) or 1))
            data[at : at + 1] = rng.bytes(1)
    return bytes(data)


def tiff(rng: np.random.Generator) -> bytes:
    """Return a damaged TIFF recording."""
    stream = io.BytesIO()
    options: list[dict[str, Any]] = [
        {},
        {"compression": "zlib"},
        {"compression": "lzw"},
        {"imagej": True},
        {"ome": True},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"rowsperstrip": 4},
    ]
    chosen = options[int(rng.integers(len(options)))]
    tifffile.imwrite(stream, FRAMES, photometric="minisblack", **chosen)
    return damaged(rng, stream.getvalue())


def npy(rng: np.random.Generator) -> bytes:
    """Return a damaged NumPy recording, or one of another kind."""
    stream = io.BytesIO()
    kinds: list[Any] = [
        FRAMES,
        FRAMES[0],
        FRAMES.astype(float),
        FRAMES > 100,
        FRAMES.astype("S3"),
        FRAMES + 1j,
        FRAMES[:0],
    ]
    np.save(stream, kinds[int(rng.integers(len(kinds)))])
    return damaged(rng, stream.getvalue()) if rng.integers(4) else stream.getvalue()


def npz(rng: np.random.Generator) -> bytes:
    """Return a damaged archive of NumPy's."""
    stream = io.BytesIO()
    save = np.savez_compressed if rng.integers(2) else np.savez
    save(stream, **{str(rng.choice(["frames", "frame", "facts"])): FRAMES})
    return damaged(rng, stream.getvalue())


def table_text(rng: np.random.Generator) -> bytes:
    """Return a damaged table of emitters."""
    rows = ["frame,x_um,y_um,z_um,photons", *(f"{n},{n}.5,-1,2,{1000 * n}" for n in (1, 1, 2, 4))]
    odd = ["1e300", "nan", "inf", "-5", "x", "", "1e400", "1,2", '"', "0", "99", "1.5", "\0", "9" * 400, "1_0", "0x10"]
    for _ in range(rng.integers(1, 3)):
        place = int(rng.integers(len(rows)))
        cells = rows[place].split(",")
        cells[int(rng.integers(len(cells)))] = str(rng.choice(odd))
        rows[place] = ",".join(cells)
    content = "\n".join(rows).encode()
    return damaged(rng, content) if rng.integers(3) == 0 else content


def json_text(rng: np.random.Generator, fields: dict[str, Any]) -> str:
    """Return the JSON of fields with a wrong one, or damaged."""
    wrong: list[Any] = [
        None,
        [],
        {},
        "x",
        -1,
        1.5,
        True,
        "9" * 30,
        10**30,
        float("nan"),
        float("inf"),
        [[]],
        {"a": None},
    ]
    if rng.integers(3) == 0:
        return damaged(rng, json.dumps(fields).encode()).decode("utf-8", "replace")
    name = str(rng.choice(sorted(fields)))
    changed = dict(fields)
    if rng.integers(4) == 0:
        del changed[name]
    else:
        changed[name] = wrong[int(rng.integers(len(wrong)))]
    return json.dumps(changed)


def zarr_metadata(rng: np.random.Generator, text: str) -> str:
    """Return the description of an array with a wrong value somewhere."""
    values = json.loads(text)
    spots: list[tuple[Any, Any]] = []

    def walk(item: Any) -> None:
        pairs: Any = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, inner in list(pairs):
            spots.append((item, key))
            walk(inner)

    walk(values)
    for _ in range(rng.integers(1, 3)):
        owner, key = spots[int(rng.integers(len(spots)))]
        wrong: list[Any] = [None, [], {}, "x", -1, 0, 2**31, 2**62, 1.5, "pickle", [2**40], "uint64", "object"]
        owner[key] = wrong[int(rng.integers(len(wrong)))]
    return json.dumps(values)


GENERATORS: dict[str, Callable[[np.random.Generator], bytes]] = {
    "tif": tiff,
    "npy": npy,
    "npz": npz,
}
