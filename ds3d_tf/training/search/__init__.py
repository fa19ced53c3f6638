"""The search for better settings: plan, oracle, trials, workers, outcome."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "SearchPlan": "plan",
    "Tuned": "run",
    "build_oracle": "oracles",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
