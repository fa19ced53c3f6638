"""The loss and the soft Jaccard index against the reference's and a second formula in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.ndimage import convolve

from ds3d_tf.model import VolumeJaccard, VolumeLoss
from ds3d_tf.model.labels import label_volume
from ds3d_tf.model.loss import blur_volume
from ds3d_tf.simulation.voxel_grid import VoxelGrid

SCALE = 800.0


def golden(data) -> tuple[np.ndarray, np.ndarray, VoxelGrid, dict]:
    """Prediction [B, 4H, 4W, D], emitters [B, E, 4], grid and expected values of the reference."""
    arrays = np.load(data / "golden" / "loss_kde3d.npz")
    prediction, labels = (np.moveaxis(arrays[name], 1, -1) for name in ("pred", "target"))
    grid = VoxelGrid(0.11, 0.0, 1.1, labels.shape[-1])
    return prediction, emitters_of(labels, grid), grid, arrays


def emitters_of(labels: np.ndarray, grid: VoxelGrid) -> np.ndarray:
    """Emitters in the centres of the labelled voxels, padded with weight 0."""
    most = int(labels.sum(axis=(1, 2, 3)).max()) + 2
    emitters = np.zeros((len(labels), most, 4), np.float32)
    for rows, volume in zip(emitters, labels, strict=True):
        voxels = np.argwhere(volume)
        rows[: len(voxels), :3] = grid.positions_um(voxels, (volume.shape[0] // 4, volume.shape[1] // 4))
        rows[: len(voxels), 3] = 1
    return emitters


def loss_in_float64(prediction: np.ndarray, labels: np.ndarray, scale: float) -> float:
    """Equation of the reference with its dense kernel; prediction and labels [B, R, C, D]."""
    axis = np.arange(-3.0, 4.0)
    kernel = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 2)
    blurred = [
        [convolve(example.astype(np.float64), kernel, mode="constant")[3:-3, 3:-3] for example in volume]
        for volume in (prediction, scale * labels)
    ]
    overlap = np.sum(prediction.astype(np.float64) / scale * labels)
    overlap_loss = 1 - (2 * overlap + 1) / (overlap + np.sum(labels.astype(np.float64) ** 2) + 1)
    return np.mean((np.array(blurred[0]) - np.array(blurred[1])) ** 2) + overlap_loss


def test_reference_loss_and_gradient(data):
    prediction, emitters, grid, expected = golden(data)
    variable = tf.Variable(prediction)
    with tf.GradientTape() as tape:
        loss = VolumeLoss(grid, SCALE)(emitters, variable)
    gradient = tape.gradient(loss, variable).numpy()
    assert float(loss) == pytest.approx(float(expected["loss"]), rel=1e-5)
    expected_gradient = np.moveaxis(expected["grad_pred"], 1, -1)
    assert np.linalg.norm(gradient - expected_gradient) <= 1e-4 * np.linalg.norm(expected_gradient)
    assert np.abs(gradient - expected_gradient).max() <= 1e-4 * np.abs(expected_gradient).max()


def test_reference_jaccard(data):
    prediction, emitters, grid, expected = golden(data)
    metric = VolumeJaccard(grid, SCALE)
    metric.update_state(emitters, prediction)
    assert float(metric.result()) == pytest.approx(float(expected["jaccard"]), rel=1e-6)


def test_second_formula_for_a_prediction_near_the_truth():
    """Where the overlap term matters: a good prediction, whose squared error is small."""
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 24, 32, 9), np.float32)
    labels[tuple(rng.integers(0, labels.shape, (12, 4)).T)] = 1
    prediction = (0.9 * SCALE * labels + rng.random(labels.shape)).astype(np.float32)
    grid = VoxelGrid(0.11, 0.0, 1.1, 9)
    loss = float(VolumeLoss(grid, SCALE)(emitters_of(labels, grid), prediction))
    assert loss == pytest.approx(loss_in_float64(prediction, labels, SCALE), rel=1e-5)


def test_a_perfect_prediction_costs_nothing():
    labels = np.zeros((1, 16, 16, 4), np.float32)
    labels[0, 5, 6, 2] = labels[0, 9, 12, 0] = 1
    grid = VoxelGrid(0.11, 0.0, 1.1, 4)
    assert float(VolumeLoss(grid, SCALE)(emitters_of(labels, grid), SCALE * labels)) == 0


def test_blur_against_a_dense_kernel():
    volume = np.random.default_rng(3).normal(size=(2, 13, 11, 6)).astype(np.float32)
    axis = np.arange(-3.0, 4.0)
    kernel = np.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 2)
    expected = [convolve(example.astype(np.float64), kernel, mode="constant")[3:-3, 3:-3] for example in volume]
    np.testing.assert_allclose(blur_volume(ops.convert_to_tensor(volume)), expected, atol=1e-5)


def test_the_loss_has_no_dense_kernel():
    """No convolution of the graph has more than one axis longer than 1."""
    loss = VolumeLoss(VoxelGrid(0.11, 0.0, 1.1, 8), SCALE)
    specs = tf.TensorSpec([2, 3, 4]), tf.TensorSpec([2, 16, 16, 8])
    graph = tf.function(loss).get_concrete_function(*specs).graph
    operations = [operation for operation in graph.get_operations() if "onv" in operation.type]
    assert operations
    for operation in operations:
        assert sum(size > 1 for size in operation.inputs[1].shape[:2]) == 1, operation.name
        assert operation.type != "Conv3D"


@pytest.mark.parametrize("convention", ["pixel_area", "half_pixel_shifted"])
def test_labels_lie_where_the_grid_says(convention):
    grid = VoxelGrid(0.1, 1.0, 3.0, 4, convention)
    emitters = np.array([[[0.0, 0.0, 1.0, 1], [-0.149, 0.26, 2.9, 1]]], np.float32)
    labels = ops.convert_to_numpy(label_volume(emitters, grid, (1, 12, 20, 4)))
    # Frame 3×5: the centre pixel is row 1, column 2. 0.26 µm is 2.6 pixels; voxels are a quarter.
    offset = 2 if convention == "pixel_area" else 0
    expected = np.zeros((1, 12, 20, 4))
    expected[0, 4 + offset, 8 + offset, 0] = 1
    if convention == "half_pixel_shifted":
        pass  # row 4 + 10 lies outside the frame of 12 rows
    assert np.array_equal(labels, expected)
    inside = np.array([[[-0.149, 0.06, 2.9, 1]]], np.float32)
    labels = ops.convert_to_numpy(label_volume(inside, grid, (1, 12, 20, 4)))
    # -0.149 µm → -5.96 voxels → floor -6; 0.06 µm → 2.4 voxels → 2; z voxel 3.
    assert np.argwhere(labels).tolist() == [[0, 4 + offset + 2, 8 + offset - 6, 3]]


def test_labels_of_crowds_padding_and_strangers():
    grid = VoxelGrid(0.1, 0.0, 1.0, 2)
    emitters = np.array(
        [
            [[0, 0, 0.1, 1], [0.001, 0.001, 0.1, 1], [0, 0, 0.9, 1]],
            [[0, 0, 0.1, 0], [5, 0, 0.1, 1], [0, 0, 1.0, 1]],
        ],
        np.float32,
    )
    labels = ops.convert_to_numpy(label_volume(emitters, grid, (2, 12, 12, 2)))
    assert labels[0].sum() == 2
    assert labels.max() == 1
    assert labels[1].sum() == 0, "padding, an emitter beside the frame and one above the volume leave no label"


def test_jaccard_of_known_overlaps():
    grid = VoxelGrid(0.1, 0.0, 1.0, 2)
    emitters = np.array([[[0, 0, 0.1, 1]], [[0, 0, 0.1, 0]], [[0, 0, 0.1, 0]]], np.float32)
    prediction = np.zeros((3, 12, 12, 2), np.float32)
    prediction[0, 6, 6, 0] = 0.5 * SCALE
    prediction[2, 0, 0, 0] = SCALE
    metric = VolumeJaccard(grid, SCALE)
    assert float(metric.result()) == 0
    metric.update_state(emitters, prediction)
    # 0.5 / (0.5 + 1 - 0.5); nothing predicted where nothing is; a voxel where nothing is.
    assert float(metric.result()) == pytest.approx((0.5 + 1 + 0) / 3)
    metric.update_state(emitters[:1], prediction[:1], sample_weight=np.array([3.0]))
    assert float(metric.result()) == pytest.approx((0.5 + 1 + 0 + 3 * 0.5) / 6)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_unknown_sizes():
    """The graph of a dataset with frames of unknown size gives the same loss."""
    grid = VoxelGrid(0.11, 0.0, 1.1, 5)
    prediction = np.random.default_rng(0).random((2, 20, 28, 5)).astype(np.float32)
    emitters = np.array([[[0, 0, 0.5, 1]], [[0.3, -0.2, 0.9, 1]]], np.float32)
    loss, metric = VolumeLoss(grid, SCALE), VolumeJaccard(grid, SCALE)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None, None, 5])])
    def scores(y_true, y_pred):
        metric.update_state(y_true, y_pred)
        return loss(y_true, y_pred)

    assert float(scores(emitters, prediction)) == pytest.approx(float(loss(emitters, prediction)), rel=1e-6)
    assert keras.backend.is_float_dtype(metric.result().dtype)
