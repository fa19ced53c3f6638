"""What a training will cost on this machine: a few timed steps, before the first one that counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds3d_tf.setup import Setup
from ds3d_tf.training.examples import Examples

TIMED_STEPS = 12
# Frames that were made while the network was compiled wait for these steps.
_STEPS_BEFORE = 4
LONG_SECONDS = 86_400.0
_ENOUGH_SECONDS = 15.0


@dataclass(frozen=True)
class TrainingCost:
    """Expected cost of a whole training: seconds of a step, number of steps, and memory.

    Attributes:
        step_s: seconds of a training step, its frames included.
        validation_step_s: seconds of a validation step.
        steps: training steps of an epoch.
        validation_steps: validation steps of an epoch.
        epochs: at most.
        memory_gb: most memory of the process so far.
    """

    step_s: float
    validation_step_s: float
    steps: int
    validation_steps: int
    epochs: int
    memory_gb: float

    @property
    def seconds(self) -> float:
        """Seconds of all epochs."""
        return self.epochs * (self.steps * self.step_s + self.validation_steps * self.validation_step_s)

    def summary(self, setup: Setup) -> str:
        """Return what a person wants to know before it starts, a few lines."""
        lines = [
            f"this training takes about {duration(self.seconds)} here: {self.epochs} epochs of {self.steps} steps of "
            f"{setup.learning.batch_size} frames, {self.step_s:.2g} s a step; {self.memory_gb:.1f} GB of memory"
        ]
        if self.seconds <= LONG_SECONDS:
            return lines[0]
        volume, learning = setup.volume, setup.learning
        lines.append("note: that is more than a day; a GPU is many times faster. Smaller settings, on this machine:")
        half = (
            max(volume.height_px // 2, 2 * volume.margin_px + 1),
            max(volume.width_px // 2, 2 * volume.margin_px + 1),
        )
        pixels = half[0] * half[1] / (volume.height_px * volume.width_px)
        smaller = [
            (f"--set volume.height_px={half[0]} --set volume.width_px={half[1]}", pixels),
            (
                f"--set training_set.training_count={max(setup.training_set.training_count // 4, learning.batch_size)}",
                0.25,
            ),
            (f"--set learning.epochs={max(learning.epochs // 2, 1)}", 0.5),
        ]
        together = float(np.prod([share for _, share in smaller]))
        rows = [*smaller, ("all of them", together)]
        lines += [f"  {duration(share * self.seconds):>10}  {text}" for text, share in rows]
        return "\n".join(lines)


def estimate_cost(model: Any, data: Examples, setup: Setup) -> TrainingCost:
    """Time a few steps of a compiled network, and leave the network as it was.

    Args:
        model: the network, compiled.
        data: its batches, which are iterated anew.
        setup: its ``Setup``.
    """
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    before = [variable.numpy() for variable in variables]
    batches = iter(data.training.repeat())
    step_s = _seconds(lambda: model.train_on_batch(*next(batches)))
    checked = iter(data.validation.take(1).repeat())
    validation_step_s = _seconds(lambda: model.test_on_batch(*next(checked)))
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    model.reset_metrics()
    learning, section = setup.learning, setup.training_set
    validation_steps = -(-section.validation_count // learning.batch_size)
    return TrainingCost(step_s, validation_step_s, data.steps, validation_steps, learning.epochs, _most_memory_gb())


def duration(seconds: float) -> str:
    """Return a time as people say it: minutes, hours or days."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (2 * 86_400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.2g} {name}" if seconds / unit < 10 else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.2g} days" if seconds < 864_000 else f"{seconds / 86_400:.0f} days"


def _seconds(step: Any) -> float:
    """Return the mean seconds of a step, as long as there is time without the first ones, whose frames lay ready.

    The very first step, in which the network is compiled, never counts. The mean, for frames come in groups: most steps
    find one ready, some wait for the next group.
    """
    step()
    times: list[float] = []
    while len(times) < _STEPS_BEFORE + TIMED_STEPS and sum(times) < _ENOUGH_SECONDS:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    return float(np.mean(times[_STEPS_BEFORE:] if len(times) >= 2 * _STEPS_BEFORE else times))


def _most_memory_gb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
