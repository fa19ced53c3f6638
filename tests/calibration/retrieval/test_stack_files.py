"""Reading bead stacks: focus positions, and every stack that must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ds3d_tf.calibration.retrieval.focus_positions import read_focus_positions
from ds3d_tf.calibration.retrieval.stack_files import read_bead_stack
from ds3d_tf.common import InputError

NFP = np.linspace(-1, 1, 7)


def bead(shift: tuple[float, float] = (0, 0), peak: float = 4000, slices: int = 7) -> np.ndarray:
    y, x = np.mgrid[:40, :40] - 20
    spot = peak * np.exp(-((x - shift[0]) ** 2 + (y - shift[1]) ** 2) / 12)
    return np.random.default_rng(0).poisson(np.repeat(spot[None], slices, axis=0) + 100).astype(np.uint16)


@pytest.fixture
def files(tmp_path: Path):
    def write(stack: np.ndarray, nfp: object = NFP) -> tuple[Path, Path]:
        tifffile.imwrite(tmp_path / "bead.tif", stack, photometric="minisblack")
        text = nfp if isinstance(nfp, str) else "slice,nfp_um\n" + "".join(f"{i},{z}\n" for i, z in enumerate(nfp))
        (tmp_path / "nfp.csv").write_text(text)
        return tmp_path / "bead.tif", tmp_path / "nfp.csv"

    return write


def test_a_sound_stack(files) -> None:
    stack = read_bead_stack(*files(bead((2, -1))), skip=[2])
    assert stack.slices.shape == (6, 40, 40)
    assert stack.slices.dtype == np.float32
    np.testing.assert_allclose(stack.nfp_um, np.delete(NFP, 1))
    assert stack.numbers.tolist() == [1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("text", ["0.5\n-1\n2e-1\n", "nfp_um\n0.5\n-1\n0.2\n", "NFP_um, slice\n0.5,0\n-1,1\n.2,2\n"])
def test_focus_positions_in_several_shapes(tmp_path: Path, text: str) -> None:
    (tmp_path / "nfp.csv").write_text(text)
    assert read_focus_positions(tmp_path / "nfp.csv").nfp_um.tolist() == [0.5, -1.0, 0.2]


@pytest.mark.parametrize(
    "text",
    [
        "0,5\n-1,0\n0,2\n",
        "nfp_um\n0,5\n-1\n0,2\n",
        '"0,5"\n"-1,0"\n"0,2"\n',
        "slice;nfp_um\n1;0,5\n2;-1,0\n3;0,2\n",
        "1\t0,5\n2\t-1\n3\t0,2\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_decimal_commas_as_excel_writes_them(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "nfp.csv").write_bytes(f"# µm\r\n{text}".encode(encoding))
    read = read_focus_positions(tmp_path / "nfp.csv")
    assert read.nfp_um.tolist() == [0.5, -1.0, 0.2]
    assert len(read.remarks) == 1 and "decimal commas: 0.5, -1, 0.2" in read.remarks[0]


def test_slices_with_whole_positions_are_not_taken_for_decimals(tmp_path: Path) -> None:
    (tmp_path / "nfp.csv").write_text("1,3\n2,2\n3,1\n")
    with pytest.raises(InputError, match="1,3 may be a number with a decimal comma, or a slice and its position"):
        read_focus_positions(tmp_path / "nfp.csv")
    (tmp_path / "nfp.csv").write_text("slice,nfp_um\n1,3\n2,2\n3,1\n")
    assert read_focus_positions(tmp_path / "nfp.csv").nfp_um.tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("stack", "nfp", "message"),
    [
        (bead(), NFP[:-1], "7 slices but .* 6 focus positions"),
        (bead(slices=3), NFP[:3], "at least 5"),
        (bead(), np.zeros(7), "all focus positions are 0"),
        (bead(), "slice,nfp_um\n0,a\n", "line 2 holds no number"),
        (np.minimum(bead(), 1023), NFP, "saturated at 1023 counts in slices 1,2,3,4,5,6,7.*skip"),
        (bead((11, 0)), NFP, r"\+1\d\.\d columns .* crop the stack around column 3\d, row 20"),
        (bead(peak=0), NFP, "no bead found"),
        (np.full((7, 40, 40), 100, np.uint16), NFP, "no bead found|saturated"),
    ],
)
def test_what_is_refused(files, stack: np.ndarray, nfp: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_bead_stack(*files(stack, nfp))


def test_skip_names_slices_that_exist(files) -> None:
    with pytest.raises(InputError, match="numbered from 1 to 7"):
        read_bead_stack(*files(bead()), skip=[8])


def test_missing_focus_positions(files, tmp_path: Path) -> None:
    beads, _ = files(bead())
    with pytest.raises(InputError, match=r"cannot read .*none\.csv"):
        read_bead_stack(beads, tmp_path / "none.csv")


def test_the_real_bead_is_accepted(data) -> None:
    stack = read_bead_stack(data / "beads" / "tetrapod_bead.tif", data / "beads" / "tetrapod_bead_nfp.csv")
    assert stack.slices.shape == (37, 80, 80)
    assert (stack.nfp_um[0], stack.nfp_um[-1]) == (3.0, pytest.approx(-2.4, abs=1e-4))
