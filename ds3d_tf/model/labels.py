"""From emitter lists to label voxels, on the device."""

from __future__ import annotations

from typing import Any

from keras import ops

from ds3d_tf.simulation.voxel_grid import VoxelGrid


def label_volume(emitters: Any, grid: VoxelGrid, volume_shape: tuple[Any, ...]) -> Any:
    """Return the label grid: 1 in the voxels that hold a labelled emitter, else 0.

    Several emitters in one voxel still give 1; emitters outside the grid are left out.

    Args:
        emitters: float32 ``[B, E, 4]``: x, y, z in µm and the label weight (0 = padding or not labelled).
        grid: the voxel grid, of ``volume_shape[-1]`` depth voxels.
        volume_shape: ``(B, 4H, 4W, D)`` in voxels (4: the grid's voxels a pixel); numbers or scalar tensors.

    Returns:
        float32 ``[B, 4H, 4W, D]``, 0 or 1.
    """
    emitters = ops.cast(emitters, "float32")
    batch, rows, columns, depths = volume_shape
    voxels = grid.voxels(emitters[..., :3], (rows // grid.voxels_per_pixel, columns // grid.voxels_per_pixel))
    limits = ops.stack([ops.cast(size, "int32") for size in (rows, columns, depths)])
    inside = ops.all((voxels >= 0) & (voxels < limits), axis=-1) & (emitters[..., 3] > 0)
    example = ops.broadcast_to(ops.cast(ops.arange(batch), "int32")[:, None, None], ops.shape(voxels[..., :1]))
    voxels = ops.where(inside[..., None], voxels, 0)
    indices = ops.reshape(ops.concatenate([example, voxels], axis=-1), (-1, 4))
    counts = ops.scatter(indices, ops.reshape(ops.cast(inside, "float32"), (-1,)), tuple(volume_shape))
    return ops.minimum(counts, 1.0)
