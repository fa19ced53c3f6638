"""A small microscope with the demo's optics, its image model, and its exact renderer in double precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.refinement import ImageModel, image_model
from ds3d_tf.setup import Setup, load_setup

SIZE_PX = 61


class Microscope(NamedTuple):
    setup: Setup
    mask_rad: np.ndarray
    model: ImageModel
    renderer: object

    def images(self, emitters: np.ndarray) -> np.ndarray:
        """Exact images, float64 [E, H, W], of (x, y, z, photons, blur)."""
        return self.renderer.psf(emitters[:, :3], emitters[:, 3], emitters[:, 4]).numpy()


@pytest.fixture(scope="session")
def microscope() -> Microscope:
    setup = load_setup("demo3").replace(
        {
            "mask.source": "tetrapod",
            "volume.z_min_um": 3.8,
            "volume.z_max_um": 5.2,
            "volume.height_px": SIZE_PX,
            "volume.width_px": SIZE_PX,
            "volume.margin_px": 10,
        }
    )
    mask_rad = load_mask(setup)
    model = image_model(setup.optics, setup.volume, mask_rad)
    return Microscope(setup, mask_rad, model, exact_renderer(setup.optics, setup.volume, mask_rad, dtype="float64"))


@pytest.fixture(scope="session")
def emitters() -> np.ndarray:
    """Three emitters, float64 [3, 5] (x, y, z in µm, photons, blur in pixels), two of which overlap."""
    return np.array([[-0.63, 0.21, 4.12, 20000, 0.8], [0.27, -0.36, 4.7, 30000, 1.0], [0.9, 1.31, 5.0, 15000, 1.15]])
