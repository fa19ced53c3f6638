"""Sums over the devices that share a batch."""

from __future__ import annotations

import sys
from typing import Any

import keras


def sum_over_replicas(value: Any) -> Any:
    """Return the sum of a tensor over all devices that work on parts of one batch; the tensor itself on one device.

    Gradients pass. Other backends than TensorFlow have no such devices.

    Args:
        value: float32 scalar or any shape, any unit.
    """
    if keras.backend.backend() != "tensorflow" or "tensorflow" not in sys.modules:
        return value
    tf = sys.modules["tensorflow"]
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return value
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)
