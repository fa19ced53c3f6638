"""Largest values that options and setups share: what memory, float32 or a microscope can hold."""

from __future__ import annotations

MAX_SEED = 2**32 - 1
# Zernike polynomials of higher radial order are not exact in double precision.
MAX_NOLL_INDEX = 500
MAX_FFT_GRID_PX = 4096
MAX_FRAME_PX = 8192
MAX_RADIUS_VOXELS = 64
MAX_DEPTH_VOXELS = 2000
MAX_EMITTERS = 100_000
MAX_PHOTONS = 1e9
MAX_COUNTS = 1e6
MIN_BLUR_PX, MAX_BLUR_PX = 1e-3, 10.0
MAX_Z_UM = 500.0
MAX_Z_POSITIONS = 1000
MAX_BATCH = 4096
MAX_PORT = 2**16 - 1
MANY = 10**9
"""More than anyone waits for."""
