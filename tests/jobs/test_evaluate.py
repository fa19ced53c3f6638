"""`ds3d evaluate`: metrics known by hand, files, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from ds3d_tf.common.errors import InputError
from ds3d_tf.evaluation.run import evaluate
from ds3d_tf.localization.tables.tables import read_table

FILES = [
    "by_depth.png",
    "by_emitter_number.png",
    "errors.png",
    "example_frames.png",
    "localizations.csv",
    "metrics.json",
    "truth.csv",
]


@pytest.fixture
def frames_and_truth(tmp_path):
    """Three frames of 20×26 pixels: two found with an offset, one missed, one too faint, one found that is none."""
    frames = np.full((3, 20, 26), 5, np.float32)
    for index, row, column, counts in ((0, 4, 7, 350), (0, 13, 20, 650), (2, 9, 9, 250)):
        frames[index, row, column] += counts
    tifffile.imwrite(tmp_path / "frames.tif", frames, photometric="minisblack")
    np.savez(tmp_path / "frames.npz", frames=frames)
    truth = [
        [1, (7 - 13) * 0.11 - 0.03, (4 - 10) * 0.11 + 0.04, 1.875, 9000],
        [1, (20 - 13) * 0.11, (13 - 10) * 0.11, 2.625 - 0.02, 9000],
        [1, 1.0, -0.5, 2.0, 7000],
        [1, 1.0, 0.5, 2.0, 5000],
        [2, 0.1, 0.1, 2.0, 5000],
    ]
    pd.DataFrame(truth, columns=["frame", "x_um", "y_um", "z_um", "photons"]).to_csv(
        tmp_path / "truth.csv", index=False
    )
    return tmp_path


@pytest.mark.parametrize("name", ["frames.tif", "frames.npz"])
def test_given_frames(model_folder, frames_and_truth, name):
    folder = frames_and_truth
    done = evaluate(
        model_folder, folder / "out", frames=folder / name, truth=folder / "truth.csv", label_threshold=6000
    )
    figures = json.loads((folder / "out" / "metrics.json").read_text())
    assert figures == json.loads(json.dumps(done.metrics))
    # The lone emitter of frame 2 is asked for although it is faint.
    assert (figures["emitters"], figures["localizations"], figures["matched"]) == (4, 3, 2)
    assert figures["jaccard"] == pytest.approx(2 / 5)
    assert figures["rmse_lateral_nm"] == pytest.approx(np.sqrt(50**2 / 2), abs=1e-3)
    assert figures["rmse_axial_nm"] == pytest.approx(np.sqrt(20**2 / 2), abs=1e-3)
    assert figures["bias_x_nm"] == pytest.approx(15, abs=1e-3)
    assert sorted(path.name for path in (folder / "out").iterdir() if path.name != ".ds3d.json") == FILES
    assert pd.read_csv(folder / "out" / "truth.csv")["labelled"].tolist() == [1, 1, 1, 0, 1]
    assert read_table(folder / "out" / "localizations.csv")["frame"].tolist() == [1, 1, 3]
    # The truth as written, in the coordinates of tables, says the same.
    again = evaluate(
        model_folder, folder / "again", frames=folder / name, truth=folder / "out" / "truth.csv", label_threshold=6000
    ).metrics
    for key in ("matched", "jaccard", "rmse_lateral_nm", "rmse_axial_nm", "bias_x_nm"):
        assert again[key] == pytest.approx(done.metrics[key], abs=2e-3)


def test_a_truth_in_another_unit_is_refused(model_folder, frames_and_truth):
    folder = frames_and_truth
    table = pd.read_csv(folder / "truth.csv")
    table[["x_um", "y_um", "z_um"]] *= 1000
    table.to_csv(folder / "nm.csv", index=False)
    with pytest.raises(InputError, match=r"nm\.csv: .* the positions look like nm: multiply them by 0\.001"):
        evaluate(model_folder, folder / "nm", frames=folder / "frames.tif", truth=folder / "nm.csv")


def test_thresholds(model_folder, frames_and_truth):
    folder = frames_and_truth
    given = {"frames": folder / "frames.tif", "truth": folder / "truth.csv", "overwrite": True}
    assert evaluate(model_folder, folder / "out", **given).metrics["emitters"] == 5
    assert evaluate(model_folder, folder / "out", label_threshold=8000, **given).metrics["emitters"] == 3
    assert evaluate(model_folder, folder / "out", threshold=300, **given).metrics["localizations"] == 2
    assert evaluate(model_folder, folder / "out", tolerance_nm=30, **given).metrics["matched"] == 1


def test_fresh_frames_by_command(ds3d, exported, tmp_path):
    """The seed makes them repeat; the setup and mask are the model's own."""
    model = exported(
        **{
            "volume.height_px": 24,
            "volume.width_px": 30,
            "volume.margin_px": 4,
            "emitters.count_range": [0, 4],
        }
    )

    def run(name, *more):
        done = ds3d("evaluate", "--model", model, "--count", 12, "--out", tmp_path / name, *more)
        assert done.returncode == 0, done.stderr
        assert "Jaccard" in done.stderr and "12/12" in done.stderr
        return pd.read_csv(tmp_path / name / "truth.csv"), json.loads((tmp_path / name / "metrics.json").read_text())

    first, figures = run("a", "--seed", "3")
    assert figures["frames"] == 12 and figures["emitters"] == len(first) and "seed 3" in figures["data"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir() if path.name != ".ds3d.json") == FILES
    fixed, _ = run("b", "--seed", "3", "--emitters", "2")
    assert fixed.groupby("frame").size().tolist() == [2] * 12
    again = evaluate(model, tmp_path / "c", count=12, seed=3)
    pd.testing.assert_frame_equal(pd.read_csv(again.folder / "truth.csv"), first)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"frames": "frames.tif"}, "frames also needs truth"),
        ({"truth": "truth.csv"}, "truth also needs frames"),
        ({"count": 0}, "count 0"),
        ({"emitter_count": -1}, "emitter_count -1"),
        ({"tolerance_nm": 0.0}, "tolerance_nm 0"),
        ({"label_threshold": -5.0}, "label_threshold -5"),
        ({"threshold": 900.0}, "threshold 900"),
        ({"model": "nowhere"}, "no such model folder"),
        ({"frames": "frames.tif", "truth": "nothing.csv"}, "nothing.csv: no such file"),
        ({"frames": "nothing.tif", "truth": "truth.csv"}, "nothing.tif: no such file"),
        ({"frames": "frames.tif", "truth": "short.csv"}, "frame 9, but the recording has frames 1 to 3"),
        ({"out": "taken"}, "was not written by `ds3d evaluate`"),
    ],
)
def test_mistakes_give_one_line_and_leave_nothing(model_folder, frames_and_truth, options, expected):
    folder = frames_and_truth
    (folder / "short.csv").write_text("frame,x_um,y_um,z_um,photons\n9,0,0,0,1\n")
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.txt").write_text("years of work")
    before = sorted(folder.rglob("*"))
    paths = {key: folder / value for key, value in options.items() if isinstance(value, str)}
    arguments = {"model": model_folder, "out": folder / "out", "overwrite": "out" in options, **options, **paths}
    with pytest.raises(InputError, match=expected) as caught:
        evaluate(**arguments)
    assert "\n" not in str(caught.value)
    assert sorted(folder.rglob("*")) == before


def test_published_weights_on_simulated_frames(data, tmp_path):
    """One frame of each emitter number: as good as the reference's localizations, and unbiased."""
    pytest.importorskip("torch")
    from ds3d_tf.evaluation.comparison import compare
    from ds3d_tf.evaluation.metrics import metrics
    from ds3d_tf.evaluation.truth import read_truth
    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.model.torch_weights import network_from_state, read_state
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.setup import load_setup

    setup = load_setup("demo3")
    network = network_from_state(read_state(data / "weights" / "tetrapod_telomere_demo3.pkl"))
    export_saved_model(network, setup, load_mask(setup), tmp_path / "model")
    chosen = [2, 5, 8, 11, 14]
    numbers = {frame: place for place, frame in enumerate(chosen, start=1)}
    np.savez(
        tmp_path / "frames.npz", frames=np.load(data / "simulated" / "sim_demo3.npz")["frames"][np.array(chosen) - 1]
    )
    tables = {}
    for name in ("truth", "reference"):
        table = pd.read_csv(data / "simulated" / f"sim_demo3_{name}.csv")
        table = table[table["frame"].isin(chosen)]
        tables[name] = table.assign(frame=table["frame"].map(numbers))
    tables["truth"].to_csv(tmp_path / "truth.csv", index=False)
    figures = evaluate(
        tmp_path / "model", tmp_path / "out", frames=tmp_path / "frames.npz", truth=tmp_path / "truth.csv"
    ).metrics

    truths = read_truth(tmp_path / "truth.csv", 5, None)
    reference = [rows[["x_um", "y_um", "z_um"]].to_numpy() for _, rows in tables["reference"].groupby("frame")]
    expected = metrics(compare([truth.targets_um for truth in truths], reference))
    assert expected["matched"] > 50
    assert figures["jaccard"] >= expected["jaccard"] - 0.005
    assert figures["rmse_lateral_nm"] == pytest.approx(expected["rmse_lateral_nm"], abs=0.5)
    assert figures["rmse_axial_nm"] == pytest.approx(expected["rmse_axial_nm"], abs=0.5)
    assert max(abs(figures[f"bias_{axis}_nm"]) for axis in "xyz") < 6


def test_refined_frames_are_judged_by_the_bound_and_by_their_uncertainties(tmp_path: Path) -> None:
    alone = evaluate("tetrapod_4um", tmp_path / "alone", count=6, seed=5)
    done = evaluate("tetrapod_4um", tmp_path / "refined", count=6, seed=5, refine=True)
    values = done.metrics
    assert values["refined"] and not alone.metrics["refined"] and "rmse_over_bound_lateral" not in alone.metrics
    # The same frames: refinement finds more of the emitters, and places them better.
    assert values["emitters"] == alone.metrics["emitters"] and values["jaccard"] > alone.metrics["jaccard"]
    assert values["rmse_lateral_nm"] < alone.metrics["rmse_lateral_nm"]
    assert 0.5 < values["rmse_over_bound_lateral"] < 2 and "RMSE ÷ bound" in done.summary()
    table = read_table(done.folder / "localizations.csv")
    assert len(table) == values["localizations"] and table["frame"].max() <= 6
    truth = pd.read_csv(done.folder / "truth.csv")
    # Bright emitters over a low background: their photons are known to a few percent.
    assert table["intensity [photon]"].sum() == pytest.approx(truth["photons"].sum(), rel=0.1)
    assert (done.folder / "refinement.png").stat().st_size > 20_000
