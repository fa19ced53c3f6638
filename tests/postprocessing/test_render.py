"""Pictures: their sums, their centres read back from the file, two ways that agree, colours that are even."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.stats import norm

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.render import render
from ds3d_tf.postprocessing.pictures.colours import depth_map_linear, to_display
from ds3d_tf.postprocessing.pictures.gaussians import add_gaussians
from ds3d_tf.postprocessing.pictures.png import depth_ticks, round_length
from ds3d_tf.postprocessing.pictures.window import AXES, window_around


@pytest.fixture
def table(tmp_path, make_molecules, filaments):
    rng = np.random.default_rng(1)
    xyz = filaments(4000, rng)
    sigma = rng.gamma(9, 1.3, (len(xyz), 1)) * (1, 1, 1.8) + 2
    made = make_molecules(np.sort(rng.integers(1, 500, len(xyz))), xyz, sigma)
    made.save(tmp_path / "molecules.parquet")
    return made


def calibrated(path, **keys):
    """Image, µm a pixel and the origin in pixels, as a program that knows nothing of ours reads them."""
    with tifffile.TiffFile(path, **keys) as file:
        page, facts = file.pages[0], file.imagej_metadata
        per_um = page.tags["XResolution"].value
        assert facts["unit"] in ("um", "µm") and page.tags["ResolutionUnit"].value == 1
        return file.asarray(), per_um[1] / per_um[0], (float(facts["xorigin"]), float(facts["yorigin"])), facts


def centre_of_mass(image):
    rows, columns = np.indices(image.shape)
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum() + 0.5


def test_a_histogram_counts_every_molecule(tmp_path, table):
    render(tmp_path / "molecules.parquet", tmp_path / "a.tif", mode="histogram", colour="count", pixel_nm=7)
    image, pixel_um, origin, _ = calibrated(tmp_path / "a.tif")
    assert image.dtype == np.float32 and image.sum(dtype=np.float64) == len(table)
    assert pixel_um == pytest.approx(0.007, rel=1e-6)
    column = np.floor(table.table["x [nm]"].to_numpy() / 7 + origin[0]).astype(int)
    row = np.floor(table.table["y [nm]"].to_numpy() / 7 + origin[1]).astype(int)
    expected = np.zeros(image.shape)
    np.add.at(expected, (row, column), 1)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(("mode", "tolerance"), [("histogram", 0.5), ("gaussian", 0.02)])
def test_a_molecule_is_where_its_coordinates_say(tmp_path, make_molecules, mode, tolerance):
    for number, (x, y) in enumerate([(1234.5, 987.6), (-312.4, 40.9), (5000.0, 5000.0)]):
        made = make_molecules([1, 1], [[x, y, 500], [x, y, 500]], 14)
        made.save(tmp_path / f"{number}.csv")
        out = tmp_path / f"{number}_{mode}.tif"
        render(tmp_path / f"{number}.csv", out, mode=mode, colour="count")
        image, pixel_um, origin, _ = calibrated(out)
        assert image.sum(dtype=np.float64) == pytest.approx(2, rel=1e-3)
        found_nm = (centre_of_mass(image) - origin) * pixel_um * 1000
        np.testing.assert_allclose(found_nm, (x, y), atol=tolerance * 10)


@pytest.mark.parametrize("way", ["stamps", "classes"])
def test_the_sum_and_centre_of_gaussians(way, table):
    xyz, sigma = table.xyz_nm, table.sigma_nm("render")
    window = window_around(xyz, AXES["xy"], 10, margin_nm=120)
    planes = np.zeros((1, *window.shape), np.float32)
    at_px = window.to_pixels(xyz)
    add_gaussians(planes, at_px, sigma[:, :2] / 10, None, way=way)
    assert planes.sum(dtype=np.float64) == pytest.approx(len(table), rel=1e-3)
    np.testing.assert_allclose(centre_of_mass(planes[0].astype(float)), at_px.mean(axis=0), atol=0.01)


def test_a_stamp_is_a_gaussian_integrated_over_pixels():
    planes = np.zeros((1, 60, 70), np.float32)
    add_gaussians(planes, np.array([[30.3, 25.8]]), np.array([[2.2, 4.1]]), None, way="stamps")
    along_x, along_y = (np.diff(norm.cdf(np.arange(n + 1), m, s)) for n, m, s in ((70, 30.3, 2.2), (60, 25.8, 4.1)))
    np.testing.assert_allclose(planes[0], np.outer(along_y, along_x), atol=2e-5)


def test_both_ways_give_one_picture(table):
    xyz, sigma = table.xyz_nm, table.sigma_nm("render")
    window = window_around(xyz, AXES["xy"], 4, margin_nm=150)
    weights = np.random.default_rng(0).random((len(xyz), 2)).astype(np.float32)
    drawn = []
    for way in ("stamps", "classes"):
        planes = np.zeros((3, *window.shape), np.float32)
        add_gaussians(planes, window.to_pixels(xyz), sigma[:, :2] / 4, weights, way=way)
        drawn.append(planes.astype(np.float64))
    for stamps, classes in zip(*drawn, strict=True):
        assert np.abs(stamps - classes).sum() < 0.03 * stamps.sum()
        # Shares of four pixels are up to 0.25 pixel² wide: some percent of a molecule of 2 pixels.
        assert np.abs(stamps - classes).max() < 0.12 * stamps.max()


def lab(linear):
    """CIELAB of linear sRGB, D65: an account of evenness that is not the one the colours were made with."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = linear @ to_xyz.T / (0.9505, 1.0, 1.089)
    f = np.cbrt(ratio)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_colours_of_depth_are_even():
    colours = lab(depth_map_linear())
    assert np.ptp(colours[:, 0]) < 12
    steps = np.linalg.norm(np.diff(colours[::15], axis=0), axis=1)
    assert steps.max() < 2.5 * steps.min()
    assert (to_display(depth_map_linear()) <= 1).all()


def test_slices_are_a_calibrated_stack(tmp_path, table):
    out = tmp_path / "s.tif"
    render(tmp_path / "molecules.parquet", out, slice_nm=100, colour="count", mode="histogram")
    image, _, _, facts = calibrated(out)
    z_nm = table.table["z [nm]"].to_numpy()
    bottom = -float(facts["zorigin"]) * facts["spacing"] * 1000
    counts = np.histogram(z_nm, bottom + 100 * np.arange(len(image) + 1))[0]
    assert facts["spacing"] == pytest.approx(0.1) and image.sum(axis=(1, 2)).tolist() == counts.tolist()


def test_a_coloured_tiff_and_its_depths(tmp_path, make_molecules):
    made = make_molecules([1, 1], [[1000, 1000, 100], [3000, 1000, 900]])
    made.save(tmp_path / "a.csv")
    render(tmp_path / "a.csv", tmp_path / "a.tif", z_range_nm=(100, 900))
    image = tifffile.imread(tmp_path / "a.tif")
    assert image.dtype == np.uint8 and image.shape[2] == 3
    halves = [image[:, : image.shape[1] // 2], image[:, image.shape[1] // 2 :]]
    blue, red = (half[np.unravel_index(half.sum(axis=2).argmax(), half.shape[:2])].astype(int) for half in halves)
    assert blue[2] > blue[0] + 20 and red[0] > red[2] + 20


def test_pngs_and_a_movie(tmp_path, table, monkeypatch):
    monkeypatch.setattr("ds3d_tf.postprocessing.pictures.movie.STEPS", 6)
    source = tmp_path / "molecules.parquet"
    drawn = render(source, tmp_path / "all.png", view="all")
    with Image.open(tmp_path / "all.png") as sheet:
        assert sheet.size[0] > drawn.size_px[0] and np.asarray(sheet).max() > 200
        assert sheet.info["pixel_nm"] == "10"
    render(source, tmp_path / "slices.png", slice_nm=200, view="xz")
    render(source, tmp_path / "side.tif", view="zy", colour="count")
    assert tifffile.imread(tmp_path / "side.tif").sum() == pytest.approx(len(table), rel=2e-3)
    render(source, tmp_path / "turn.gif")
    with Image.open(tmp_path / "turn.gif") as movie:
        assert movie.n_frames == 6
        colours = np.unique(np.asarray(movie.convert("RGB")).reshape(-1, 3), axis=0)
        assert np.count_nonzero(np.ptp(colours.astype(int), axis=1) > 90) > 25  # the bar of depth has no bands


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffmpeg")
def test_an_mp4_turns_twice(tmp_path, table, monkeypatch):
    monkeypatch.setattr("ds3d_tf.postprocessing.pictures.movie.STEPS", 4)
    assert render(tmp_path / "molecules.parquet", tmp_path / "turn.mp4").molecules == len(table)
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames"]
    found = subprocess.run([*probe, str(tmp_path / "turn.mp4")], capture_output=True, text=True, check=True).stdout
    assert "codec_name=h264" in found and "nb_read_frames=8" in found
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"needs ffmpeg.*use \.gif"):
        render(tmp_path / "molecules.parquet", tmp_path / "again.mp4")


def test_two_dimensions_and_no_uncertainties(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x [nm],y [nm]\n1,100,200\n2,300,900\n")
    assert render(tmp_path / "a.csv", tmp_path / "a.png").mode == "histogram"
    for options, message in (
        ({"view": "xz"}, "no column 'z .nm.'.*two-dimensional"),
        ({"mode": "gaussian"}, "'ds3d localize --refine' gives it"),
        ({"pixel_nm": 0.1, "camera_pixel_nm": 1.0}, "camera_pixel_nm: a camera pixel of 1 nm"),
    ):
        with pytest.raises(InputError, match=message):
            render(tmp_path / "a.csv", tmp_path / "b.png", **options)


def test_refusals(tmp_path, table):
    source = tmp_path / "molecules.parquet"
    far = table.changed(table.table.assign(**{"x [nm]": table.table["x [nm]"] * 1e4}), "far")
    far.save(tmp_path / "far.csv")
    (tmp_path / "mine.png").write_text("mine")
    for path, out, options, message in (
        (source, "mine.png", {}, "exists; choose another name"),
        (source, "a.jpg", {}, "ends in .png, .tif, .gif or .mp4"),
        (source, "a.tif", {"view": "all"}, "is a .png"),
        (source, "a.png", {"pixel_nm": 0.01}, "expected 0.1 or more"),
        (source, "a.png", {"z_range_nm": (5, 1)}, "expected the smaller one first"),
        (tmp_path / "far.csv", "a.png", {}, "the picture would have .* choose larger pixels"),
    ):
        with pytest.raises(InputError, match=message):
            render(path, tmp_path / out, **options)
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_round_numbers():
    assert [round_length(x) for x in (1, 1.9, 2, 4.99, 5, 730, 0.09)] == [1, 1, 2, 2, 5, 500, 0.05]
    assert depth_ticks(0, 1000, 5) == [0, 200, 400, 600, 800, 1000] or len(depth_ticks(0, 1000, 5)) <= 6
