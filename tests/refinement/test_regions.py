"""Large frames in regions: cores tile the frame, and the answer is that of the whole frame."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.localization.localizations import Localizations
from ds3d_tf.refinement import RefineOptions, refine, regions
from ds3d_tf.refinement import frames as frames_module


@pytest.mark.parametrize("shape", [(250, 300), (97, 640), (201, 150)])
def test_cores_tile_the_frame_and_see_far_enough(shape):
    owners, sizes = np.zeros(shape, int), set()
    for part in regions.regions(shape, 30):
        owners[slice(*part.core_rows), slice(*part.core_columns)] += 1
        sizes.add((part.rows[1] - part.rows[0], part.columns[1] - part.columns[0]))
        for (begin, end), (first, last), size in (
            (part.core_rows, part.rows, shape[0]),
            (part.core_columns, part.columns, shape[1]),
        ):
            assert first == 0 or begin - first >= regions.MARGIN_PX + 30
            assert last == size or last - end >= regions.MARGIN_PX + 30
    assert (owners == 1).all()
    assert len(sizes) == 1


@pytest.mark.parametrize("proposed", [True, False])
def test_regions_find_what_the_whole_frame_gives(microscope, monkeypatch, proposed):
    random = np.random.default_rng(3)
    setup = microscope.setup.replace({"volume.height_px": 140, "volume.width_px": 150})
    pixel_um = setup.optics.pixel_um
    rows, columns = np.mgrid[20:140:33, 20:150:36].reshape(2, -1)
    truth = np.zeros((len(rows), 5))
    truth[:, 0] = (columns - 75 + random.uniform(-5, 5, len(rows))) * pixel_um
    truth[:, 1] = (rows - 70 + random.uniform(-5, 5, len(rows))) * pixel_um
    truth[:, 2], truth[:, 3], truth[:, 4] = random.uniform(3.9, 5.1, len(rows)), 15000, 1.0
    core, wide = microscope.model.core, microscope.model.wide
    mean = np.full((220, 230), 30.0)
    for image, (row, column) in zip(
        wide.images(truth[:, :3], truth[:, 4]), np.add(wide.corners(truth[:, :3]), [110, 115]), strict=True
    ):
        mean[max(row, 0) : row + wide.window_px, max(column, 0) : column + wide.window_px] += (
            15000 * image[max(-row, 0) :, max(-column, 0) :][: 220 - max(row, 0), : 230 - max(column, 0)]
        )
    counts = random.poisson(mean[40:180, 40:190]).astype(np.float32)[None]
    start = None
    if proposed:
        near = truth[::2, :3] + random.normal(0, 0.02, (len(truth[::2]), 3))
        start = Localizations(np.ones(len(near), np.int64), near, np.ones(len(near)), (140, 150), setup)
    whole = refine(counts, start, setup, microscope.mask_rad, options=RefineOptions(max_tries=0))
    monkeypatch.setattr(frames_module, "MAX_WHOLE_PX", 100)
    monkeypatch.setattr(regions, "CORE_PX", 75)
    parts = refine(counts, start, setup, microscope.mask_rad, options=RefineOptions(max_tries=0))
    assert len(whole) == len(parts) == len(truth)
    distance = np.linalg.norm(whole.xyz_um[:, None] - parts.xyz_um, axis=2)
    partner = distance.argmin(axis=1)
    assert sorted(partner) == list(range(len(truth)))
    # Each region has a background of its own: the same place to a small part of the uncertainty.
    moved = np.abs(whole.xyz_um - parts.xyz_um[partner]) / whole.sigma_xyz_um
    assert np.median(moved) < 0.1 and moved.max() < 0.6
    np.testing.assert_allclose(parts.sigma_xyz_um[partner], whole.sigma_xyz_um, rtol=0.05)
    assert core.window_px < 100
