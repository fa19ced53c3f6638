"""MaskLearningNet: microscope and network as one model, from emitters to voxels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ds3d_tf.model.imaging_layer import ImagingLayer
from ds3d_tf.model.optics_design_net import OpticsDesignNet
from ds3d_tf.setup import Setup


@keras.saving.register_keras_serializable("ds3d_tf")
class MaskLearningNet(keras.Model):
    """An ``ImagingLayer`` and an ``OpticsDesignNet`` that learn together: which mask lets emitters be found best?

    DeepSTORM3D's second half (Nehme et al., Nature Methods 2020).

    Args:
        imaging: from emitters to frames.
        network: from frames to voxels as wide as a camera pixel.
    """

    def __init__(self, imaging: ImagingLayer, network: OpticsDesignNet, **kwargs: Any) -> None:
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.imaging = imaging
        self.network = network
        self.built = True

    @classmethod
    def from_setup(cls, setup: Setup, start_rad: np.ndarray) -> MaskLearningNet:
        """Return a fresh model of a ``Setup``.

        Args:
            setup: the ``Setup``; the mask learns only if ``mask.learn`` says so.
            start_rad: float ``[N, N]`` (rows along y, columns along x), phase mask to start from, rad.
        """
        # The policy tells Keras to scale the loss in float16; the layers have their own.
        return cls(
            ImagingLayer.from_setup(setup, start_rad),
            OpticsDesignNet.from_setup(setup),
            dtype=setup.learning.precision,
        )

    @property
    def mask_rad(self) -> np.ndarray:
        """The mask as it is now: float64 ``[N, N]`` (rows along y, columns along x), rad."""
        return self.imaging.mask().numpy().astype(np.float64)

    def call(self, parts: dict[str, Any], training: bool = False) -> Any:
        """Return the confidence of an emitter in every voxel.

        Args:
            parts: as :class:`ImagingLayer` takes them (``xyz_um`` ``[B, E, 3]`` µm, and the rest).
            training: whether batch normalization uses and learns from the statistics of this batch.

        Returns:
            float32 ``[B, H, W, D]``, confidence in [0, scaling_factor].
        """
        return self.network(self.imaging(parts), training=training)

    def compute_output_spec(self, parts: dict[str, Any], training: bool = False) -> Any:
        """Return shape and dtype of the volume for symbolic parts."""
        return self.network.compute_output_spec(self.imaging.compute_output_spec(parts))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a model of this shape again."""
        return {
            "imaging": keras.saving.serialize_keras_object(self.imaging),
            "network": keras.saving.serialize_keras_object(self.network),
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MaskLearningNet:
        """Return the model that ``get_config`` described."""
        config = dict(config)
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("imaging", "network")}
        return cls(**parts, **config)
