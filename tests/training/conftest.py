"""A setup so small that an epoch takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ds3d_tf.setup import Setup, load_setup


@pytest.fixture(scope="session")
def tiny(tiny_changes) -> Setup:
    """The tiny setup with one epoch more, and a schedule that looks at the loss."""
    more = ("learning.epochs=3", "learning.learning_rate=0.003", "learning.schedule=plateau")
    return load_setup("quickstart_voxel", [*tiny_changes, *more])


@pytest.fixture(scope="module")
def quick_fit() -> Iterator[pytest.MonkeyPatch]:
    """Trainings whose steps are not traced first, without curves and without matched scores."""
    from ds3d_tf.training import compile_network

    def compile_eagerly(model, setup) -> None:
        compile_network(model, setup)
        model.run_eagerly = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ds3d_tf.training.compile_network", compile_eagerly)
        patch.setattr("ds3d_tf.training.callbacks.curves.draw_history", lambda *arguments: None)
        score = {"matched_jaccard": 0.5}
        patch.setattr("ds3d_tf.training.matched_score.matched_score", lambda *arguments: lambda model: dict(score))
        yield patch
