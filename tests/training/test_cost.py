"""What a training costs is told before its first step, and the telling changes nothing."""

import numpy as np
import pytest

from ds3d_tf.model import LocalizationNet
from ds3d_tf.training import compile_network, examples
from ds3d_tf.training.cost import TrainingCost, duration, estimate_cost


def test_timed_steps_leave_the_network_as_it_was(tiny):
    model = LocalizationNet.from_setup(tiny)
    compile_network(model, tiny)
    model.optimizer.build(model.trainable_variables)
    before = [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]
    cost = estimate_cost(model, examples(tiny), tiny)
    after = [variable.numpy() for variable in [*model.variables, *model.optimizer.variables][: len(before)]]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert cost.steps == 4 and cost.validation_steps == 2 and cost.epochs == 3
    assert cost.step_s > 0 and cost.validation_step_s > 0 and 0.1 < cost.memory_gb < 100


def test_a_training_of_days_is_a_warning_with_smaller_settings(tiny):
    cost = TrainingCost(9.2, 3.0, 2250, 250, 50, 3.1)
    assert cost.seconds == pytest.approx(50 * (2250 * 9.2 + 250 * 3.0))
    text = cost.summary(tiny)
    assert "about 12 days here: 50 epochs of 2250 steps of 4 frames" in text
    assert "more than a day" in text and "--set learning.epochs=1" in text
    assert max(map(len, text.splitlines()[1:])) <= 110
    assert "more than a day" not in TrainingCost(0.01, 0.01, 100, 10, 5, 1.0).summary(tiny)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4, "4 s"), (75, "75 s"), (600, "10 min"), (9000, "2.5 h"), (400_000, "4.6 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
