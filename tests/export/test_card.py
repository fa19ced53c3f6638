"""The model card of runs that ended, were killed and resumed, and of imported models."""

from __future__ import annotations

import json

import pytest

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.machine import describe_machine
from ds3d_tf.export.card import card_text, write_card
from ds3d_tf.setup import load_setup
from ds3d_tf.training.run_folder.parts import begin_part, end_part, read_parts

METRICS = {
    "data": "200 simulated frames, seed 1",
    "threshold": 40.0,
    "tolerance_nm": 100.0,
    "frames": 200,
    "emitters": 900,
    "jaccard": 0.8512,
    "precision": 0.95,
    "recall": 0.89,
    "rmse_lateral_nm": 21.26,
    "rmse_axial_nm": None,
    "bias_x_nm": 1.0,
    "bias_y_nm": -2.04,
    "bias_z_nm": None,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "setup.yaml").write_text(load_setup("demo1").to_yaml(), encoding="utf-8")
    return tmp_path


def sections(text: str) -> dict[str, str]:
    first, *rest = text.split("\n## ")
    return {"head": first, **{part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in rest}}


def test_an_imported_model(folder):
    write_card(folder)
    card = sections((folder / "card.md").read_text(encoding="utf-8"))
    assert list(card) == ["head", "Use", "Metrics", "Microscope", "Training data", "Training", "Limits"]
    assert card["head"].startswith("# demo1\n") and "between 0 and 4 µm" in card["head"]
    assert "110 nm" in card["Use"] and "Not evaluated yet" in card["Metrics"]
    assert "The weights were imported" in card["Training"]
    # 34 emitters on 81 pixels of 0.11 µm a side, fewer than 6000 photons unlabelled.
    assert "up to 34 emitters on 8.91 × 8.91 µm, 0.43 per µm²" in card["Limits"]
    assert "6000 photons" in card["Limits"] and "Gamma, shape 3, scale 3000" in card["Training data"]


def test_a_run_that_was_killed_and_resumed(folder):
    begin_part(folder, 0, describe_machine())
    begin_part(folder, 1, {**describe_machine(), "devices": ["A GPU"]})
    end_part(folder, "interrupted", 3)
    (folder / "history.csv").write_text("epoch,loss,val_loss,seconds\n1,3,2,100\n2,2,1,100\n3,1,1.5,4000\n")
    group = {**METRICS, "emitters_from": 1, "emitters_to": 1, "frames": 12}
    (folder / "evaluation").mkdir()
    metrics = {**METRICS, "by_emitter_number": [group, {**group, "emitters_to": 5}]}
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    card = sections(card_text(folder))
    assert "| all 200 | 900 | 0.851 | 0.950 | 0.890 | 21.3 | – |" in card["Metrics"]
    assert "| 12 with 1 emitter |" in card["Metrics"] and "| 12 with 1–5 emitters |" in card["Metrics"]
    assert "+1.0, -2.0, – nm" in card["Metrics"]
    # 4200 s in all parts together.
    assert "| time | 70.0 min" in card["Training"]
    assert (
        "| epochs | 3 of at most 50 |" in card["Training"]
        and "| best epoch | 2, validation loss 1 |" in card["Training"]
    )
    assert "Trained in 2 parts, resumed once:" in card["Training"]
    first, second = card["Training"].strip().splitlines()[-2:]
    assert "from the start, killed" in first and "A GPU" not in first
    assert "after epoch 1, until" in second and "epoch 3: interrupted" in second and "A GPU" in second
    assert f"keras {describe_machine()['versions']['keras']}" in second


def test_a_run_under_way_that_began_elsewhere(folder):
    setup = load_setup("demo1", ["resuming.checkpoint=/home/someone/runs/first", "resuming.frozen_layers=[features_*]"])
    (folder / "setup.yaml").write_text(setup.to_yaml(), encoding="utf-8")
    begin_part(folder, 0, describe_machine())
    text = card_text(folder)
    assert "under way" in text and "| started from | first |" in text and "| frozen layers | features_* |" in text
    assert "someone" not in text, "nobody needs the folders of another machine"


def test_the_record_of_an_earlier_version_is_read(folder):
    begin_part(folder, 0, describe_machine())
    (folder / "parts.json").rename(folder / "stretches.json")
    assert len(read_parts(folder)) == 1
    end_part(folder, "finished", 2)
    assert [one["epochs"] for one in read_parts(folder)] == [2] and not (folder / "stretches.json").exists()


def test_every_preset_has_a_card(tmp_path):
    for name in ("quickstart_voxel", "demo3", "demo5"):
        (tmp_path / "setup.yaml").write_text(load_setup(name).to_yaml(), encoding="utf-8")
        assert f"# {name}\n" in card_text(tmp_path)


def test_damaged_records_are_as_good_as_none(folder):
    (folder / "parts.json").write_text("[{")
    (folder / "history.csv").write_text("epoch,val_loss\nx,y\n")
    assert read_parts(folder) == []
    assert "The weights were imported" in card_text(folder)
    with pytest.raises(InputError, match="cannot read the setup"):
        card_text(folder / "nowhere")
