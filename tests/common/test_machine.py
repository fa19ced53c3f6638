"""Facts about the machine."""

import json

import numpy as np

from ds3d_tf.common.machine import describe_machine, peak_memory_gb


def test_facts_go_into_json():
    facts = json.loads(json.dumps(describe_machine()))
    assert facts["cores"] >= 1 and facts["memory_gb"] > 0.5 and facts["versions"]["numpy"] == np.__version__


def test_peak_memory_grows_and_stays():
    before = peak_memory_gb()
    held = np.ones(40_000_000)
    assert held.sum() == 4e7
    del held
    assert max(before, 0.32) <= peak_memory_gb() < before + 1
