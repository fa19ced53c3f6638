"""What refinement must reach on simulated frames whose truth is known: backgrounds, depths, photons, cameras."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common.shipped import find_model
from ds3d_tf.evaluation.matching import match
from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.refinement import CameraNoise, refine
from ds3d_tf.setup import load_setup
from ds3d_tf.simulation.background import super_gaussian


def test_a_background_as_narrow_as_a_small_frame_breeds_no_emitters():
    setup = load_setup("quickstart_voxel")
    section, shape = setup.background, (setup.volume.height_px, setup.volume.width_px)
    low, high = section.valley_peak
    shapes = super_gaussian(section, 40, shape, np.array([3, 4])).numpy()
    frames = np.random.default_rng(5).poisson(1.25 * (low + (high - low) * shapes)).astype(np.float32)
    found = refine(frames, None, setup, load_mask(setup), noise=CameraNoise())
    # A stiff surface, a knot every 12 pixels, leaves 37.
    assert len(found) <= 6


def test_an_emitter_at_the_wrong_end_of_the_depths_is_found_elsewhere():
    # Below this Tetrapod's range, the image moved sideways is much like that of this emitter.
    folder = find_model("tetrapod_4um") / "1"
    setup, mask_rad = load_setup(str(folder / "setup.yaml")), np.load(folder / "mask.npy")
    truth = np.array([[1.653, -1.933, 0.162, 13400, 1.0]])
    renderer = exact_renderer(setup.optics, setup.volume, mask_rad, dtype="float64")
    mean = renderer.psf(truth[:, :3], truth[:, 3], truth[:, 4]).numpy()[0] + 20
    random = np.random.default_rng(6)
    # From there a descent ends at a second optimum, with a faint false emitter, in 13 of these frames.
    frames = random.poisson(mean, (16, *mean.shape)) + random.normal(20, 6, (16, *mean.shape))
    start = Localizations(np.arange(16) + 1, np.tile([1.9, -1.85, -0.13], (16, 1)), np.ones(16), mean.shape, setup)
    found = refine(frames, start, setup, mask_rad)
    assert len(found) == 16
    assert np.abs((found.xyz_um - truth[0, :3]) / found.sigma_xyz_um).max() < 4.5


@pytest.fixture(scope="module")
def lone():
    """Lone emitters in frames of the demo 3's optics: truth float64 [60, 5] and expected photons [60, 61, 61]."""
    setup = load_setup("demo3").replace(
        {"mask.source": "tetrapod", "volume.height_px": 61, "volume.width_px": 61, "volume.z_min_um": 3.8}
    )
    setup = setup.replace({"volume.z_max_um": 5.2, "volume.margin_px": 10})
    mask_rad, random = load_mask(setup), np.random.default_rng(7)
    truth = np.column_stack(
        [random.uniform(-1, 1, (60, 2)), random.uniform(3.9, 5.1, 60), random.uniform(4000, 20000, 60), np.ones(60)]
    )
    renderer = exact_renderer(setup.optics, setup.volume, mask_rad, dtype="float64")
    return setup, mask_rad, truth, renderer.psf(truth[:, :3], truth[:, 3], truth[:, 4]).numpy()


def test_photons_are_unbiased(lone):
    setup, mask_rad, truth, images = lone
    frames = np.random.default_rng(8).poisson(images + 20).astype(np.float32)
    found = refine(frames, None, setup, mask_rad, noise=CameraNoise())
    own = [int(np.argmax(found.photons * (found.frame == frame))) for frame in range(1, 61)]
    photons, sigma = found.photons[own], found.sigma_photons[own]
    assert np.mean(photons / truth[:, 3]) == pytest.approx(1, abs=0.02)
    assert np.std((photons - truth[:, 3]) / sigma) == pytest.approx(1, abs=0.3)


def bound_ratio(found, truth):
    """Return RMSE over the root mean square of the stated bounds, x, y and z together."""
    errors, bounds = [], []
    # 0.6 false alarms are asked for, 1.2 accepted: more than 3 then happen once in 30 such tests.
    assert len(found) <= len(truth) + 3
    for index, emitter in enumerate(truth):
        own = found.of_frame(index + 1)
        pairs, matched = match(emitter[None, :3], own.xyz_um)
        assert len(pairs) == 1
        errors.append(own.xyz_um[matched[0]] - emitter[:3])
        bounds.append(own.sigma_xyz_um[matched[0]])
    return np.sqrt(np.mean(np.square(errors)) / np.mean(np.square(bounds)))


def test_scmos_with_hot_pixels(lone):
    setup, mask_rad, truth, images = lone
    random, shape = np.random.default_rng(9), images.shape[1:]
    gain, offset, read = random.normal(2.1, 0.1, shape), random.normal(100, 2, shape), random.gamma(4, 0.4, shape)
    hot = random.uniform(size=shape) < 0.01
    # A hot pixel has a large and fluctuating dark current: its map of read noise says so.
    read[hot], offset[hot] = 40.0, offset[hot] + 300
    noise = CameraNoise(offset=offset, gain=gain, read_sigma=read, valid=~hot)

    def recorded(light):
        electrons = random.poisson(light + 20) + random.normal(0, 1, light.shape) * read
        frames = (electrons * gain + offset).astype(np.float32)
        # The maps are what a calibration measured; a hot pixel's offset has drifted since.
        frames[:, hot] += random.normal(0, 150, int(hot.sum())).astype(np.float32)
        return frames

    assert bound_ratio(refine(recorded(images), None, setup, mask_rad, noise=noise), truth) <= 1.2
    assert len(refine(recorded(0 * images), None, setup, mask_rad, noise=noise)) <= 3


def test_emccd_of_gain_300(lone):
    setup, mask_rad, truth, images = lone
    random, gain = np.random.default_rng(10), 300.0
    electrons = random.poisson(images + 20)
    # The multiplying register: a gamma law of the number of electrons that enter (Basden et al. 2003).
    amplified = np.where(electrons > 0, random.gamma(np.maximum(electrons, 1e-9), gain), 0)
    frames = (amplified / 12 + random.normal(0, 3, images.shape) + 100).astype(np.float32)
    noise = CameraNoise(offset=100, gain=gain / 12, read_sigma=3 / (gain / 12), excess=2.0)
    found = refine(frames, None, setup, mask_rad, noise=noise)
    assert bound_ratio(found, truth) <= 1.2
