"""The soft Jaccard index of volumes."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from ds3d_tf.model.labels import label_volume
from ds3d_tf.simulation.voxel_grid import VoxelGrid


@keras.saving.register_keras_serializable("ds3d_tf")
class VolumeJaccard(keras.metrics.Metric):
    """Mean over the examples of Σ q t / (Σ q + Σ t - Σ q t), q = prediction / scaling_factor, t the label grid."""

    def __init__(self, grid: VoxelGrid | dict[str, Any], scaling_factor: float, **kwargs: Any) -> None:
        kwargs.setdefault("name", "jaccard")
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.grid = VoxelGrid(**grid) if isinstance(grid, dict) else grid
        self.scaling_factor = scaling_factor
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.examples = self.add_weight(shape=(), initializer="zeros", name="examples")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch.

        Args:
            y_true: float32 ``[B, E, 4]``: x, y, z in µm and the label weight (0 = padding or not labelled).
            y_pred: float32 ``[B, 4H, 4W, D]``, confidence in [0, scaling_factor].
            sample_weight: float32 ``[B]``, without unit, or None for equal weights.
        """
        shape = ops.shape(y_pred)
        y_pred = ops.cast(y_pred, "float32")
        labels = label_volume(y_true, self.grid, shape)
        # Sums are divided, not volumes; the product is the loss's, too, and worked out once for both.
        overlap = ops.sum(y_pred * labels, axis=(1, 2, 3)) / self.scaling_factor
        predicted = ops.sum(y_pred, axis=(1, 2, 3)) / self.scaling_factor
        union = predicted + ops.sum(labels, axis=(1, 2, 3)) - overlap
        # Nothing predicted where nothing is: a perfect answer, not 0 / 0.
        jaccard = ops.where(union > 0, overlap / ops.where(union > 0, union, 1.0), 1.0)
        weight = ops.ones_like(jaccard) if sample_weight is None else ops.cast(sample_weight, "float32")
        self.total.assign_add(ops.sum(jaccard * weight))
        self.examples.assign_add(ops.sum(weight))

    def result(self) -> Any:
        """Return the mean so far: float32 scalar in [0, 1]; 0 before the first batch."""
        return self.total / ops.maximum(self.examples, 1e-12)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        grid = dataclasses.asdict(self.grid)
        return {**super().get_config(), "grid": grid, "scaling_factor": self.scaling_factor}
