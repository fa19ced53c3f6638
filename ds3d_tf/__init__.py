"""3D single-molecule localization microscopy with engineered point spread functions, in TensorFlow and Keras.

``import ds3d_tf as ds`` gives the names a user needs; each is imported when it is first asked for. The rooms, in the
order of the data's path:

- ``setup``: one checked description of an experiment
- ``optics``: pupil, phase masks, renderers, Cramér–Rao bounds, mask design
- ``simulation``: emitters, background, camera, streams of training examples
- ``model``: networks, loss, metrics, import of published weights
- ``localization``: recordings, engines that run a model, peaks, tables
- ``refinement``: joint maximum likelihood of all emitters of a frame
- ``evaluation``: matching with the truth, metrics, plots
- ``calibration``: from beads and raw recordings to a setup
- ``training``: fit, callbacks, several devices, search for better settings
- ``export``, ``serving``: models for other programs, and a server
- ``postprocessing``: from molecules to the picture: drift, groups, rendering, quality, report
- ``benchmark``: how fast the parts are
- ``jobs``, ``options``, ``cli``: one job a command, its options, and the program ``ds3d``
"""

import importlib
from typing import TYPE_CHECKING, Any

from ds3d_tf.common.faces import lazy_names
from ds3d_tf.common.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from ds3d_tf.jobs.design_mask import design_mask
    from ds3d_tf.jobs.estimate_noise import estimate_noise
    from ds3d_tf.jobs.evaluate import evaluate
    from ds3d_tf.jobs.export import export
    from ds3d_tf.jobs.localize import localize
    from ds3d_tf.jobs.prepare import prepare
    from ds3d_tf.jobs.render import render
    from ds3d_tf.jobs.retrieve_mask import retrieve_mask
    from ds3d_tf.jobs.simulate import simulate
    from ds3d_tf.jobs.train import train
    from ds3d_tf.jobs.tune import tune
    from ds3d_tf.localization.frames.source import open_frames
    from ds3d_tf.localization.localizations import Localizations
    from ds3d_tf.localization.localizer import Localizer
    from ds3d_tf.optics.masks import load_mask
    from ds3d_tf.refinement.frames import refine
    from ds3d_tf.setup.loading import load_setup
    from ds3d_tf.setup.setup import Setup

__version__ = "0.2.0"

_HOMES = {
    "Localizations": "localization.localizations",
    "Localizer": "localization.localizer",
    "Setup": "setup.setup",
    "design_mask": "jobs.design_mask",
    "estimate_noise": "jobs.estimate_noise",
    "evaluate": "jobs.evaluate",
    "load_mask": "optics.masks",
    "load_setup": "setup.loading",
    "localize": "jobs.localize",
    "open_frames": "localization.frames.source",
    "prepare": "jobs.prepare",
    "refine": "refinement.frames",
    "render": "jobs.render",
    "retrieve_mask": "jobs.retrieve_mask",
    "simulate": "jobs.simulate",
    "train": "jobs.train",
    "tune": "jobs.tune",
}
_lazy_name, _names = lazy_names(__name__, _HOMES)
__all__ = sorted([*_HOMES, "export"])


def __getattr__(name: str) -> Any:
    # The room and its job have one name: the room is a module that can be called.
    return importlib.import_module("ds3d_tf.export") if name == "export" else _lazy_name(name)


def __dir__() -> list[str]:
    return sorted({*_names(), *__all__})


quiet_tensorflow()
