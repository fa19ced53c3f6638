"""Arrays in TensorFlow Serving's JSON, both ways."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ds3d_tf.serving.errors import INVALID_ARGUMENT, RequestError


def inputs_of(request: Any, definition: Any) -> tuple[dict[str, np.ndarray], bool]:
    """Return the arrays of a Predict request in JSON, and whether it has one row per frame ("instances").

    Args:
        request: the decoded JSON.
        definition: the signature's ``SignatureDef``.

    Returns:
        an array for each input, of the signature's dtype and unit and the shape that was sent; True for rows.

    Raises RequestError for anything else.
    """
    names = list(definition.inputs)
    if ("instances" in request) == ("inputs" in request):
        raise RequestError(INVALID_ARGUMENT, "expected either 'instances' or 'inputs' in the JSON object")
    rows = "instances" in request
    values = request["instances" if rows else "inputs"]
    if rows:
        if not isinstance(values, list) or not values:
            raise RequestError(INVALID_ARGUMENT, "instances: expected a list of one or more")
        if all(isinstance(value, dict) for value in values):
            keys = set(values[0])
            if any(set(value) != keys for value in values):
                raise RequestError(INVALID_ARGUMENT, "instances: all must have the same keys")
            values = {name: [value[name] for value in values] for name in values[0]}
    if not isinstance(values, dict):
        required = [name for name in names if name not in definition.defaults]
        if len(required) != 1:
            raise RequestError(INVALID_ARGUMENT, f"expected an object with {', '.join(names)}")
        values = {required[0]: values}
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise RequestError(INVALID_ARGUMENT, f"no input {unknown[0]!r}; the signature has {', '.join(names)}")
    return {name: _array(name, value, definition.inputs[name].dtype) for name, value in values.items()}, rows


def _array(name: str, value: Any, code: int) -> np.ndarray:
    import tensorflow as tf

    dtype = tf.dtypes.as_dtype(code)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise RequestError(INVALID_ARGUMENT, f"{name}: rows of different lengths") from error
    kinds = "b" if dtype == tf.bool else "U" if dtype == tf.string else "iu" if dtype.is_integer else "iuf"
    if array.size and array.dtype.kind not in kinds:
        raise RequestError(INVALID_ARGUMENT, f"{name}: expected values of {dtype.name}, got {_example(value)}")
    if dtype == tf.string:
        return np.array([text.encode() for text in array.ravel()], object).reshape(array.shape)
    with np.errstate(over="ignore"):
        return array.astype(dtype.as_numpy_dtype)


def _example(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    return json.dumps(value)[:60]


def answer_of(outputs: dict[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """Return outputs in the form of TensorFlow Serving's JSON.

    Args:
        outputs: an array for each output, of the signature's shape and unit.
        rows: whether they belong to "instances".
    """
    lists = {name: _decoded(array) for name, array in outputs.items()}
    if not rows:
        return {"outputs": next(iter(lists.values())) if len(lists) == 1 else lists}
    if len(lists) == 1:
        return {"predictions": next(iter(lists.values()))}
    return {"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


def _decoded(array: np.ndarray) -> list[Any]:
    if array.dtype.kind == "O":
        return np.array([text.decode() for text in array.ravel()], object).reshape(array.shape).tolist()
    return array.tolist()
