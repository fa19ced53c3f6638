"""The report: complete in itself, small, and without an error in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.jobs.report import report
from ds3d_tf.localization.frames.source import open_frames
from ds3d_tf.postprocessing.drift.curve import DriftCurve, write_drift
from ds3d_tf.postprocessing.report import frame_panels
from ds3d_tf.postprocessing.report.views import LARGEST_BYTES, picture_views

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")


@pytest.fixture
def table(tmp_path, make_molecules, filaments):
    rng = np.random.default_rng(1)
    xyz = filaments(6000, rng)
    made = make_molecules(np.sort(rng.integers(1, 301, len(xyz))), xyz, frame_count=300, history=("made up <here>",))
    made.save(tmp_path / "molecules.parquet")
    return tmp_path / "molecules.parquet"


class Links(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def in_browser(page, tmp_path):
    """The page after its scripts ran, and what it said on the console."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1200,1600", "--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=240, check=False)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def test_a_page_that_needs_nothing_else(tmp_path, table):
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "frames.tif", rng.poisson(50, (300, 64, 64)).astype(np.uint16))
    curve = DriftCurve(np.linspace(0, [100, 50, 20], 300), "known")
    write_drift(curve, tmp_path / "drift.csv")
    done = report(
        table,
        tmp_path / "report.html",
        frames=str(tmp_path / "frames.tif"),
        drift=tmp_path / "drift.csv",
        title="A <title>",
        commands=["ds3d localize --model m"],
    )
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert done.megabytes < 10 and len(text) < 10e6
    links = Links()
    links.feed(text)
    assert links.found and all(link.startswith("data:") for link in links.found)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    assert "A &lt;title&gt;" in text and "made up &lt;here&gt;" in text and "ds3d localize --model m" in text
    assert len(re.findall(r"frame \d+: \d+ molecules", text)) == 3
    assert 'alt="drift"' in text and 'alt="resolution"' in text and "tensorflow" in text
    with pytest.raises(InputError, match="exists"):
        report(table, tmp_path / "report.html")
    with pytest.raises(InputError, match=r"a page's name ends in \.html"):
        report(table, tmp_path / "report.pdf")


@pytest.mark.skipif(not BROWSER, reason="needs a browser")
def test_in_a_browser(tmp_path, table):
    report(table, tmp_path / "report.html")
    page, console = in_browser(tmp_path / "report.html", tmp_path)
    assert console == []
    assert 'data-ready="yes"' in page
    lit = {name: int(re.search(rf'data-{name}="(\d+)"', page)[1]) for name in ("picture", "scatter")}
    assert min(lit.values()) > 3000
    # The same look finds a page that is broken.
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "broken.html").write_text(text.replace("atob(", "nothing("), encoding="utf-8")
    page, console = in_browser(tmp_path / "broken.html", tmp_path)
    assert console and 'data-ready="yes"' not in page


def test_two_dimensions(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x [nm],y [nm]\n1,100,200\n2,300,900\n")
    report(tmp_path / "a.csv", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert 'id="picture"' in text and 'id="scatter"' not in text


def test_large_pictures_are_made_smaller(monkeypatch, make_molecules):
    rng = np.random.default_rng(0)
    made = make_molecules(1, rng.uniform(0, 7000, (30000, 3)))
    monkeypatch.setattr("ds3d_tf.postprocessing.report.views.LARGEST_BYTES", 400_000)
    views = picture_views(made)
    assert sum(len(view.png) for view in views.values()) < 400_000 < LARGEST_BYTES
    assert views["xy"].pixel_nm > 10


def test_frames_are_explained_by_their_true_emitters(tmp_path, make_molecules):
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.setup import load_setup
    from ds3d_tf.simulation.stream import simulate_frames

    setup = load_setup("quickstart_voxel")
    simulated = simulate_frames(setup, 4, 0, 3)
    np.save(tmp_path / "frames.npy", simulated.frames)
    pixel_nm, (height, width) = 1000 * setup.optics.pixel_um, simulated.frames.shape[1:]
    origin = np.array([(width // 2 + 0.5) * pixel_nm, (height // 2 + 0.5) * pixel_nm, -1000 * setup.volume.z_min_um])
    xyz = (1000 * simulated.xyz_um + origin).reshape(-1, 3)
    source = open_frames(tmp_path / "frames.npy")
    mask_rad = load_mask(setup)
    true = frame_panels(source, make_molecules(np.repeat([1, 2, 3, 4], 3), xyz), pixel_nm, setup, mask_rad)
    away = frame_panels(source, make_molecules(np.repeat([1, 2, 3, 4], 3), xyz + 700), pixel_nm, setup, mask_rad)
    assert [panel.title for panel in true] == [f"frame {n}: 3 molecules" for n in (1, 2, 4)]
    for good, bad in zip(true, away, strict=True):
        assert good.explained > 0.6 > bad.explained and len(good.circles_px) == 3
