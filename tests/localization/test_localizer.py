"""The Localizer: what it takes for a model, and what it gives."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from ds3d_tf.common import InputError
from ds3d_tf.localization.localizer import Localizer, find_saved_model
from ds3d_tf.setup import load_setup


@pytest.fixture(scope="module")
def localizer(model_folder):
    return Localizer(model_folder)


def frames(batch, shape=(20, 26)):
    frames = np.full((batch, *shape), 5, np.float32)
    frames[-1, 4, 7] += 350
    frames[-1, 14, 20] += 80
    return frames


def test_localizes_each_frame(localizer, mask_rad):
    nothing, one = localizer.rows(frames(2))
    assert nothing.shape == (0, 4) and one.dtype == np.float32
    np.testing.assert_allclose(one, [[(7 - 13) * 0.11, (4 - 10) * 0.11, 1.875, 350]], rtol=1e-5)
    assert len(localizer.rows(frames(1), threshold=50)[0]) == 2
    assert len(localizer.rows(frames(1), threshold=50, radius_voxels=60)[0]) == 1
    assert localizer.volume(frames(1)).shape == (1, 80, 104, 8)
    np.testing.assert_array_equal(localizer.mask_rad, mask_rad)
    assert localizer.setup.volume.depth_voxels == 8


def test_batches_fit_the_frames(localizer):
    assert localizer.batch_size((297, 391)) == 1
    assert localizer.batch_size((121, 121)) == 2
    assert localizer.batch_size((32, 32)) == 28
    assert localizer.batch_size((4, 4)) == 64


def test_frames_smaller_than_the_reach(localizer):
    assert localizer.receptive_radius_px == 3
    assert localizer.rows(np.full((1, 3, 3), 5.0))[0].shape == (0, 4)
    with pytest.raises(InputError, match=r"2×9 pixels are smaller than half the network's receptive field.*at least 3"):
        localizer.rows(np.zeros((1, 2, 9), np.float32))


@pytest.mark.parametrize(("name", "value"), [("threshold", -1), ("threshold", float("nan")), ("radius_voxels", -1)])
def test_programming_errors_name_the_argument(localizer, name, value):
    with pytest.raises(ValueError, match=f"{name}: expected 0 or more"):
        localizer.rows(frames(1), **{name: value})
    with pytest.raises(ValueError, match="frames: expected"):
        localizer.rows(frames(1)[0])


def test_where_the_model_may_lie(model_folder, tmp_path):
    assert find_saved_model(model_folder) == model_folder
    run = tmp_path / "run"
    shutil.copytree(model_folder, run / "saved_model")
    assert find_saved_model(run) == run / "saved_model"
    for version in ("2", "10", "notes"):
        shutil.copytree(model_folder, tmp_path / "served" / version)
    assert find_saved_model(tmp_path / "served").name == "10"


def test_fingerprints_tell_models_apart(model_folder, exported, tmp_path, localizer):
    shutil.copytree(model_folder, tmp_path / "copy")
    assert Localizer(tmp_path / "copy").fingerprint() == localizer.fingerprint()
    other = Localizer(exported(**{"volume.grid": "half_pixel_shifted"}))
    assert other.fingerprint() != localizer.fingerprint()


def damage(name):
    def action(folder):
        (folder / name).write_bytes(b"nonsense")

    return action


def of_another_program(folder):
    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32)])
    keep = {path.name: path.read_bytes() for path in (folder / "assets").iterdir()}
    tf.saved_model.save(module, str(folder), signatures=module.f)
    (folder / "assets").mkdir(exist_ok=True)
    for name, content in keep.items():
        (folder / "assets" / name).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (shutil.rmtree, "no such model folder"),
        (lambda folder: (folder / "saved_model.pb").unlink(), "not a model folder"),
        (lambda folder: shutil.rmtree(folder / "assets"), "setup.yaml: missing"),
        (damage("saved_model.pb"), "missing or damaged"),
        (damage("assets/setup.yaml"), "setup.yaml: expected sections"),
        (damage("assets/mask.npy"), "mask.npy: missing or damaged"),
        (damage("assets/network.json"), "network.json: not valid JSON"),
        (lambda folder: shutil.rmtree(folder / "variables"), "missing or damaged"),
        (of_another_program, "that another program wrote"),
    ],
)
def test_folders_that_are_no_model(model_folder, tmp_path, change, expected):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    change(folder)
    with pytest.raises(InputError, match=expected) as caught:
        Localizer(folder)
    assert "\n" not in str(caught.value)


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "a.keras").write_text("x")
    with pytest.raises(InputError, match="a file, not a model folder"):
        Localizer(tmp_path / "a.keras")


class SeesNeighbours:
    """An engine that tells of each frame its first pixel and those of its neighbours, the ends mirrored."""

    path, mask_rad, receptive_radius_px, precision, size_px, has_tiles = (
        "stub",
        np.zeros((3, 3)),
        4,
        "float32",
        None,
        True,
    )

    def __init__(self, setup):
        self.setup, self.seen = setup, []

    def localize(self, frames, threshold, radius, tile, context=(0, 0)):
        self.seen.append(len(frames))
        value = np.asarray(frames)[:, 0, 0]
        around = np.pad(value, 1, mode="reflect") if len(value) > 1 else np.repeat(value, 3)
        told = np.stack([around[:-2], around[1:-1], around[2:]], axis=1)[context[0] : len(value) - context[1]]
        count = len(told)
        return told[:, None], np.ones((count, 1)), np.ones(count, int), np.zeros((count, 1, 6))


def test_many_frames_are_localized_in_parts_that_see_their_neighbours():
    learning = {"learning.network": "pixel", "learning.context_frames": 3, "learning.scaling_factor": 1.0}
    blinking = {"emitters.photophysics": "blinking", "emitters.on_time_frames": 2.0}
    setup = load_setup("quickstart_voxel").replace({**learning, **blinking, "learning.peak_threshold": 0.5})
    engine = SeesNeighbours(setup)
    localizer = Localizer(engine)
    count = 5 * localizer.batch_size((32, 32)) + 1
    frames = np.random.default_rng(0).uniform(0, 1000, (count, 32, 32)).astype(np.float32)
    found = np.concatenate(localizer.rows(frames))[:, :3]
    assert max(engine.seen) <= 2 * localizer.batch_size((32, 32))
    value = np.pad(frames[:, 0, 0], 1, mode="reflect")
    np.testing.assert_array_equal(found, np.stack([value[:-2], value[1:-1], value[2:]], axis=1))
