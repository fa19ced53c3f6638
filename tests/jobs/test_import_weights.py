"""`ds3d import-weights`: published weights, and one line for every mistake."""

from __future__ import annotations

import numpy as np
import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.import_weights import import_weights
from ds3d_tf.localization.localizer import Localizer
from ds3d_tf.model.files import load_model_folder
from ds3d_tf.setup import load_setup

pytest.importorskip("torch", reason="the extra [torch] is not installed")


def test_demo3_by_command(ds3d, data, tmp_path):
    out = tmp_path / "model"
    weights = data / "weights" / "tetrapod_telomere_demo3.pkl"
    done = ds3d("import-weights", weights, "--setup", "demo3", "--out", out)
    assert done.returncode == 0, done.stderr
    for part in ("depth voxels: 81", "dilation: 16", "grid: pixel_area", "half_pixel_shifted: bias x +5", "nm"):
        assert part in done.stderr
    model, setup, _ = load_model_folder(out)
    assert (setup.volume.depth_voxels, setup.volume.grid, setup.learning.max_dilation) == (81, "pixel_area", 16)
    assert (model.depth_voxels, model.receptive_radius_px) == (81, Localizer(out).receptive_radius_px)


def test_demo2_is_found_to_lie_on_the_shifted_grid(data, tmp_path):
    weights = data / "weights" / "tetrapod_storm_demo2.pkl"
    imported = import_weights(weights, load_setup("demo1"), tmp_path / "model", max_dilation=16)
    assert (imported.depth_voxels, imported.grid, imported.found) == (121, "half_pixel_shifted", {})
    # Wrong by half a pixel of 110 nm on the other grid; unbiased, within the standard error, on this one.
    assert np.all(np.abs(imported.bias_nm["half_pixel_shifted"]) < 4 * np.array(imported.uncertainty_nm))
    assert np.allclose(imported.bias_nm["pixel_area"][:2], -55, atol=4 * max(imported.uncertainty_nm))
    assert max(imported.uncertainty_nm) < 8
    assert Localizer(tmp_path / "model").setup.volume.grid == "half_pixel_shifted"


def test_told_instead_of_found_out(data, tmp_path):
    """Nothing is simulated; the depth may differ from the setup's once it is said."""
    imported = import_weights(
        data / "weights" / "tetrapod_telomere_demo3.pkl",
        load_setup("demo1"),
        tmp_path / "model",
        depth_voxels=81,
        max_dilation=4,
        grid="half_pixel_shifted",
        scaling_factor=100.0,
    )
    assert (imported.found, imported.bias_nm) == ({}, {})
    _, setup, _ = load_model_folder(tmp_path / "model")
    assert (setup.volume.depth_voxels, setup.volume.grid) == (81, "half_pixel_shifted")
    assert (setup.learning.max_dilation, setup.learning.scaling_factor) == (4, 100.0)


def test_mistakes_give_one_line_and_leave_nothing(data, tmp_path):
    weights = data / "weights" / "tetrapod_telomere_demo3.pkl"
    (tmp_path / "truncated.pkl").write_bytes(weights.read_bytes()[:5000])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    demo1, demo3 = load_setup("demo1"), load_setup("demo3")
    for file, setup, options, message in (
        (weights, demo1, {}, r"81 depth voxels but setup demo1 has 121; .* set depth_voxels 81"),
        (weights, demo3, {"depth_voxels": 80}, "81 depth voxels but depth_voxels 80"),
        (weights, demo3, {"max_dilation": 8}, "max_dilation 8: expected 16 or 4"),
        (weights, demo3, {"grid": "pixel"}, "grid pixel: expected pixel_area or half_pixel_shifted"),
        (tmp_path / "truncated.pkl", demo3, {}, "truncated"),
        (tmp_path / "absent.pkl", demo3, {}, "no such file"),
    ):
        with pytest.raises(InputError, match=message) as error:
            import_weights(file, setup, tmp_path / "model", **options)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="was not written by `ds3d import-weights`"):
        import_weights(weights, demo3, tmp_path / "thesis", overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_that_do_not_fit_the_optics(data, tmp_path):
    """Weights that were trained for another mask find nothing; better to say so than to guess."""
    setup = load_setup("demo3", ["mask.source=flat"])
    weights = data / "weights" / "tetrapod_telomere_demo3.pkl"
    with pytest.raises(InputError, match=r"finds only \d+% of simulated lone emitters; give the setup the weights"):
        import_weights(weights, setup, tmp_path / "model", max_dilation=16)
    assert not list(tmp_path.iterdir())
