"""The model of known answers, loaded."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def model(model_folder):
    return tf.saved_model.load(str(model_folder))
