"""A frame rebuilt from its localizations: known photons and background come back."""

import numpy as np
import pytest

from ds3d_tf.localization.plots import plot_overlay, plot_regenerated, plot_scatter
from ds3d_tf.localization.regenerate import regenerate
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact import ExactRenderer
from ds3d_tf.setup import load_setup


@pytest.fixture(scope="module")
def scene():
    """A noise-free frame of three emitters over a slanted background, larger than the setup's own frames."""
    setup = load_setup("quickstart_voxel")
    mask = load_mask(setup)
    xyz = np.array([[-1.0, 0.5, 0.3], [1.2, -0.7, 0.9], [1.25, -0.1, 0.5]])
    photons = np.array([5000.0, 8000.0, 3000.0])
    volume = setup.volume.model_copy(update={"height_px": 50, "width_px": 66})
    blur = np.full((1, 3), np.mean(setup.blur.sigma_range_px), np.float32)
    image = ExactRenderer(setup.optics, volume, mask)(xyz[None].astype("f4"), photons[None].astype("f4"), blur)
    background = 20 + np.linspace(0, 10, 50)[:, None] + np.linspace(0, 5, 66) ** 2
    return setup, mask, xyz, photons, image[0].numpy() + background, background


def test_photons_and_background_come_back(scene):
    setup, mask, xyz, photons, frame, background = scene
    again = regenerate(frame, xyz, setup, mask)
    np.testing.assert_allclose(again.photons, photons, rtol=2e-3)
    np.testing.assert_allclose(again.background, background, atol=0.1)
    np.testing.assert_allclose(again.image, frame, atol=0.2)
    assert again.explained > 0.9999 and again.image.dtype == np.float32


def test_photons_are_never_negative_and_twins_share(scene):
    setup, mask, xyz, photons, frame, _ = scene
    wrong = np.concatenate([xyz, [[0.0, 1.0, 0.5]], xyz[:1]])
    again = regenerate(frame, wrong, setup, mask)
    assert (again.photons >= 0).all()
    assert again.photons[3] == pytest.approx(0, abs=20)
    assert again.photons[0] + again.photons[4] == pytest.approx(photons[0], rel=5e-3)


def test_no_localizations(scene):
    setup, mask, _, _, frame, _ = scene
    again = regenerate(frame, np.zeros((0, 3)), setup, mask)
    assert again.photons.shape == (0,) and again.image.shape == frame.shape
    assert again.image.mean() == pytest.approx(frame.mean(), rel=1e-3)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_figures(scene, tmp_path, count):
    setup, mask, xyz, photons, frame, _ = scene
    plot_overlay(tmp_path / "overlay.png", frame, xyz[:count], setup, "title")
    plot_scatter(tmp_path / "scatter.png", xyz[:count], photons[:count] / 20, frame.shape, setup, "title")
    plot_regenerated(tmp_path / "again.png", frame, regenerate(frame, xyz[:count], setup, mask), setup)
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 10_000
