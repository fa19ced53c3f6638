"""Small arrays as text, for places that hold text only: exact, compressed."""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np

from ds3d_tf.common.arrays import inflate, npy_from_bytes
from ds3d_tf.common.errors import InputError

MAX_BYTES = 256 * 2**20


def array_to_text(array: np.ndarray) -> str:
    """Return an array as base64 text.

    Args:
        array: of any shape, unit and plain dtype.
    """
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue(), 6)).decode("ascii")


def array_from_text(text: str | bytes, where: str) -> np.ndarray:
    """Return the array of :func:`array_to_text`, of the same shape, unit and dtype.

    ``where`` names the text in the error. Raises InputError for any other text.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InputError(f"{where}: not an array as text ({error})") from error
    return npy_from_bytes(
        inflate(packed, MAX_BYTES, f"{where}: not an array as text"), f"{where}: not an array as text"
    )
