"""`ds3d estimate-noise` on recordings simulated with known values, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from ds3d_tf.calibration.noise.emitter_search import EmitterSearch
from ds3d_tf.common import InputError
from ds3d_tf.jobs.estimate_noise import EstimatedNoise, estimate_noise
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.simulation.stream import simulate_frames

SMALL = [
    *("volume.height_px=80", "volume.width_px=80", "volume.margin_px=14", "emitters.count_range=[1,4]"),
    *("signal.distribution=gamma", "signal.gamma_shape=4", "signal.gamma_scale=2500", "signal.label_threshold=0"),
    *("background.kind=uniform", "background.level=0", "read_noise.kind=uniform", "read_noise.baseline_range=[20,40]"),
    *("read_noise.sigma_range=[8,12]", "blur.sigma_range_px=[0.99,1.01]"),
]
BASELINE, SIGMA, PHOTONS = 30.0, 10.0, 10000.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Setup]:
    setup = load_setup("quickstart_voxel", SMALL)
    path = tmp_path_factory.mktemp("recording") / "prepared.tif"
    tifffile.imwrite(path, np.rint(simulate_frames(setup, 48, 5).frames).astype(np.uint16))
    return path, setup


@pytest.fixture(scope="module")
def estimated(recording, tmp_path_factory: pytest.TempPathFactory) -> tuple[EstimatedNoise, Path]:
    path, setup = recording
    other = setup.replace(
        {"signal.gamma_shape": 1.0, "read_noise.sigma_range": [1, 2], "read_noise.baseline_range": [1, 2]}
    )
    out = tmp_path_factory.mktemp("estimate") / "out"
    return estimate_noise(path, out, setup=other), out


def test_values_come_out_of_the_recording(estimated) -> None:
    done, out = estimated
    assert done.baseline == pytest.approx(BASELINE, rel=0.1)
    assert done.sigma == pytest.approx(SIGMA, rel=0.1)
    assert done.signal_mean == pytest.approx(PHOTONS, rel=0.15)
    assert done.sections["signal"]["distribution"] == "gamma"
    assert done.emitters_a_tile == pytest.approx(2, abs=1)
    assert {path.name for path in out.iterdir() if path.name != ".ds3d.json"} == {
        *(
            "sections.yaml",
            "setup.yaml",
            "noise.yaml",
            "where.png",
            "comparison.png",
            "mask.npy",
            "photon_transfer.png",
        ),
    }


def test_setup_is_complete_and_loads(estimated, recording) -> None:
    done, out = estimated
    ready = load_setup(out / "setup.yaml")
    np.testing.assert_array_equal(load_mask(ready), load_mask(recording[1]))
    assert ready.optics == recording[1].optics
    assert ready.read_noise.baseline_range == tuple(done.sections["read_noise"]["baseline_range"])
    sections = load_setup(out / "sections.yaml")
    assert sections.read_noise == ready.read_noise
    assert sections.signal.gamma_shape == ready.signal.gamma_shape == done.sections["signal"]["gamma_shape"]


def test_simulated_frames_resemble_the_recording(estimated) -> None:
    report = yaml.safe_load((estimated[1] / "noise.yaml").read_text())
    alike = report["comparison"]
    assert alike["counts_simulated"][:2] == pytest.approx(alike["counts_real"][:2], rel=0.25, abs=4)
    assert alike["power_simulated_over_real"]["fine"] == pytest.approx(1, abs=0.25)
    assert report["signal"]["explained_share_of_energy"] > 0.8


def test_a_box_and_no_setup(recording, tmp_path: Path) -> None:
    done = estimate_noise(recording[0], tmp_path / "out", box=(0, 0, 12, 80))
    assert (done.baseline, done.sigma) == pytest.approx((BASELINE, SIGMA), rel=0.1)
    assert done.signal_mean is None and "signal" not in done.sections
    assert any("--setup" in remark for remark in done.remarks)
    assert not (tmp_path / "out" / "setup.yaml").exists()
    load_setup(tmp_path / "out" / "sections.yaml")


def test_lone_emitters_are_measured(recording) -> None:
    setup = recording[1].replace({"signal.gamma_shape": 50.0, "signal.gamma_scale": 300.0})
    search = EmitterSearch(setup, (80, 80))
    simulated = simulate_frames(setup, 8, 1, emitter_count=1)
    for frame, xyz, photons in zip(simulated.frames, simulated.xyz_um[:, 0], simulated.photons[:, 0], strict=True):
        found = search.find(frame, 10.0)
        assert found.alone.sum() == 1
        row, column = found.places[found.alone][0]
        assert (row - 40, column - 40) == pytest.approx((xyz[1] / 0.11, xyz[0] / 0.11), abs=1.0)
        assert found.photons[found.alone][0] == pytest.approx(photons, rel=0.12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": (0, 0, 90, 10)}, "reaches beyond the frames of 80×80"),
        ({"box": (0, 0, 3, 3)}, "9 pixels; give at least 64"),
        ({"box": (1, 2)}, "four numbers"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_wrong_options_are_refused(recording, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimate_noise(recording[0], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_recordings_that_say_nothing(recording, tmp_path: Path) -> None:
    frames = tifffile.imread(recording[0])
    path = tmp_path / "frames.tif"
    tifffile.imwrite(path, frames[:3], photometric="minisblack")
    with pytest.raises(InputError, match="3 frames are too few"):
        estimate_noise(path, tmp_path / "out")
    tifffile.imwrite(path, np.full((9, 40, 40), 30, np.uint16))
    with pytest.raises(InputError, match="no noise at all"):
        estimate_noise(path, tmp_path / "out")
    rng = np.random.default_rng(0)
    tifffile.imwrite(path, rng.poisson(100, (9, 40, 40)).astype(np.uint16))
    with pytest.raises(InputError, match="hardly any bright emitter stands alone"):
        estimate_noise(path, tmp_path / "out", setup=recording[1])
    assert not (tmp_path / "out").exists()


def test_command_line_refuses_in_one_line(recording, tmp_path: Path, ds3d) -> None:
    done = ds3d("estimate-noise", "--frames", recording[0], "--out", tmp_path / "out", "--box", "0,0,9")
    assert done.returncode == 2 and done.stderr.startswith("error: --box 0,0,9: expected four numbers")
    assert done.stderr.count("\n") == 1


NOISES = {
    "demo1": ("demo1", [], 30.0),
    "faint over weak noise": (
        "demo1",
        [
            *("read_noise.kind=uniform", "read_noise.sigma_range=[3,5]", "read_noise.baseline_range=[8,12]"),
            *("signal.gamma_scale=1500", "signal.label_threshold=3000"),
        ],
        10.0,
    ),
    "bright over strong noise": (
        "demo1",
        [
            *("read_noise.kind=uniform", "read_noise.sigma_range=[18,22]", "read_noise.baseline_range=[90,110]"),
            *("signal.distribution=uniform", "signal.label_threshold=null", "signal.uniform_range=[10000,30000]"),
        ],
        100.0,
    ),
    "demo3": ("demo3", [], None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISES)
def test_full_size_recordings(name: str, data: Path, tmp_path: Path) -> None:
    preset, changes, baseline = NOISES[name]
    setup = load_setup(preset, changes)
    simulated = simulate_frames(setup, 150, 7)
    tifffile.imwrite(tmp_path / "frames.tif", np.rint(simulated.frames).astype(np.uint16))
    without = simulate_frames(setup, 150, 8, emitter_count=0).frames
    truth = (
        np.mean(without) if baseline is None else baseline,
        np.sqrt(np.mean(np.diff(without, axis=2) ** 2) / 2),
        simulated.photons[simulated.photons > 0].mean(),
    )
    done = estimate_noise(tmp_path / "frames.tif", tmp_path / "out", setup=load_setup(preset))
    found = (done.baseline, done.sigma, done.signal_mean)
    print(name, "truth", np.round(truth, 2), "found", np.round(found, 2))
    assert found == pytest.approx(truth, rel=0.15)


def test_a_camera_is_found(tmp_path: Path) -> None:
    light = ["read_noise.kind=none", "background.kind=super_gaussian", "background.valley_peak=[10,60]"]
    counts = ["camera.counts_per_electron=2.5", "camera.offset_counts=100", "camera.read_noise_electrons=1.5"]
    setup = load_setup("quickstart_voxel", [*SMALL, *light, *counts])
    tifffile.imwrite(tmp_path / "frames.tif", np.rint(simulate_frames(setup, 48, 6).frames).astype(np.uint16))
    plain = setup.replace({"camera": None})
    done = estimate_noise(tmp_path / "frames.tif", tmp_path / "out", setup=plain, offset_counts=100.0)
    found = load_setup(tmp_path / "out" / "setup.yaml").camera
    assert found is not None and done.camera is not None
    assert found.counts_per_electron == pytest.approx(2.5, rel=0.04)
    assert found.read_noise_electrons == pytest.approx(1.5, abs=0.6)
    assert found.offset_counts == 100
    # Photons and not counts; so uneven a background takes a quarter of the light without a camera, too.
    assert done.signal_mean == pytest.approx(PHOTONS, rel=0.35)
