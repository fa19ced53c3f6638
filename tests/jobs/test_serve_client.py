"""`ds3d serve-client`: the table of `ds3d localize`, whatever happens to the server."""

import functools
import threading
import time

import numpy as np
import pytest
import tifffile

from ds3d_tf.common import InputError
from ds3d_tf.export.saved_model import export_saved_model
from ds3d_tf.jobs.localize import localize as localize_job
from ds3d_tf.jobs.serve_client import serve_client as serve_client_job
from ds3d_tf.model.files import load_model_folder

# The network alone: its answers are known by hand.
localize = functools.partial(localize_job, refine=False)
serve_client = functools.partial(serve_client_job, refine=False)

FRAMES, SHAPE = 500, (60, 61)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    rng = np.random.default_rng(0)
    frames = np.full((FRAMES, *SHAPE), 5, np.uint16)
    for frame in frames:
        for _ in range(rng.integers(0, 5)):
            frame[rng.integers(0, SHAPE[0]), rng.integers(0, SHAPE[1])] += rng.integers(1, 8) * 100 + 50
    path = tmp_path_factory.mktemp("recording") / "frames.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def expected(recording, model_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "table.csv"
    localize(model_folder, recording, out)
    return out.read_bytes()


def wait_for(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.mark.slow
def test_a_server_killed_and_restarted_costs_nothing_but_time(
    start_server, recording, expected, model_folder, tmp_path, monkeypatch, capsys
):
    """Killed once while the client waits for it, and once for longer than it is patient."""
    monkeypatch.setenv("DS3D_SECONDS_BETWEEN_CHUNKS", "0")
    out, partial = tmp_path / "table.csv", tmp_path / "table.partial.json"
    server = start_server(model_folder)
    address = f"127.0.0.1:{server.grpc}"
    raised = []

    def impatient():
        try:
            serve_client(address, "bright", recording, out, patience_s=0.5, in_flight=2)
        except InputError as error:
            raised.append(str(error))

    client = threading.Thread(target=impatient)
    client.start()
    wait_for(partial.exists)
    server.kill()
    client.join(timeout=60)
    assert len(raised) == 1 and "no success within 0.5 s" in raised[0], raised
    assert "frames before it are kept; run the same command again to resume" in raised[0] and "damaged" not in raised[0]
    assert not out.exists()

    server = start_server(model_folder, ports=(server.grpc, server.rest))
    done = []
    client = threading.Thread(target=lambda: done.append(serve_client(address, "bright", recording, out, in_flight=2)))
    before = partial.read_text()
    client.start()
    wait_for(lambda: not partial.exists() or partial.read_text() != before)
    server.kill()
    server.wait()
    time.sleep(1)
    assert client.is_alive(), "the server was killed too late"
    start_server(model_folder, ports=(server.grpc, server.rest))
    client.join(timeout=120)
    assert done and done[0].frames == FRAMES and done[0].resumed_at > 0
    assert out.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    told = capsys.readouterr().err
    assert "retrying for up to 300 s" in told and "answers again" in told


def test_the_command_over_rest(ds3d, server, recording, model_folder, tmp_path):
    short = tmp_path / "frames.npy"
    frames = tifffile.imread(recording)[:12].astype(np.float32)
    frames[5, 3, 3] = np.nan
    np.save(short, frames)
    local = localize(model_folder, short, tmp_path / "local.csv", threshold=80.0, radius_voxels=9, skip_damaged=True)
    where = ["--server", f"http://127.0.0.1:{server.rest}", "--model", "bright"]
    files = ["--frames", short, "--out", tmp_path / "remote.csv"]
    done = ds3d("serve-client", "--no-refine", *where, *files, "--threshold", 80, "--radius", 9, "--skip-damaged")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "remote.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()
    assert f"{local.localizations} localizations in 12 frames" in done.stderr
    assert (tmp_path / "remote.log").read_text() == (tmp_path / "local.log").read_text()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"server": "ftp://x"}, "server ftp://x: expected host:port"),
        ({"server": "127.0.0.1:9", "patience_s": 0.3}, r"127\.0\.0\.1:9: no success within 0\.3 s \(.*connect"),
        ({"model": "dark"}, "no model 'dark'; this server has bright"),
        ({"version": 1}, "has version 3 now"),
        ({"threshold": 900.0}, "threshold 900: expected a confidence"),
        ({"in_flight": 0}, "in_flight 0: expected 1 or more"),
        ({"timeout_s": 0}, "timeout_s 0: expected more than 0"),
        ({"out": "table.txt"}, "a table's name ends in"),
        ({"root_certificates": "none.pem"}, "root_certificates none.pem: no such file"),
    ],
)
def test_mistakes(server, recording, tmp_path, changes, expected):
    given = {"server": f"127.0.0.1:{server.grpc}", "model": "bright", "frames": recording, "out": "a.csv", **changes}
    with pytest.raises(InputError, match=expected) as caught:
        serve_client(**{**given, "out": tmp_path / given["out"]})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_client_refines_what_the_server_finds(start_server, repository, tmp_path):
    """The mask comes with the served model: the table is that of the refined local one, byte for byte."""
    model = tmp_path / "model"
    network, setup, mask_rad = load_model_folder(repository / "exported_models" / "tetrapod_4um")
    export_saved_model(network, setup, mask_rad, model)
    frames = tifffile.imread(repository / "exported_models" / "tetrapod_4um" / "1" / "sample" / "frames.tif")[:3]
    tifffile.imwrite(tmp_path / "f.tif", frames, photometric="minisblack")
    localize_job(model, tmp_path / "f.tif", tmp_path / "local.csv")
    server = start_server(model)
    for name, address in (("grpc", f"127.0.0.1:{server.grpc}"), ("rest", f"http://127.0.0.1:{server.rest}")):
        serve_client_job(address, "bright", tmp_path / "f.tif", tmp_path / f"{name}.csv")
        assert (tmp_path / f"{name}.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()
    assert "uncertainty_z [nm]" in (tmp_path / "local.csv").read_text().splitlines()[0]
