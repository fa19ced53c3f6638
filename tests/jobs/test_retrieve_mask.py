"""`ds3d retrieve-mask`: its outputs on a synthetic bead, its use on the real one, its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tifffile
import yaml
from scipy.io import loadmat

from ds3d_tf.calibration.retrieval.model import BeadStackModel
from ds3d_tf.calibration.retrieval.stack import correlations
from ds3d_tf.common import InputError
from ds3d_tf.jobs.retrieve_mask import retrieve_mask
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.setup import Setup, load_setup

NFP = np.linspace(-1.2, 1.2, 13)


@pytest.fixture(scope="module")
def beads(tmp_path_factory) -> tuple[Path, Path, Setup]:
    folder = tmp_path_factory.mktemp("beads")
    setup = load_setup("quickstart_voxel", ["optics.model=vectorial", "optics.polarization=y"])
    model = BeadStackModel(setup.optics, setup.mask.size_px, (35, 35), 0.0)
    phase = tf.constant(load_mask(setup)[model.crop, model.crop], tf.float32)
    shapes = model(phase, tf.zeros([13, 2]), tf.constant(NFP, tf.float32), tf.constant(0.7)).numpy()
    tifffile.imwrite(folder / "bead.tif", np.random.default_rng(0).poisson(30000 * shapes + 30).astype(np.uint16))
    (folder / "nfp.csv").write_text("nfp_um\n" + "".join(f"{z}\n" for z in NFP))
    np.save(folder / "truth.npy", shapes)
    return folder / "bead.tif", folder / "nfp.csv", setup


def test_outputs_reproduce_the_stack(beads, tmp_path: Path) -> None:
    stack, nfp, setup = beads
    plain = setup.replace({"optics.model": "scalar", "mask.source": "flat"})
    out = tmp_path / "retrieved"
    done = retrieve_mask(
        stack, nfp, plain, out, optical_model="vectorial", polarization="auto", leave_out_every=4, max_steps=120,
        focus_direction="up",
    )  # fmt: skip
    fitted, result = done.setup, done.result
    assert f"{out}: vectorial, polarization y; mean correlation " in done.summary()
    assert fitted.optics.polarization == "y"
    assert np.flatnonzero(~result.fitted).tolist() == [3, 7, 11]
    assert {path.name for path in out.iterdir() if path.name != ".ds3d.json"} == {
        "mask.mat",
        "mask.npy",
        "setup.yaml",
        "retrieval.yaml",
        "retrieval.png",
    }
    np.testing.assert_array_equal(loadmat(out / "mask.mat")["mask"], np.load(out / "mask.npy"))
    report = yaml.safe_load((out / "retrieval.yaml").read_text())
    assert report["polarization"] == "y"
    assert report["correlation"]["left_out"] == pytest.approx(result.correlation[~result.fitted].mean(), abs=1e-5)
    truth = correlations(np.load(stack.parent / "truth.npy"), tifffile.imread(stack))
    assert report["correlation"]["left_out"] > truth[~result.fitted].mean() - 0.004

    # The setup as written, given to the renderer, shows each slice: mask, focus offset, blur, model belong together.
    ready = load_setup(out / "setup.yaml")
    images = []
    for focus in NFP:
        shift = ready.volume.focus_um - plain.volume.focus_um
        volume = ready.volume.model_copy(update={"focus_um": focus + shift, "height_px": 35, "width_px": 35})
        renderer = exact_renderer(ready.optics, volume, load_mask(ready))
        x, y = (report["offset_um"][axis] + focus * report["drift_um_per_um_of_focus"][axis] for axis in "xy")
        blur = tf.constant([report["blur_sigma_px"]])
        images.append(renderer.psf(tf.constant([[x, y, 0.0]]), tf.ones(1), blur)[0].numpy())
    np.testing.assert_allclose(correlations(np.stack(images), tifffile.imread(stack)), result.correlation, atol=2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optical_model": "vector"}, "expected scalar or vectorial"),
        ({"polarization": "x"}, "set optical_model to vectorial"),
        ({"optical_model": "vectorial", "polarization": "z"}, "x, y, none or auto"),
        ({"likelihood": "laplace"}, "gaussian or poisson"),
        ({"leave_out_every": 1}, "2 or more"),
        ({"gain": 0.0}, "gain 0"),
        ({"max_steps": 1}, "max_steps 1"),
    ],
)
def test_wrong_options_are_refused(beads, tmp_path: Path, options: dict, message: str) -> None:
    stack, nfp, setup = beads
    with pytest.raises(InputError, match=message):
        retrieve_mask(stack, nfp, setup.replace({"optics.model": "scalar"}), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_command_line_refuses_in_one_line(beads, tmp_path: Path, ds3d) -> None:
    stack, _, _ = beads
    (tmp_path / "nfp.csv").write_text("nfp_um\n0\n1\n")
    files = ["--beads", stack, "--nfp", tmp_path / "nfp.csv", "--out", tmp_path / "out"]
    done = ds3d("retrieve-mask", *files, "--setup", "quickstart_voxel")
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2
    assert len(lines) == 1 and "13 slices but" in lines[0]
    assert not (tmp_path / "out").exists()


def test_the_real_bead_in_a_short_fit(data, tmp_path: Path) -> None:
    optics = {"wavelength_um": 0.605, "camera_pixel_um": 16.0, "slm_pixel_um": 20.0, "focal_length_um": 1.5e5}
    setup = Setup.create({"mask": {"size_px": 219}, "optics": optics})
    folder = data / "beads"
    result = retrieve_mask(
        folder / "tetrapod_bead.tif", folder / "tetrapod_bead_nfp.csv", setup, tmp_path / "real",
        bead_height_um=0.023, focus_direction="up", leave_out_every=4, skip=tuple(range(1, 38, 2)), max_steps=120,
    ).result  # fmt: skip
    assert result.correlation[~result.fitted].mean() > 0.93


def test_the_direction_is_asked_for(beads, tmp_path: Path) -> None:
    """Without a known mask nothing tells it; the opposite positions are explained as well, by the twin mask."""
    stack, nfp, setup = beads
    with pytest.raises(InputError, match="focus_direction: a bead looks the same"):
        retrieve_mask(stack, nfp, setup.replace({"mask.source": "flat"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_known_mask_tells_the_direction(beads, tmp_path: Path) -> None:
    stack, nfp, setup = beads
    (tmp_path / "negated.csv").write_text("".join(f"{-z}\n" for z in NFP))
    for table, direction in ((nfp, "down"), (tmp_path / "negated.csv", "up")):
        with pytest.raises(InputError, match=f"focus_direction {direction}: the setup's own mask explains the"):
            retrieve_mask(stack, table, setup, tmp_path / "out", focus_direction=direction)
    assert not (tmp_path / "out").exists()
    done = retrieve_mask(stack, tmp_path / "negated.csv", setup, tmp_path / "out", max_steps=60)
    assert "focus direction down, as the setup's own mask tells" in done.summary()
    report = yaml.safe_load((tmp_path / "out" / "retrieval.yaml").read_text())
    np.testing.assert_allclose([one["nfp_um"] for one in report["slices"]], NFP, atol=1e-5)


def test_a_failed_retrieval_is_not_handed_on(beads, tmp_path: Path) -> None:
    """Two beads: the second is the first moved by a third of the frame."""
    stack, nfp, setup = beads
    frames = tifffile.imread(stack)
    background = np.median(frames)
    two = frames + np.roll(np.maximum(frames, background) - background, (9, -9), axis=(1, 2))
    tifffile.imwrite(tmp_path / "two.tif", two.astype(np.uint16))
    flat = setup.replace({"mask.source": "flat", "optics.model": "scalar", "optics.polarization": "none"})
    options = {"focus_direction": "up", "max_steps": 40}
    with pytest.raises(InputError, match=r"two\.tif: the retrieval failed, nothing is written: .*one bead only\?"):
        retrieve_mask(tmp_path / "two.tif", nfp, flat, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    done = retrieve_mask(tmp_path / "two.tif", nfp, flat, tmp_path / "out", accept=True, **options)
    assert done.verdict.word == "failed" and "verdict: failed" in done.summary()
    report = yaml.safe_load((tmp_path / "out" / "retrieval.yaml").read_text())
    assert report["verdict"] == "failed" and report["what_is_wrong"]


def test_positions_in_nm_are_refused_before_the_fit(beads, tmp_path: Path) -> None:
    stack, _, setup = beads
    (tmp_path / "nm.csv").write_text("".join(f"{1000 * z:.0f}\n" for z in NFP))
    with pytest.raises(InputError, match=r"from -1200 to 1200 µm; they look like nm: -1\.2 to 1\.2 µm"):
        retrieve_mask(stack, tmp_path / "nm.csv", setup, tmp_path / "out", focus_direction="up")
