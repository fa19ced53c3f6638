"""`ds3d design-mask`: the files it leaves, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.io import loadmat

from ds3d_tf.common import InputError
from ds3d_tf.jobs.design_mask import design_mask
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import load_setup

SMALL = ("volume.height_px=24", "volume.width_px=24")
QUICK = {"highest_mode": 8, "z_positions": 3, "starts": 1, "steps": 2}


def test_design_leaves_masks_a_setup_a_record_and_a_figure(tmp_path: Path) -> None:
    setup, out = load_setup("quickstart_voxel", SMALL), tmp_path / "design"
    rows = design_mask(setup, out, photons=3000.0, seed=5, **QUICK).metrics
    assert list(rows) == ["astigmatic", "designed"]
    assert {path.name for path in out.iterdir() if path.name != ".ds3d.json"} == {
        "mask.mat",
        "mask.npy",
        "setup.yaml",
        "design.yaml",
        "design.png",
    }
    ready = load_setup(out / "setup.yaml")
    mask = load_mask(ready)
    np.testing.assert_array_equal(mask, loadmat(out / "mask.mat")["mask"])
    assert ready.volume == setup.volume and (out / "design.png").stat().st_size > 20_000

    record = yaml.safe_load((out / "design.yaml").read_text("utf-8"))
    assert record["options"]["seed"] == 5 and record["conditions"]["photons"] == 3000.0
    assert record["bounds"] == rows and record["versions"]["tensorflow"]
    drawn = setup.replace({"mask.source": "zernike", "mask.zernike_rad": record["zernike_rad"]})
    np.testing.assert_allclose(load_mask(drawn), mask, atol=1e-12)


def test_what_design_refuses(tmp_path: Path) -> None:
    setup = load_setup("quickstart_voxel")
    for wrong in ({"lowest_mode": 1}, {"highest_mode": 3}, {"z_positions": 1}, {"starts": 0}, {"photons": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            design_mask(setup, tmp_path / "out", **wrong)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "mask.npy").write_text("mine")
    with pytest.raises(InputError, match="overwrite"):
        design_mask(setup, tmp_path / "papers")
    with pytest.raises(InputError, match="was not written by `ds3d design-mask`"):
        design_mask(setup, tmp_path / "papers", overwrite=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "papers"]
