"""DeepSTORM3D's parameter dictionaries become the presets that carry the demos' names."""

from __future__ import annotations

from math import pi
from pathlib import Path

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.setup.deepstorm3d import DROPPED, RENAMED, TRANSLATED


def storm_parameters() -> dict:
    """Parameters of the original's demo 1, as its script leaves them in the dictionary."""
    return {
        "learn_mask": False,
        "mask_init": np.zeros((203, 203)),
        "num_particles_range": [1, 35],
        "nsig_unif": False,
        "nsig_unif_range": [None, None],
        "nsig_gamma_params": [3, 3000],
        "nsig_thresh": 6000,
        "blur_std_range": [0.99, 1.01],
        "nonunif_bg_flag": False,
        "unif_bg": 0,
        "nonunif_bg_offset": [10, 10],
        "nonunif_bg_minvals": [20.0, 100.0],
        "nonunif_bg_theta_range": [-pi / 4, pi / 4],
        "read_noise_flag": True,
        "read_noise_nonuinf": True,
        "read_noise_baseline_range": [20.0, 40.0],
        "read_noise_std_range": [8.0, 12.0],
        "project_01": False,
        "global_factors": [0.0, 250.0],
        "lamda": 0.67,
        "NA": 1.45,
        "noil": 1.518,
        "nwater": 1.33,
        "pixel_size_CCD": 11,
        "pixel_size_SLM": 30,
        "M": 100,
        "f_4f": 10e4,
        "Hmask": 203,
        "Wmask": 203,
        "H": 121,
        "W": 121,
        "clear_dist": 20,
        "zmin": 0,
        "zmax": 4,
        "NFP": 1.5,
        "D": 121,
        "ntrain": 9000,
        "nvalid": 1000,
        "training_data_path": "/somewhere",
        "visualize": True,
        "results_path": "/elsewhere",
        "dilation_flag": True,
        "batch_size": 4,
        "max_epochs": 50,
        "initial_learning_rate": 0.0005,
        "scaling_factor": 800.0,
        "resume_training": False,
        "num_epochs_resume": None,
        "checkpoint_path": None,
        "device": "cuda:0",
    }


def telomere_parameters() -> dict:
    """Parameters of the original's demo 5."""
    return storm_parameters() | {
        "nsig_unif": True,
        "nsig_unif_range": [10000, 60000],
        "nsig_gamma_params": None,
        "nsig_thresh": None,
        "blur_std_range": [0.75, 1.25],
        "nonunif_bg_flag": True,
        "read_noise_flag": False,
        "read_noise_nonuinf": None,
        "read_noise_baseline_range": None,
        "read_noise_std_range": None,
        "project_01": True,
        "global_factors": None,
        "lamda": 0.58,
        "pixel_size_SLM": 24,
        "f_4f": 15e4,
        "Hmask": 329,
        "Wmask": 329,
        "mask_init": "mask_learned.mat",
        "zmin": 2,
        "zmax": 6,
        "NFP": 4.5,
        "D": 81,
        "dilation_flag": False,
    }


def comparable(setup: Setup) -> Setup:
    return setup.replace({"name": "same", "mask.source": "same", "learning.peak_threshold": 50.0})


def test_demo1_parameters_give_the_demo1_preset() -> None:
    parameters = storm_parameters()
    parameters["nsig_unif_range"] = None
    assert comparable(Setup.from_deepstorm3d(parameters)) == comparable(load_setup("demo1"))


def test_demo5_parameters_give_the_demo5_preset() -> None:
    assert comparable(Setup.from_deepstorm3d(telomere_parameters())) == comparable(load_setup("demo5"))


def test_pairs_of_none_count_as_not_given() -> None:
    setup = Setup.from_deepstorm3d(storm_parameters())
    assert setup.signal.distribution == "gamma"


def test_mask_array_travels_with_the_setup(tmp_path) -> None:
    mask = np.arange(203.0 * 203).reshape(203, 203) / 1e4
    setup = Setup.from_deepstorm3d(storm_parameters() | {"mask_init": mask})
    np.testing.assert_array_equal(setup.mask_rad, mask)
    setup.save(tmp_path / "setup.yaml")
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npy"), mask)
    assert load_setup(tmp_path / "setup.yaml").mask.source == "mask.npy"


def test_learning_a_mask_starts_flat() -> None:
    setup = Setup.from_deepstorm3d(telomere_parameters() | {"learn_mask": True, "mask_init": None})
    assert setup.mask.learn
    assert setup.mask.source == "flat"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lambda": 0.6}, "did you mean `lamda`"),
        ({"NA": None}, "missing NA"),
        ({"Wmask": 101}, "square"),
        ({"nsig_gamma_params": None}, "nsig_gamma_params"),
        ({"clear_dist": 80}, "volume.margin_px"),
    ],
)
def test_wrong_dictionaries_are_refused(change: dict, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Setup.from_deepstorm3d(storm_parameters() | change)
    assert told in str(caught.value)


def test_the_table_of_names_in_the_documentation_is_complete(repository: Path) -> None:
    table = (repository / "docs" / "setup.md").read_text(encoding="utf-8")
    for old in (*RENAMED, *TRANSLATED, *DROPPED):
        assert f"`{old}`" in table, f"docs/setup.md does not map {old}"
    for new in RENAMED.values():
        assert f"`{new}`" in table
