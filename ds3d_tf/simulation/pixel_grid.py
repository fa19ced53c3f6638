"""From emitters in µm and photons to the units of a network that answers in every camera pixel, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from ds3d_tf.setup import Setup
from ds3d_tf.setup.camera_files import load_camera


@dataclass(frozen=True)
class PixelGrid:
    """Pixels and scales: lateral offsets in pixels from a pixel's centre, z in [-1, 1], light as shares of a scale.

    x = y = 0 µm is the centre of pixel ``(H // 2, W // 2)`` of a frame, as everywhere in the package.

    Attributes:
        pixel_um: camera pixel in the sample, µm.
        z_min_um: lowest emitter, µm; -1 in the network's unit.
        z_max_um: highest emitter, µm; 1 in the network's unit.
        photon_scale: photoelectrons that are 1 in the network's unit.
        background_scale: photoelectrons a pixel that are 1 in the network's unit.
    """

    pixel_um: float
    z_min_um: float
    z_max_um: float
    photon_scale: float
    background_scale: float

    @classmethod
    def from_setup(cls, setup: Setup) -> PixelGrid:
        """Return the grid of a ``Setup``, whose brightest emitters and background are about 1 in the network's unit."""
        signal, light = setup.signal, setup.background
        photons = signal.uniform_range[1]
        if signal.distribution == "gamma":
            photons = signal.gamma_scale * (signal.gamma_shape + 2 * signal.gamma_shape**0.5)
        background = light.level if light.kind == "uniform" else 1.5 * light.valley_peak[1]
        efficiency = electrons_per_photon(setup)
        volume = setup.volume
        return cls(
            setup.optics.pixel_um,
            volume.z_min_um,
            volume.z_max_um,
            float(efficiency * photons),
            float(efficiency * max(background, 1.0)),
        )

    @property
    def half_depth_um(self) -> float:
        """Half of the depth range, µm: the network's unit of z."""
        return (self.z_max_um - self.z_min_um) / 2

    def places(self, xyz_um: Any, frame_shape: tuple[Any, Any]) -> Any:
        """Return where emitters are in a frame.

        Args:
            xyz_um: float ``[..., 3]`` (x, y, z), µm.
            frame_shape: ``(H, W)`` of the frame, pixels; numbers or scalar tensors.

        Returns:
            float32 ``[..., 3]`` (column, row, z): pixels, a whole number being a pixel's centre; z in [-1, 1].
        """
        height, width = frame_shape
        column = xyz_um[..., 0] / self.pixel_um + _whole(width // 2, xyz_um)
        row = xyz_um[..., 1] / self.pixel_um + _whole(height // 2, xyz_um)
        depth = (xyz_um[..., 2] - (self.z_min_um + self.z_max_um) / 2) / self.half_depth_um
        return ops.stack([column, row, depth], axis=-1)

    def positions_um(self, places: Any, frame_shape: tuple[Any, Any]) -> Any:
        """Return what :meth:`places` was given: float32 ``[..., 3]`` (x, y, z), µm."""
        height, width = frame_shape
        x = (places[..., 0] - _whole(width // 2, places)) * self.pixel_um
        y = (places[..., 1] - _whole(height // 2, places)) * self.pixel_um
        z = places[..., 2] * self.half_depth_um + (self.z_min_um + self.z_max_um) / 2
        return ops.stack([x, y, z], axis=-1)


def electrons_per_photon(setup: Setup) -> float:
    """Return the photoelectrons that a photon of the setup's signal gives: its camera's quantum efficiency, else 1."""
    camera = load_camera(setup)
    return 1.0 if camera is None else float(camera.quantum_efficiency)


def _whole(size: Any, like: Any) -> Any:
    return size if isinstance(size, int) else ops.cast(size, like.dtype)
