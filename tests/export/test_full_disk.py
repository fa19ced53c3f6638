"""An export onto a disk without room: one line, nothing left behind, and the same export afterwards."""

import contextlib

import pytest

from ds3d_tf.common import InputError
from ds3d_tf.common.files import check_room, whole_folder
from ds3d_tf.common.shipped import find_model
from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.model.files import load_model_folder

resource = pytest.importorskip("resource", reason="needs limits of the operating system")


@contextlib.contextmanager
def room_for(size):
    """Let no file grow beyond ``size`` bytes: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1000, 100_000, 300_000, 1_000_000, 2_000_000])
def test_saved_model(tmp_path, size):
    network, setup, mask_rad = load_model_folder(find_model("tetrapod_4um") / "1")
    with (
        room_for(size),
        pytest.raises(InputError, match="cannot write") as caught,
        whole_folder(tmp_path / "e" / "1") as e,
    ):
        export_saved_model(network, setup, mask_rad, e)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "e").iterdir()) == []
    export_saved_model(network, setup, mask_rad, tmp_path / "e" / "1")
    assert (tmp_path / "e" / "1" / "saved_model.pb").is_file()


def test_what_has_no_room_is_not_begun(tmp_path):
    with pytest.raises(InputError, match=r"GB are needed and .* GB are free"):
        check_room(tmp_path / "new" / "data", 1e18)
    check_room(tmp_path / "new" / "data", 1)
