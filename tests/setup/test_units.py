"""Lengths in another unit than their field's are refused, with the value that is meant."""

import pytest

from ds3d_tf.common import InputError
from ds3d_tf.setup import load_setup, preset_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optics.wavelength_um=605", "optics.wavelength_um: got 605, expected 0.1 to 3 .*; 605 nm would be 0.605"),
        ("optics.wavelength_um=0.000605", "optics.wavelength_um: got 0.000605, expected 0.1 to 3"),
        ("optics.camera_pixel_um=11000", "11000 nm would be 11"),
        ("optics.slm_pixel_um=30000", "30000 nm would be 30"),
        ("optics.focal_length_um=150", "got 150 µm, which looks like mm; write 150000"),
        ("optics.focal_length_um=0.15", "optics.focal_length_um: got 0.15, expected 100 to"),
        ("volume.z_max_um=4000", "4000 nm would be 4"),
        ("volume.focus_um=1500", "1500 nm would be 1.5"),
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
