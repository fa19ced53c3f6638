"""Lengths in another unit than their field's are refused, with the value that is meant."""

import pytest

from ds3d_tf.common import InputError
from ds3d_tf.setup import load_setup, preset_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optics.wavelength_um=605", "optics.wavelength_um: got 605 µm, which looks like nm; write 0.605"),
        ("optics.wavelength_um=0.000605", "which looks like mm; write 0.605"),
        ("optics.camera_pixel_um=11000", "which looks like nm; write 11"),
        ("optics.camera_pixel_um=0.011", "which looks like mm; write 11"),
        ("optics.slm_pixel_um=30000", "which looks like nm; write 30"),
        ("optics.focal_length_um=150", "which looks like mm; write 150000"),
        ("optics.focal_length_um=0.15", "which looks like m; write 150000"),
        ("volume.z_max_um=4000", "which looks like nm; write 4"),
        ("volume.focus_um=1500", "which looks like nm; write 1.5"),
    ],
)
def test_other_units(change, message):
    with pytest.raises(InputError, match=message):
        load_setup("demo1", [change])


def test_the_presets_are_in_micrometres():
    assert all(load_setup(name) for name in preset_names())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_files_in_the_encodings_of_windows(tmp_path, encoding):
    text = "# pixel 0.16 µm, 4° tilt\r\n" + load_setup("demo1", ["name=Müller"]).to_yaml()
    (tmp_path / "a.yaml").write_bytes(text.encode(encoding))
    assert load_setup(tmp_path / "a.yaml") == load_setup("demo1", ["name=Müller"])


def test_what_is_no_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(InputError, match=r"cannot read the setup .*a\.yaml: not a text file"):
        load_setup(tmp_path / "a.yaml")
