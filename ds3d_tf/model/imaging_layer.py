"""ImagingLayer: the microscope as a layer, its phase mask trainable. It needs TensorFlow, as the optics do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ds3d_tf.optics.pupil import pupil_grids
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.zernike import zernike
from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import load_camera
from ds3d_tf.setup.sections import NormalizationSection, OpticsSection, VolumeSection
from ds3d_tf.simulation.camera import differentiable_shot_noise
from ds3d_tf.simulation.camera_counts import counts_per_photon
from ds3d_tf.simulation.normalization import normalize

LOWEST_MODE = 4  # piston and tilts change no image
PARTS = ("xyz_um", "photons", "blur_sigma_px", "background", "shot_noise", "dark_counts")


@keras.saving.register_keras_serializable("ds3d_tf")
class ImagingLayer(keras.layers.Layer):
    """From emitters to normalized frames, through a phase mask that gradients reach (Nehme et al., Nat. Methods 2020).

    The mask is a start, which stays, and a trainable change: a phase for each pixel or a coefficient for each Zernike
    mode. Random numbers come in from outside, so the layer itself is a function. Always in float32.

    Args:
        optics: the setup's optics section, or its values.
        volume: the setup's volume section, or its values.
        normalization: the setup's normalization section, or its values.
        size_px: N, side of the mask, SLM pixels.
        basis: "pixels" or "zernike".
        highest_mode: last Noll index of "zernike".
        step_ratio: how many times larger the mask's steps are than the optimizer's learning rate says.
        counts_per_photon: of the camera, counts.
    """

    def __init__(
        self,
        optics: OpticsSection | dict[str, Any],
        volume: VolumeSection | dict[str, Any],
        normalization: NormalizationSection | dict[str, Any],
        size_px: int,
        basis: str = "pixels",
        highest_mode: int = 55,
        step_ratio: float = 1.0,
        counts_per_photon: float = 1.0,
        **kwargs: Any,
    ) -> None:
        kwargs.update(dtype="float32", autocast=False)
        super().__init__(**kwargs)
        self.optics = OpticsSection(**{"fourier_grid": "rounded", **optics}) if isinstance(optics, dict) else optics
        self.volume = VolumeSection(**volume) if isinstance(volume, dict) else volume
        self.normalization = NormalizationSection(**normalization) if isinstance(normalization, dict) else normalization
        self.size_px = size_px
        self.basis = basis
        self.highest_mode = highest_mode
        self.step_ratio = step_ratio
        self.counts_per_photon = counts_per_photon
        self.renderer = exact_renderer(self.optics, self.volume, np.zeros((size_px, size_px)))
        if tf.config.list_physical_devices("GPU"):
            # Few large chunks keep a GPU busy; on a CPU small ones stay in its cache.
            self.renderer.chunk_emitters = 128
        self._modes = self._zernike_modes() if basis == "zernike" else None
        self.build()

    @classmethod
    def from_setup(cls, setup: Setup, start_rad: np.ndarray) -> ImagingLayer:
        """Return the layer of a ``Setup``; the mask learns only if ``mask.learn`` says so.

        Args:
            setup: the ``Setup``.
            start_rad: float ``[N, N]`` (rows along y, columns along x), phase mask to start from, rad.
        """
        mask = setup.mask
        camera = load_camera(setup)
        layer = cls(
            setup.optics,
            setup.volume,
            setup.normalization,
            int(np.shape(start_rad)[0]),
            mask.basis,
            mask.highest_mode,
            (mask.learning_rate or setup.learning.learning_rate) / setup.learning.learning_rate,
            1.0 if camera is None else counts_per_photon(camera),
            name="imaging",
            trainable=mask.learn,
        )
        layer.start.assign(start_rad)
        return layer

    def build(self, input_shape: Any = None) -> None:
        """Make the mask's weights; the frames' size is the volume's."""
        if getattr(self, "built", False):
            return
        size = (self.size_px, self.size_px)
        self.start = self.add_weight(shape=size, initializer="zeros", trainable=False, name="start")
        shape = size if self._modes is None else (len(self._modes),)
        self.change = self.add_weight(shape=shape, initializer="zeros", name="change")
        self.built = True

    def mask(self) -> tf.Tensor:
        """Return the mask as it is now: float32 ``[N, N]`` (rows along y, columns along x), rad."""
        # The ratio stands here and not in the optimizer: a step of Adam is one learning rate, whatever the gradient.
        change = self.step_ratio * tf.convert_to_tensor(self.change)
        if self._modes is not None:
            change = tf.tensordot(change, self._modes, 1)
        return tf.convert_to_tensor(self.start) + change

    def call(self, parts: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the frames, normalized.

        Args:
            parts: of :func:`ds3d_tf.simulation.imaging_stream.imaging_dataset`: ``xyz_um`` float32 ``[B, E, 3]`` µm,
                ``photons`` ``[B, E]``, ``blur_sigma_px`` ``[B, E]`` camera pixels, ``background`` ``[B, H, W]`` counts,
                ``shot_noise`` ``[B, H, W]`` standard normal numbers, ``dark_counts`` ``[B, H, W]`` counts.

        Returns:
            float32 ``[B, H, W]``, no unit.
        """
        light = self.renderer(parts["xyz_um"], parts["photons"], parts["blur_sigma_px"], self.mask())
        counts = differentiable_shot_noise(light + parts["background"], parts["shot_noise"])
        if self.counts_per_photon != 1.0:
            counts *= self.counts_per_photon
        return normalize(tf.maximum(counts + parts["dark_counts"], 0.0), self.normalization)

    def compute_output_spec(self, parts: dict[str, Any]) -> Any:
        """Return shape and dtype of the frames for symbolic parts."""
        return keras.KerasTensor((parts["photons"].shape[0], *self.renderer.frame_shape), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again; the mask is in its weights."""
        return {
            "optics": self.optics.model_dump(mode="json"),
            "volume": self.volume.model_dump(mode="json"),
            "normalization": self.normalization.model_dump(mode="json"),
            "size_px": self.size_px,
            "basis": self.basis,
            "highest_mode": self.highest_mode,
            "step_ratio": self.step_ratio,
            "counts_per_photon": self.counts_per_photon,
            "name": self.name,
            "trainable": self.trainable,
        }

    def _zernike_modes(self) -> tf.Tensor:
        """Return the modes, float32 ``[M, N, N]``, 0 outside the pupil."""
        grids = pupil_grids(self.optics, self.size_px, self.volume.focus_um)
        across, down = grids.pupil_x[None, :], grids.pupil_x[:, None]
        modes = [zernike(index, across, down) for index in range(LOWEST_MODE, self.highest_mode + 1)]
        return tf.constant(np.stack(modes) * (grids.pupil_radius < 1), tf.float32)
