"""What the graph itself promises a server: clear refusals, outputs that batch, bounded steps, warm-up, about."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from ds3d_tf.common.array_text import array_from_text
from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.export.warmup import WARMUP_FILE
from ds3d_tf.localization.peaks.tiles import PIXELS_A_STEP, frames_a_step
from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.setup import Setup, load_setup

GOOD = np.full((1, 20, 26), 5, np.float32)


def with_pixel(value):
    frames = GOOD.copy()
    frames[0, 3, 4] = value
    return frames


@pytest.fixture(scope="module")
def session_run(model_folder):
    """Run a signature as servers do: in a session, without Python's checks of what is fed."""
    v1 = tf.compat.v1
    graph = v1.Graph()
    with graph.as_default():
        session = v1.Session()
        signatures = v1.saved_model.load(session, ["serve"], str(model_folder)).signature_def

    def run(signature, **inputs):
        definition = signatures[signature]
        feeds = [definition.inputs[name].name for name in inputs]
        fetches = [output.name for output in definition.outputs.values()]
        # The only way from Python to a session that does not compare a feed's shape with its placeholder's first.
        call = session._make_callable_from_options(config_pb2.CallableOptions(feed=feeds, fetch=fetches))
        return dict(zip(definition.outputs, call(*inputs.values()), strict=True))

    return run


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (with_pixel(np.nan), "NaN or infinite"),
        (with_pixel(np.inf), "NaN or infinite"),
        (GOOD[:0], "got no frame"),
        (GOOD[:, :2], r"each side at least 3 pixels \(half the receptive field\), got shape.*1 2 26"),
        (GOOD[0], r"\[20,26\] is not compatible with expected shape \[\?,\?,\?\]"),
        (GOOD[np.newaxis], "not compatible with expected shape"),
        (GOOD.astype(np.int32), "float"),
    ],
    ids=["nan", "infinite", "none", "small", "rank 2", "rank 4", "dtype"],
)
@pytest.mark.parametrize("signature", ["serving_default", "volume", "in_tiles"])
def test_malformed_frames_are_refused_by_the_graph(session_run, frames, message, signature):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        session_run(signature, frames=frames)
    assert session_run("serving_default", frames=GOOD)["count"].tolist() == [0]


def test_outputs_of_merged_requests_split_by_frames(session_run):
    """A server may merge requests along the first dimension and split the outputs there."""
    first, second = np.repeat(GOOD, 2, axis=0), np.repeat(GOOD, 3, axis=0)
    first[1, 8, 9] += 350
    second[0, [4, 9, 14], [5, 12, 20]] += [250, 450, 650]
    merged = session_run("serving_default", frames=np.concatenate([first, second]))
    for part, rows in ((first, slice(0, 2)), (second, slice(2, 5))):
        alone = session_run("serving_default", frames=part)
        assert all(len(value) == len(part) for value in alone.values())
        counts = merged["count"][rows]
        assert counts.tolist() == alone["count"].tolist()
        for frame, count in enumerate(counts):
            for name in ("xyz_um", "confidence"):
                np.testing.assert_array_equal(merged[name][rows][frame, :count], alone[name][frame, :count])
    assert merged["count"].tolist() == [0, 1, 3, 0, 0]


def test_a_long_request_is_localized_in_steps_of_bounded_size(tmp_path):
    """Positions in every step of a request, and the very numbers of those steps alone."""
    setup = load_setup("quickstart_voxel", ["volume.depth_voxels=2", "learning.filters=2", "learning.peak_threshold=5"])
    network = LocalizationNet.from_setup(setup)
    rng = np.random.default_rng(0)
    network.voxels.convolution.kernel.assign(rng.normal(0, 30, network.voxels.convolution.kernel.shape))
    export_saved_model(network, setup, np.zeros((101, 101)), tmp_path / "model")
    model = tf.saved_model.load(str(tmp_path / "model"))
    shape = (96, 101)
    step = frames_a_step(shape)
    assert step == PIXELS_A_STEP // (96 * 101) == 3
    frames = rng.uniform(10, 3000, (2 * step + 1, *shape)).astype(np.float32)
    whole = model.signatures["serving_default"](frames=tf.constant(frames))
    assert whole["count"].numpy().min() > 0
    for first in range(0, len(frames), step):
        part = model.signatures["serving_default"](frames=tf.constant(frames[first : first + step]))
        for frame, count in enumerate(part["count"].numpy()):
            assert count == whole["count"][first + frame]
            for name in ("xyz_um", "confidence"):
                np.testing.assert_array_equal(whole[name][first + frame, :count], part[name][frame, :count])
    # All at once, as without steps: the same but for rounding.
    together = model.signatures["in_tiles"](
        frames=tf.constant(frames),
        threshold=tf.constant(-1.0),
        radius=tf.constant(-1),
        tile=tf.constant([0, 0]),
        bfloat16=tf.constant(False),
    )
    np.testing.assert_array_equal(together["count"], whole["count"])
    np.testing.assert_allclose(together["xyz_um"], whole["xyz_um"], atol=1e-5)


def test_a_frame_that_is_too_large_for_memory_is_localized_in_tiles(monkeypatch, exported):
    """The same positions with a limit so low that the frame falls into tiles."""
    untiled = tf.saved_model.load(str(exported()))
    monkeypatch.setattr("ds3d_tf.export.saved_model.pixels_within", lambda memory_gb, setup: 18 * 18)
    tiled = tf.saved_model.load(str(exported(**{"volume.margin_px": 6})))
    frames = np.full((2, 61, 47), 5, np.float32)
    rng = np.random.default_rng(3)
    for _ in range(60):
        frames[rng.integers(2), rng.integers(61), rng.integers(47)] = 5 + 100 * rng.integers(1, 8) + 50
    whole = untiled.signatures["serving_default"](frames=tf.constant(frames))
    result = tiled.signatures["serving_default"](frames=tf.constant(frames))
    for name in whole:
        np.testing.assert_array_equal(result[name], whole[name])
    assert result["count"].numpy().sum() > 40


def test_about_tells_the_setup(session_run, model_folder):
    told = session_run("about", ask=np.zeros(2, np.int32))
    assert {name: value.shape for name, value in told.items()} == dict.fromkeys(
        ("setup_yaml", "network_json", "mask_base64", "weights_sha256"), (2,)
    )
    text = told["setup_yaml"][1].decode()
    assert text == (model_folder / "assets" / "setup.yaml").read_text()
    assert Setup.from_yaml(text).learning.peak_threshold == 120
    assert json.loads(told["network_json"][0])["reach_px"] == 3
    mask_rad = array_from_text(told["mask_base64"][1], "about")
    np.testing.assert_array_equal(mask_rad, np.load(model_folder / "assets" / "mask.npy"))
    assert told["weights_sha256"][0].decode() == hashlib.sha256(np.float32(10.0).tobytes()).hexdigest()


def test_warm_up_request_is_a_prediction_log_of_serving(model_folder, session_run):
    record = next(iter(tf.data.TFRecordDataset(str(model_folder / WARMUP_FILE)))).numpy()
    pb = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="the extra 'serving' is not installed"
    )
    request = pb.PredictionLog.FromString(record).predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert list(request.inputs) == ["frames"]
    frames = tf.make_ndarray(request.inputs["frames"])
    assert frames.shape == (1, 40, 40) and frames.dtype == np.float32
    session_run("serving_default", frames=frames)
