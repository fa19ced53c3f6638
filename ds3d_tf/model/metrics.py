"""The soft Jaccard index of volumes, and of the pixel network's maps."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from ds3d_tf.model.labels import label_volume
from ds3d_tf.model.pixel_layers import PROBABILITY
from ds3d_tf.model.pixel_loss import emitter_targets, pixel_labels
from ds3d_tf.simulation.pixel_grid import PixelGrid
from ds3d_tf.simulation.voxel_grid import VoxelGrid


class MeanJaccard(keras.metrics.Metric):
    """Base of the soft Jaccard indices: the mean over the examples of overlap / (predicted + marked - overlap)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("name", "jaccard")
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.examples = self.add_weight(shape=(), initializer="zeros", name="examples")

    def add_batch(self, overlap: Any, predicted: Any, marked: Any, sample_weight: Any) -> None:
        """Add one batch.

        Args:
            overlap: float32 ``[B]``, sum of prediction times labels, a count.
            predicted: float32 ``[B]``, sum of the prediction, a count.
            marked: float32 ``[B]``, sum of the labels, a count.
            sample_weight: float32 ``[B]``, without unit, or None for equal weights.
        """
        union = predicted + marked - overlap
        # Nothing predicted where nothing is: a perfect answer, not 0 / 0.
        jaccard = ops.where(union > 0, overlap / ops.where(union > 0, union, 1.0), 1.0)
        weight = ops.ones_like(jaccard) if sample_weight is None else ops.cast(sample_weight, "float32")
        self.total.assign_add(ops.sum(jaccard * weight))
        self.examples.assign_add(ops.sum(weight))

    def result(self) -> Any:
        """Return the mean so far: float32 scalar in [0, 1]; 0 before the first batch."""
        return self.total / ops.maximum(self.examples, 1e-12)


@keras.saving.register_keras_serializable("ds3d_tf")
class VolumeJaccard(MeanJaccard):
    """Mean over the examples of Σ q t / (Σ q + Σ t - Σ q t), q = prediction / scaling_factor, t the label grid."""

    def __init__(self, grid: VoxelGrid | dict[str, Any], scaling_factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid = VoxelGrid(**grid) if isinstance(grid, dict) else grid
        self.scaling_factor = scaling_factor

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch.

        Args:
            y_true: float32 ``[B, E, 4]`` or more columns: x, y, z in µm and the label weight (0 = padding or not
                labelled).
            y_pred: float32 ``[B, 4H, 4W, D]``, confidence in [0, scaling_factor].
            sample_weight: float32 ``[B]``, without unit, or None for equal weights.
        """
        shape = ops.shape(y_pred)
        y_pred = ops.cast(y_pred, "float32")
        labels = label_volume(y_true, self.grid, shape)
        # Sums are divided, not volumes; the product is the loss's, too, and worked out once for both.
        overlap = ops.sum(y_pred * labels, axis=(1, 2, 3)) / self.scaling_factor
        predicted = ops.sum(y_pred, axis=(1, 2, 3)) / self.scaling_factor
        self.add_batch(overlap, predicted, ops.sum(labels, axis=(1, 2, 3)), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        grid = dataclasses.asdict(self.grid)
        return {**super().get_config(), "grid": grid, "scaling_factor": self.scaling_factor}


@keras.saving.register_keras_serializable("ds3d_tf")
class PixelJaccard(MeanJaccard):
    """Mean over the examples of Σ p t / (Σ p + Σ t - Σ p t), p the probability, t 1 in pixels that hold an emitter."""

    def __init__(self, grid: PixelGrid | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid = PixelGrid(**grid) if isinstance(grid, dict) else grid

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add one batch.

        Args:
            y_true: float32 ``[B, E, 6]``: x, y, z in µm, label weight, photoelectrons, background.
            y_pred: float32 ``[B, H, W, 10]``, the maps of a ``PixelNet``, in its units.
            sample_weight: float32 ``[B]``, without unit, or None for equal weights.
        """
        shape = ops.shape(y_pred)
        probability = ops.cast(y_pred[..., PROBABILITY], "float32")
        weight, pixels, _ = emitter_targets(y_true, self.grid, shape)
        labels = pixel_labels(weight, pixels, shape)
        overlap = ops.sum(probability * labels, axis=(1, 2))
        self.add_batch(overlap, ops.sum(probability, axis=(1, 2)), ops.sum(labels, axis=(1, 2)), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        return {**super().get_config(), "grid": dataclasses.asdict(self.grid)}
