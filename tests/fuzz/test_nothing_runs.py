"""Files that bring code, or names of other files: nothing runs, nothing else is read; one line says why."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import tifffile
import zarr

from ds3d_tf.common import InputError
from ds3d_tf.common.arrays import read_npy, read_npz
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.setup import load_setup
from ds3d_tf.training.callbacks.checkpoint import read_checkpoint


class Payload:
    """A pickle that makes a file when it is read."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def ran(tmp_path):
    """The folder that is there if code of a file has run."""
    place = tmp_path / "it has run"
    pickle.loads(pickle.dumps(Payload(place)))
    assert place.is_dir()  # the payload works
    place.rmdir()
    return place


def objects(ran):
    array = np.empty((3, 8, 8), object)
    array[...] = Payload(ran)
    return array


def refused(ran, action):
    with pytest.raises(InputError) as caught:
        action()
    assert "\n" not in str(caught.value)
    assert not ran.exists()


@pytest.mark.parametrize("read", [open_frames, read_npy])
def test_objects_in_npy(tmp_path, ran, read):
    np.save(tmp_path / "a.npy", objects(ran), allow_pickle=True)
    refused(ran, lambda: read(tmp_path / "a.npy"))


@pytest.mark.parametrize("read", [open_frames, read_checkpoint, lambda path: read_npz(path, "mend")])
def test_objects_in_npz(tmp_path, ran, read):
    np.savez(tmp_path / "a.npz", frames=objects(ran), facts=objects(ran))
    refused(ran, lambda: read(tmp_path / "a.npz"))


def test_a_pickle_under_the_name_of_an_array(tmp_path, ran):
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Payload(ran)))
    refused(ran, lambda: open_frames(tmp_path / "a.npy"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("frames.npy", pickle.dumps(Payload(ran)))
        archive.writestr("facts.npy", pickle.dumps(Payload(ran)))
    refused(ran, lambda: open_frames(tmp_path / "a.npz"))
    refused(ran, lambda: read_checkpoint(tmp_path / "a.npz"))


def pickled_chunks(folder, ran, place, codec="pickle"):
    """A Zarr array of version 2 whose chunks are pickles, as numcodecs' codec of this name writes them."""
    folder.mkdir()
    description = {
        "zarr_format": 2,
        "shape": [3, 8, 8],
        "chunks": [1, 8, 8],
        "dtype": "|O" if place == "objects" else "<u2",
        "order": "C",
        "fill_value": 0,
        "compressor": {"id": codec, "protocol": 5} if place == "compressor" else None,
        "filters": None if place == "compressor" else [{"id": codec, "protocol": 5}],
    }
    (folder / ".zarray").write_text(json.dumps(description))
    for number in range(3):
        (folder / f"{number}.0.0").write_bytes(pickle.dumps(Payload(ran)))


@pytest.mark.parametrize("place", ["compressor", "filters", "objects"])
def test_pickles_in_zarr_2(tmp_path, ran, place):
    pickled_chunks(tmp_path / "a.zarr", ran, place)
    refused(ran, lambda: open_frames(tmp_path / "a.zarr").read(0))


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "json2", "numcodecs.json2"])
def test_codecs_in_zarr_3(tmp_path, ran, codec):
    zarr.create_array(tmp_path / "a.zarr", data=np.ones((3, 8, 8), np.uint16), chunks=(1, 8, 8))
    file = tmp_path / "a.zarr" / "zarr.json"
    description = json.loads(file.read_text())
    description["codecs"].append({"name": codec, "configuration": {"protocol": 5}})
    file.write_text(json.dumps(description))
    for number in range(3):
        (tmp_path / "a.zarr" / "c" / str(number) / "0" / "0").write_bytes(pickle.dumps(Payload(ran)))
    refused(ran, lambda: open_frames(tmp_path / "a.zarr").read(0))


def test_python_in_a_setup(tmp_path, ran):
    for text in (f"!!python/object/apply:os.mkdir ['{ran}']", f"name: !!python/object/new:os.mkdir ['{ran}']"):
        (tmp_path / "setup.yaml").write_text(f"{text}\n")
        refused(ran, lambda: load_setup(tmp_path / "setup.yaml"))


@pytest.mark.parametrize("name", ["../secret.tif", "{folder}/secret.tif", "..\\secret.tif"])
def test_an_ome_header_leads_out_of_its_folder(tmp_path, name):
    (tmp_path / "run").mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", np.full((8, 8), 7, np.uint16))
    name = name.format(folder=tmp_path)
    planes = "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1"><UUID FileName="{file}">urn:uuid:{t}</UUID></TiffData>'
        for t, file in enumerate(("a.ome.tif", name))
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="8" SizeC="1" '
        f'SizeZ="1" SizeT="2"><Channel ID="Channel:0"/>{planes}</Pixels></Image></OME>'
    )
    path = tmp_path / "run" / "a.ome.tif"
    tifffile.imwrite(path, np.ones((8, 8), np.uint16), description=xml, metadata=None, ome=False)
    with pytest.raises(InputError, match="outside the recording's folder"):
        open_frames(path)


def test_entities_of_an_ome_header_are_not_files(tmp_path):
    (tmp_path / "secret.txt").write_text("a.ome.tif")
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="&x;"><Pixels '
        'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="8" SizeC="1" SizeZ="1" SizeT="1">'
        '<Channel ID="Channel:0"/><TiffData IFD="0"/></Pixels></Image></OME>'
    )
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.ones((8, 8), np.uint16), description=xml, metadata=None, ome=False)
    try:
        source = open_frames(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(source) == 1 and not any("a.ome.tif" in remark for remark in source.remarks)


def test_code_in_a_network(tmp_path, ran, tiny_changes):
    """A layer of Keras that carries Python's own code."""
    import keras

    from ds3d_tf.model.files import load_model_folder, save_setup_and_mask
    from ds3d_tf.optics.masks import load_mask

    setup = load_setup("quickstart_voxel", tiny_changes)
    save_setup_and_mask(tmp_path, setup, load_mask(setup))
    inputs = keras.Input((8, 8, 1))
    place = str(ran)
    network = keras.Model(
        inputs, keras.layers.Lambda(lambda x: (__import__("os").makedirs(place, exist_ok=True), x)[1])(inputs)
    )
    network.save(tmp_path / "model.keras")
    if ran.exists():
        ran.rmdir()
    refused(ran, lambda: load_model_folder(tmp_path))


def test_names_in_a_network_do_not_call_what_they_name(tmp_path, ran, tiny_changes):
    """A description that asks for a function of Python instead of a layer."""
    import keras

    from ds3d_tf.model.files import load_model_folder, save_setup_and_mask
    from ds3d_tf.optics.masks import load_mask

    setup = load_setup("quickstart_voxel", tiny_changes)
    save_setup_and_mask(tmp_path, setup, load_mask(setup))
    inputs = keras.Input((8, 8, 1))
    stream = io.BytesIO()
    keras.Model(inputs, keras.layers.Activation("relu")(inputs)).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive, zipfile.ZipFile(stream, "w") as other:
        for member in archive.namelist():
            content = archive.read(member)
            if member == "config.json":
                config = json.loads(content)
                layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Activation")
                layer.update(module="os", class_name="mkdir", registered_name=None, config={"path": str(ran)})
                content = json.dumps(config).encode()
            other.writestr(member, content)
    (tmp_path / "model.keras").write_bytes(stream.getvalue())
    refused(ran, lambda: load_model_folder(tmp_path))
