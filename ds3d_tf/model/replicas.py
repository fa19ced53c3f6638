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
    replica = _replica()
    return value if replica is None else replica.all_reduce("SUM", value)


def part_of_replica(value: Any) -> Any:
    """Return a tensor divided by the number of devices: what one adds to a mean over the devices that share a batch.

    Keras does so for losses of examples, not for a loss of a whole batch.

    Args:
        value: float32 scalar or any shape, any unit.
    """
    replica = _replica()
    return value if replica is None else value / replica.num_replicas_in_sync


def _replica() -> Any:
    """Return TensorFlow's replica context if there are several replicas, else None."""
    if keras.backend.backend() != "tensorflow" or "tensorflow" not in sys.modules:
        return None
    replica = sys.modules["tensorflow"].distribute.get_replica_context()
    return None if replica is None or replica.num_replicas_in_sync == 1 else replica
