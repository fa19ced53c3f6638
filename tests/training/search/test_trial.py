"""One trial with a real, tiny network."""

from __future__ import annotations

import pandas as pd
import pytest

from ds3d_tf.training import examples
from ds3d_tf.training.search.search import TrialFailed
from ds3d_tf.training.search.trial import judged_frames, train_trial

pytestmark = pytest.mark.usefixtures("quick_fit")


@pytest.fixture
def base(tiny):
    counts = {"training_set.training_count": 4, "training_set.validation_count": 4}
    return tiny.replace({**counts, "learning.epochs": 2})


@pytest.mark.slow
def test_a_trial_continues_another(base, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    values = {"learning.filters": 2, "learning.scaling_factor": 400.0}
    figures = train_trial(base, first, values, epochs=1, keep_checkpoint=True, show_progress=False)
    assert figures["epoch"] == 1 and {"val_loss", "matched_jaccard"} <= set(figures)
    train_trial(base, second, values, previous=first, epochs=2, show_progress=False)
    history = pd.read_csv(second / "run" / "history.csv")
    assert list(history.epoch) == [1, 2]
    assert history.val_loss[0] == pytest.approx(figures["val_loss"], rel=1e-6)
    # The checkpoint is deleted if no other trial continues this one.
    kept = {path.name for path in (second / "run").iterdir()}
    assert "model.keras" in kept and "checkpoint.npz" not in kept


def test_a_trial_on_other_frames_is_judged_on_the_base_s(base):
    own = examples(base).validation
    assert judged_frames(base, base.replace({"learning.filters": 2}), own) is own
    changes = {"emitters.count_range": (1, 12), "normalization.divide": 50.0, "learning.batch_size": 2}
    frames, emitters = next(iter(own))
    others, same_emitters = next(iter(judged_frames(base, base.replace(changes), own)))
    assert (emitters.numpy()[:2] == same_emitters.numpy()).all()
    assert others.numpy() * 50 == pytest.approx(frames.numpy()[:2] * base.normalization.divide, rel=1e-5)


def test_failures_have_a_reason(base, tmp_path):
    with pytest.raises(TrialFailed, match=r"loss is .* in epoch 1"):
        train_trial(base, tmp_path / "a", {"learning.learning_rate": 1e6}, show_progress=False)
    with pytest.raises(TrialFailed, match="fewer than one batch"):
        train_trial(base, tmp_path / "b", {"learning.batch_size": 64}, show_progress=False)
