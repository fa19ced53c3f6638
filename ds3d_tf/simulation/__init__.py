"""Emitters, background, camera, the voxel grid and the stream of training examples."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "SimulatedFrames": "stream",
    "VoxelGrid": "voxel_grid",
    "load_dataset": "dataset",
    "normalize": "normalization",
    "simulate_frames": "stream",
    "training_dataset": "stream",
    "write_dataset": "dataset",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
