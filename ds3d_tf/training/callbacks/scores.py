"""Metrics that need localizations, computed at the end of each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

Score = Callable[[Any], dict[str, float]]


class MatchedScores(keras.callbacks.Callback):
    """Adds to the logs of each epoch what ``score(model)`` returns, such as ``matched_jaccard``."""

    def __init__(self, score: Score) -> None:
        super().__init__()
        self.score = score

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compute the scores; callbacks that come later see them in the logs."""
        if logs is not None:
            logs.update(self.score(self.model))
