"""Peaks against the plain definition: scipy's maximum filter, label and centre of mass over the whole volume."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from ds3d_tf.localization.peaks.peaks import find_peaks


def plain_peaks(volume, threshold, radius):
    """One volume [R, C, D]: (voxels [K, 3], confidence [K]) in raster order, without the plateau rule."""
    size = 2 * radius + 1
    highest = ndimage.maximum_filter(volume, size=size, mode="constant", cval=0.0)
    found = np.argwhere((volume > threshold) & (volume == highest))
    padded = np.pad(volume.astype(np.float64), radius)
    voxels = []
    for place in found:
        block = padded[tuple(slice(p, p + size) for p in place)]
        voxels.append(place + np.array(ndimage.center_of_mass(block)) - radius)
    return np.reshape(voxels, (-1, 3)), volume[tuple(found.T)]


def blobs(seed, shape=(40, 52, 30), count=25, clip=800.0):
    """Gaussian blobs of random height, as a network's prediction looks, exact zeros elsewhere."""
    rng = np.random.default_rng(seed)
    volume = np.zeros(shape, np.float32)
    for place, height in zip(rng.uniform(0, shape, (count, 3)), rng.uniform(20, 1200, count), strict=True):
        grid = np.meshgrid(*[np.arange(n) - p for n, p in zip(shape, place, strict=True)], indexing="ij")
        volume += height * np.exp(-sum(g**2 for g in grid) / 2 / 1.3**2)
    volume += rng.uniform(0, 1, shape)
    volume[volume < 3] = 0
    return np.minimum(volume, clip).astype(np.float32)


def unpad(result, entry=0):
    voxels, confidence, count = (x.numpy() for x in result)
    return voxels[entry, : count[entry]], confidence[entry, : count[entry]]


@pytest.mark.parametrize("radius", [1, 2, 4])
@pytest.mark.parametrize("threshold", [0.0, 40.0])
def test_equals_the_plain_definition(radius, threshold):
    volumes = np.stack([blobs(seed, clip=np.inf) for seed in (1, 2)])
    result = find_peaks(volumes, threshold, radius)
    for entry, volume in enumerate(volumes):
        voxels, confidence = plain_peaks(volume, threshold, radius)
        found, value = unpad(result, entry)
        assert len(found) == len(voxels) > 3
        np.testing.assert_allclose(found, voxels, atol=2e-4)
        np.testing.assert_array_equal(value, confidence)


def test_noise_with_many_peaks_and_peaks_at_every_border():
    volume = np.random.default_rng(3).uniform(0, 100, (23, 17, 9)).astype(np.float32)
    for radius in (1, 2, 3):
        voxels, confidence = plain_peaks(volume, 50, radius)
        found, value = unpad(find_peaks(volume[None], 50, radius))
        np.testing.assert_allclose(found, voxels, atol=1e-4)
        np.testing.assert_array_equal(value, confidence)


def test_radius_zero_gives_every_voxel_above_threshold():
    volume = np.random.default_rng(4).uniform(0, 100, (6, 5, 4)).astype(np.float32)
    found, value = unpad(find_peaks(volume[None], 50, 0))
    np.testing.assert_array_equal(found, np.argwhere(volume > 50))
    np.testing.assert_array_equal(value, volume[volume > 50])


def test_threshold_and_radius_as_tensors_in_a_graph_of_unknown_shape():
    function = tf.function(
        find_peaks,
        input_signature=[
            tf.TensorSpec([None] * 4, tf.float32),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([], tf.int32),
        ],
    )
    for seed, radius in ((5, 2), (6, 3)):
        volume = blobs(seed, shape=(30 + seed, 28, 21), clip=np.inf)
        voxels, _ = plain_peaks(volume, 60, radius)
        np.testing.assert_allclose(unpad(function(volume[None], 60, radius))[0], voxels, atol=2e-4)


def test_padding_counts_and_empty_batch_entries():
    volumes = np.zeros((3, 8, 8, 8), np.float32)
    volumes[0, 2, 3, 4] = volumes[2, 1, 1, 1] = volumes[2, 7, 7, 7] = 50
    voxels, confidence, count = (x.numpy() for x in find_peaks(volumes, 40, 2))
    assert voxels.shape == (3, 2, 3) and confidence.shape == (3, 2)
    assert count.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(voxels[2], [[1, 1, 1], [7, 7, 7]])
    assert not voxels[0, 1].any() and not voxels[1].any() and not confidence[1].any()


@pytest.mark.parametrize("batch", [0, 2])
def test_nothing_found(batch):
    voxels, confidence, count = find_peaks(np.zeros((batch, 5, 6, 7), np.float32), 40, 4)
    assert voxels.shape == (batch, 0, 3) and confidence.shape == (batch, 0) and count.shape == (batch,)


def test_one_peak_of_a_plateau_at_its_middle():
    volume = np.zeros((1, 30, 30, 12), np.float32)
    volume[0, 10:13, 5:8, 4:7] = 800
    found, value = unpad(find_peaks(volume, 40, 4))
    np.testing.assert_allclose(found, [[11, 6, 5]], atol=1e-6)
    assert value.tolist() == [800]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_peak_of_a_plateau_wider_than_the_radius(axis):
    volume = np.zeros((40, 40, 40), np.float32)
    volume[5:34, 7, 9] = 800
    volume = np.moveaxis(volume, 0, axis)
    found, _ = unpad(find_peaks(volume[None], 40, 2))
    np.testing.assert_allclose(found, [np.insert([7.0, 9.0], axis, 19.0)], atol=1e-6)


def test_one_peak_of_a_ring():
    """A plateau that bends back on itself: labels must travel all the way round."""
    volume = np.zeros((1, 40, 40, 5), np.float32)
    rows, columns = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    distance = np.hypot(rows - 20, columns - 20)
    volume[0, (distance > 13) & (distance < 15), 2] = 500
    assert len(unpad(find_peaks(volume, 40, 2))[0]) == 1


def test_plateaus_of_clipped_blobs_give_one_peak_each():
    """Independent: scipy links equal maxima within the radius; the member nearest to the mean stands for all."""
    radius, threshold, size = 3, 40, 7
    for seed in range(7, 11):
        volume = np.round(blobs(seed, clip=150.0, count=40) / 10) * 10
        highest = ndimage.maximum_filter(volume, size=size, mode="constant", cval=0.0)
        maxima = np.argwhere((volume > threshold) & (volume == highest))
        groups, label = connected_components(np.abs(maxima[:, None] - maxima[None]).max(-1) <= radius)
        assert groups < len(maxima)
        padded = np.pad(volume.astype(np.float64), radius)
        expected = []
        for group in range(groups):
            members = maxima[label == group]
            distance = np.linalg.norm(members - members.mean(0), axis=1)
            anchor = members[np.argmax(distance < distance.min() + 1e-9)]
            block = padded[tuple(slice(p, p + size) for p in anchor)]
            expected.append([*anchor, *(anchor + np.array(ndimage.center_of_mass(block)) - radius)])
        expected = np.array(sorted(expected))
        found, value = unpad(find_peaks(volume[None], threshold, radius))
        np.testing.assert_allclose(found, expected[:, 3:], atol=1e-4)
        np.testing.assert_array_equal(value, volume[tuple(expected[:, :3].astype(int).T)])


def test_keep_single_z_keeps_the_highest_of_a_column():
    volume = np.zeros((2, 30, 30, 40), np.float32)
    volume[0, 10, 10, 5], volume[0, 11, 8, 30], volume[0, 14, 10, 20] = 100, 300, 200
    volume[0, 25, 25, 3] = 90
    volume[1, 10, 10, 7] = 60
    everything = find_peaks(volume, 40, 2)
    assert everything[2].numpy().tolist() == [4, 1]
    found = find_peaks(volume, 40, 2, keep_single_z=True)
    assert found[2].numpy().tolist() == [3, 1]
    np.testing.assert_allclose(unpad(found)[0], [[11, 8, 30], [14, 10, 20], [25, 25, 3]])


def test_result_does_not_depend_on_the_chunk(monkeypatch):
    volume = blobs(12, clip=150.0)[None]
    whole = find_peaks(volume, 30, 3)
    monkeypatch.setattr("ds3d_tf.localization.peaks.peaks._CHUNK_VOXELS", 5000)
    for one, other in zip(whole, find_peaks(volume, 30, 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bfloat16_columns_with_negative_values_and_both_zeros():
    # No network of ours predicts them, but nothing forbids them to whoever calls this.
    volume = tf.cast(blobs(14, clip=np.inf) - 5.0, tf.bfloat16)
    volume = tf.where(volume == -5.0, tf.cast(-0.0, tf.bfloat16), volume)
    assert float(tf.reduce_min(volume)) < 0
    plain = find_peaks(tf.cast(volume, tf.float32)[None], 7.0, 2)
    assert int(plain[2][0]) > 3
    for ours, theirs in zip(find_peaks(volume[None], 7.0, 2), plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bfloat16_and_integer_threshold():
    volume = tf.cast(blobs(13, clip=np.inf), tf.bfloat16)
    found, _ = unpad(find_peaks(volume[None], 60, 4))
    assert len(found) > 5


def test_programming_errors_name_the_argument():
    with pytest.raises(ValueError, match="volume: expected"):
        find_peaks(np.zeros((3, 3, 3), np.float32), 1, 1)
    with pytest.raises(ValueError, match="radius_voxels: expected"):
        find_peaks(np.zeros((1, 3, 3, 3), np.float32), 1, -1)
