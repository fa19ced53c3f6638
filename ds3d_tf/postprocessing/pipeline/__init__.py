"""From a recording to its report in steps that are done once: plan, state, following a recording."""

from ds3d_tf.common.faces import lazy_names

_HOMES = {
    "Plan": "plan",
    "RunState": "state",
    "follow": "watching",
    "read_plan": "plan",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
