"""Emitters, background, camera, the voxel grid and the stream of training examples."""
