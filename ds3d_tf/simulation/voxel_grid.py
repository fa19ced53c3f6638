"""The one home of the coordinates: µm positions ↔ voxels of the network's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from ds3d_tf.setup import Setup

VOXELS_PER_PIXEL = 4
_HALF_PIXEL = {"pixel_area": 0.5, "half_pixel_shifted": 0.0}


@dataclass(frozen=True)
class VoxelGrid:
    """Voxels of a quarter pixel (or a half, or one) in x and y and ``(z_max_um - z_min_um) / depth_voxels`` in z.

    x = y = 0 µm is the centre of pixel ``(height_px // 2, width_px // 2)`` of a frame. Convention
    ``pixel_area``: the 4×4 voxels of a pixel tile that pixel. ``half_pixel_shifted``: the grid of some
    published DeepSTORM3D weights, whose voxel ``4 * (W // 2)`` begins at x = 0. While a mask is learned,
    voxels are as wide as a pixel: ``voxels_per_pixel`` is 1.
    """

    pixel_um: float
    z_min_um: float
    z_max_um: float
    depth_voxels: int
    convention: str = "pixel_area"
    voxels_per_pixel: int = VOXELS_PER_PIXEL

    def __post_init__(self) -> None:
        if self.convention not in _HALF_PIXEL:
            raise ValueError(f"convention: expected one of {sorted(_HALF_PIXEL)}, got {self.convention!r}")

    @classmethod
    def from_setup(cls, setup: Setup) -> VoxelGrid:
        """Return the grid of a ``Setup``."""
        volume = setup.volume
        return cls(
            setup.optics.pixel_um,
            volume.z_min_um,
            volume.z_max_um,
            volume.depth_voxels,
            volume.grid,
            volume.lateral_voxels,
        )

    @property
    def depth_um(self) -> float:
        """Size of a voxel in z, µm."""
        return (self.z_max_um - self.z_min_um) / self.depth_voxels

    @property
    def offset_px(self) -> float:
        """Pixels from the left edge of voxel ``4 * (W // 2)`` to x = 0: 0.5 or 0."""
        return _HALF_PIXEL[self.convention]

    def voxels(self, xyz_um: Any, frame_shape: tuple[int, int]) -> Any:
        """Return the voxel of each position.

        Args:
            xyz_um: float ``[..., 3]`` (x, y, z), µm.
            frame_shape: ``(H, W)`` of the frame, pixels; numbers or scalar tensors.

        Returns:
            int32 ``[..., 3]`` (row, column, depth); positions outside the grid give indices outside it.
        """
        return ops.cast(ops.floor(self.places(xyz_um, frame_shape)), "int32")

    def places(self, xyz_um: Any, frame_shape: tuple[int, int]) -> Any:
        """Return where positions are in the grid, as fractional voxels from its corner.

        Args:
            xyz_um: float ``[..., 3]`` (x, y, z), µm.
            frame_shape: ``(H, W)`` of the frame, pixels; numbers or scalar tensors.

        Returns:
            float ``[..., 3]`` (row, column, depth), voxels; a voxel's centre is at its index plus a half.
        """
        height, width = frame_shape
        x, y, z = xyz_um[..., 0], xyz_um[..., 1], xyz_um[..., 2]
        column = self.voxels_per_pixel * (x / self.pixel_um + self._centre(width, x))
        row = self.voxels_per_pixel * (y / self.pixel_um + self._centre(height, y))
        depth = (z - self.z_min_um) / self.depth_um
        return ops.stack([row, column, depth], axis=-1)

    def positions_um(self, voxels: Any, frame_shape: tuple[int, int]) -> Any:
        """Return the position of (fractional) voxel indices; an integer index means the voxel's centre.

        Args:
            voxels: ``[..., 3]`` (row, column, depth), voxel indices, int or float.
            frame_shape: ``(H, W)`` of the frame, pixels; numbers or scalar tensors.

        Returns:
            float32 ``[..., 3]`` (x, y, z), µm.
        """
        height, width = frame_shape
        voxels = ops.cast(voxels, "float32")
        row, column, depth = voxels[..., 0], voxels[..., 1], voxels[..., 2]
        x = ((column + 0.5) / self.voxels_per_pixel - self._centre(width, column)) * self.pixel_um
        y = ((row + 0.5) / self.voxels_per_pixel - self._centre(height, row)) * self.pixel_um
        z = (depth + 0.5) * self.depth_um + self.z_min_um
        return ops.stack([x, y, z], axis=-1)

    def _centre(self, size_px: Any, like: Any) -> Any:
        half = size_px // 2
        return (half if isinstance(half, int) else ops.cast(half, like.dtype)) + self.offset_px
