"""The camera of a setup: formulas, maps, bad pixels, names of other programs, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.setup.camera import Camera
from ds3d_tf.setup.camera_files import load_camera


def test_a_setup_without_camera_reads_as_before() -> None:
    setup = load_setup("demo1")
    assert setup.camera is None and load_camera(setup) is None
    assert "\ncamera:" not in setup.to_yaml() and "camera" not in setup.model_dump()
    with_camera = load_setup("demo3", ["camera.em_gain=300"])
    assert Setup.from_yaml(with_camera.to_yaml()) == with_camera


def test_counts_and_photons_are_inverse() -> None:
    camera = Camera(100.0, 0.5, 30.0, 0.8, 200.0, 0.1)
    photons = np.linspace(0, 500, 12).reshape(1, 3, 4)
    np.testing.assert_allclose(camera.photons(camera.expected_counts(photons)), photons, atol=1e-9)
    np.testing.assert_allclose(
        camera.variance_counts2(photons), 100.0**2 * (2 * (0.8 * photons + 0.1) + (30 / 200) ** 2)
    )


def _with_maps(folder: Path, **maps: np.ndarray) -> Setup:
    for name, array in maps.items():
        np.save(folder / f"{name}.npy", array)
    fields = ", ".join(f"{name}: {name}.npy" for name in maps)
    (folder / "setup.yaml").write_text(f"camera: {{{fields}}}\n")
    return load_setup(folder / "setup.yaml")


def test_maps_travel_and_are_cut(tmp_path: Path) -> None:
    gain = np.random.default_rng(0).uniform(1.9, 2.1, (20, 30))
    _with_maps(tmp_path, counts_per_electron=gain).save(tmp_path / "far" / "setup.yaml")
    (tmp_path / "counts_per_electron.npy").unlink()
    setup = load_setup(tmp_path / "far" / "setup.yaml")
    camera = load_camera(setup.replace({"camera.roi_origin_px": (4, 5)}))
    assert camera is not None and camera.bad is None
    np.testing.assert_array_equal(camera.for_frames((6, 7)).counts_per_electron, gain[4:10, 5:12])
    with pytest.raises(InputError, match="reach beyond maps of 20×30"):
        camera.for_frames((17, 7))


def test_hot_and_dead_pixels_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise, gain = rng.gamma(40, 1.5 / 40, (50, 60)), rng.normal(2, 0.03, (50, 60))
    noise[3, 4], gain[7, 8] = 40, 0
    camera = load_camera(_with_maps(tmp_path, read_noise_electrons=noise, counts_per_electron=gain))
    assert camera is not None and camera.bad is not None
    assert [tuple(place) for place in np.argwhere(camera.bad)] == [(3, 4), (7, 8)]


ONES = np.ones((5, 6))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({"counts_per_electron": 0 * ONES}, "a gain above 0, got 0"),
        ({"counts_per_electron": -ONES}, "a gain above 0, got -1"),
        ({"read_noise_electrons": -ONES}, "0 or more electrons in every pixel, got -1"),
        ({"offset_counts": np.nan * ONES}, "30 of 30 pixels are NaN"),
        ({"offset_counts": ONES, "counts_per_electron": np.ones((6, 5))}, "different sizes: offset_counts 5×6"),
        ({"offset_counts": np.ones(5)}, "expected a map of real numbers"),
        ({"bad_pixels": ONES}, "every pixel is bad"),
    ],
)
def test_wrong_maps_are_refused(tmp_path: Path, maps: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_camera(_with_maps(tmp_path, **maps))
    assert "\n" not in str(caught.value)


def test_frames_must_fit_the_maps() -> None:
    with pytest.raises(InputError, match="maps of 5×6 pixels do not fit frames of 9×9"):
        Camera(offset_counts=ONES).for_frames((9, 9))


@pytest.mark.parametrize("change", ["counts_per_electron=0", "read_noise_electrons=-1", "quantum_efficiency=0"])
def test_wrong_numbers_are_refused(change: str) -> None:
    with pytest.raises(InputError, match=f"camera.{change.partition('=')[0]}"):
        load_setup("demo3", [f"camera.{change}"])


def test_read_noise_has_one_home() -> None:
    with pytest.raises(InputError, match="must be none beside a section `camera`"):
        load_setup("demo1", ["camera.em_gain=1"])


def test_names_of_picasso(tmp_path: Path) -> None:
    (tmp_path / "locs.yaml").write_text("Frames: 9\n---\nBaseline: 100\nSensitivity: 0.5\nGain: 1\nQe: 0.82\n")
    (tmp_path / "setup.yaml").write_text("camera: locs.yaml\n")
    camera = load_camera(load_setup(tmp_path / "setup.yaml"))
    assert camera is not None
    assert (camera.offset_counts, camera.counts_per_electron, camera.quantum_efficiency) == (100, 2, 0.82)
