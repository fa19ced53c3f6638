"""The request that TensorFlow Serving runs when it loads a model, so that no user waits for the first one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ds3d_tf.setup import Setup

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"


def write_warmup_request(saved_model: Path, setup: Setup, min_px: int = 1) -> None:
    """Write a TFRecord with one ``PredictionLog`` into a SavedModel: noise of the setup's frame size.

    ``min_px`` is the smallest side, pixels, that the model takes.
    """
    # The four messages (prediction_log.proto, predict.proto, model.proto) are encoded by hand: exporting must work
    # without the package tensorflow-serving-api, which only the extra "serving" installs.
    import tensorflow as tf

    shape = (1, max(setup.volume.height_px, min_px), max(setup.volume.width_px, min_px))
    frames = np.random.default_rng(0).poisson(100, shape).astype(np.float32)
    tensor = tf.make_tensor_proto(frames).SerializeToString()
    model_spec = _message(3, b"serving_default")
    inputs = _message(1, b"frames") + _message(2, tensor)
    request = _message(1, model_spec) + _message(2, inputs)
    prediction_log = _message(6, _message(1, request))
    path = saved_model / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(prediction_log)


def _message(field: int, content: bytes) -> bytes:
    """Return a length-delimited field in Protocol Buffers' encoding."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return an integer in Protocol Buffers' encoding: 7 bits per byte, lowest first; the high bit: more follow."""
    encoded = []
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
