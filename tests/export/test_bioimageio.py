"""The package for the BioImage Model Zoo: Keras' own layers, and bioimageio.core's test of every weights format."""

import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.export.bioimageio import export_bioimageio, normalize_numpy
from ds3d_tf.export.plain_keras import plain_keras

sys.path.insert(0, str(Path(__file__).parent))
from lively import frames, lively_network, normalized

MASK_RAD = np.random.default_rng(0).uniform(-3, 3, (101, 101))


@pytest.fixture(scope="module", params=["project_01", "factors"])
def network_and_setup(request):
    return lively_network(request.param)


def test_keras_own_layers_compute_the_same(network_and_setup, tmp_path):
    network, setup = network_and_setup
    plain = plain_keras(network)
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    assert not any("ds3d" in type(layer).__module__ for layer in plain.layers)
    plain.save(tmp_path / "plain.keras")
    plain = keras.models.load_model(tmp_path / "plain.keras")
    inputs = normalized(frames(), setup.normalization.kind)
    expected = np.asarray(network(inputs, training=False))
    assert expected.max() > 600 and expected.shape == (2, 244, 296, 5)
    # The same products in another order; a voxel's confidence is up to 800.
    np.testing.assert_allclose(plain(inputs[..., np.newaxis], training=False), expected, atol=0.02)


def test_preprocessing_is_the_normalization(network_and_setup):
    _, setup = network_and_setup
    expected = normalized(frames(), setup.normalization.kind)
    np.testing.assert_allclose(normalize_numpy(frames(), setup.normalization), expected, atol=1e-6)


def test_mistakes(network_and_setup, tmp_path, monkeypatch):
    network, setup = network_and_setup
    with pytest.raises(InputError, match=r"expected a name that ends in \.zip"):
        export_bioimageio(network, setup, MASK_RAD, tmp_path / "model", frames=frames())
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(InputError, match=r"pip install 'ds3d-tf\[bioimageio\]'"):
        export_bioimageio(network, setup, MASK_RAD, tmp_path / "model.zip", frames=frames())
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def package(network_and_setup, tmp_path_factory):
    pytest.importorskip("bioimageio.core", reason="the extra 'bioimageio' is not installed")
    network, setup = network_and_setup
    folder = tmp_path_factory.mktemp("bioimageio")
    (folder / "card.md").write_text("# Card\n\n## Training\n")
    export_bioimageio(network, setup, MASK_RAD, folder / "model.zip", frames=frames(), run=folder)
    return folder / "model.zip"


def test_bioimageio_core_passes_every_format(package, network_and_setup, monkeypatch):
    from bioimageio.core import test_model
    from bioimageio.spec import load_model_description

    monkeypatch.chdir(package.parent)
    description = load_model_description(package)
    formats = ["tensorflow_saved_model_bundle"]
    if network_and_setup[1].normalization.kind == "project_01":
        formats += ["keras_v3", "keras_hdf5"]
    for name in formats:
        if name == "keras_hdf5":
            # Where there are Keras 3 weights they would be taken for those in HDF5, too.
            description.weights.keras_hdf5.parent = None
            description.weights.tensorflow_saved_model_bundle = None
            description.weights.keras_v3 = None
        summary = test_model(description, weight_format=name)
        assert summary.status == "passed", summary.format()


def test_the_package_describes_axes_and_sources(package, network_and_setup):
    from bioimageio.spec import load_model_description

    network, setup = network_and_setup
    description = load_model_description(package)
    frame, volume = {axis.id: axis for axis in description.inputs[0].axes}, description.outputs[0].axes
    _, rows, columns, depth = volume
    for axis in (rows, columns):
        reference = frame[axis.id]
        assert (reference.scale, axis.scale, axis.unit, axis.halo) == (
            110,
            27.5,
            "nanometer",
            4 * network.receptive_radius_px,
        )
        assert [axis.size.get_size(axis, reference, ref_size=size) for size in (40, 43, 1999)] == [160, 172, 7996]
    assert (
        depth.size == 5 and depth.scale == pytest.approx(1000 * setup.volume.z_max_um / 5) and depth.unit == "nanometer"
    )
    assert str(description.license) == "MIT" and str(description.cite[0].doi) == "10.1038/s41592-020-0853-5"
    assert (
        not description.inputs[0].axes[1].size.validate_size(2 * network.receptive_radius_px + 8)
        < 2 * network.receptive_radius_px
    )
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
        text = archive.read("README.md").decode()
    assert {"setup.yaml", "mask.npy", "cover.png", "test_frame.npy", "test_volume.npy", "rdf.yaml"} <= names
    assert "# Validation" in text and "### Training" in text and "{" not in text
