"""The job of `ds3d export`: a trained model in a format for others, checked before it is written."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.files import refuse_existing, whole_files, whole_folder
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.progress import Progress, no_progress
from ds3d_tf.common.shipped import find_model
from ds3d_tf.common.versions import next_version
from ds3d_tf.options import ExportOptions
from ds3d_tf.options.use import ExportFormat

if TYPE_CHECKING:
    from ds3d_tf.export.agreement import Agreement
    from ds3d_tf.localization.localizer import Localizer
    from ds3d_tf.setup import Setup

ENDINGS = {"tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}
FORMATS = get_args(ExportFormat)
# Smallest share of localizations, within a distance in nm of the Keras model's.
BARS = {"float32": (0.999, 0.5), "float16": (0.99, 5.0)}
SEED = 2020
AGREEMENT_FILE, SAMPLE_FOLDER = "agreement.json", "sample"
# What a run folder may hold that a user of the model wants to see.
_COMPANIONS = ("card.md", "history.csv", "evaluation/metrics.json")


@dataclass(frozen=True)
class Exported:
    """What was written: its place, size and agreement with the Keras model."""

    path: Path
    format: str
    weights: str
    megabytes: float
    agreement: Agreement

    def summary(self) -> str:
        """Return what a person wants to know about it, a few lines."""
        return f"{self.agreement.summary()}\n{self.format}, {self.weights}, {self.megabytes:.2f} MB: {self.path}"


@takes_options(ExportOptions)
def export(
    model: str | Path,
    to: ExportFormat,
    out: str | Path,
    options: ExportOptions,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Exported:
    """Write a model in another format if its localizations are the Keras model's.

    Args:
        model: a run folder, the folder of imported weights, a folder of numbered versions, or a shipped model's name.
        to: "saved_model" (a new version in the folder ``out``), "tflite", "onnx", "openvino" or "bioimageio".
        out: folder or file to write.
        options: see :class:`~ds3d_tf.options.ExportOptions`; its fields may be given as keywords instead.
        overwrite: whether to replace an earlier file.
        progress: told how many frames are compared.

    Raises InputError for a model, recording, option or output that cannot be used, and if the exported model's
    localizations are not the Keras model's.
    """
    _check_options(to, options)
    out = _checked_output(to, Path(out), overwrite)

    from ds3d_tf.export.agreement import keras_localizer
    from ds3d_tf.model.files import find_model_folder, load_model_folder

    folder = find_model_folder(find_model(model))
    network, setup, mask_rad = load_model_folder(folder)
    recording = _first_frames(options, setup, options.check)
    reference = keras_localizer(network, setup, mask_rad, options.memory_gb)
    parts = _Parts(folder, network, setup, mask_rad, recording, reference, options.memory_gb, options.weights, progress)
    if to == "saved_model":
        return _versioned(parts, out, options)
    if to == "bioimageio":
        return _bioimageio(parts, out)
    return _network_file(parts, to, out, options.tile_px)


@dataclass(frozen=True, eq=False)
class _Parts:
    """What every format is made of and compared with."""

    run: Path
    model: Any
    setup: Setup
    mask_rad: np.ndarray
    frames: list[np.ndarray]
    reference: Localizer
    memory_gb: float
    weights: str
    progress: Progress

    def agreement(self, exported: str | Path | Localizer) -> Agreement:
        """Compare, and refuse what is too far away."""
        from ds3d_tf.export.agreement import measure_agreement
        from ds3d_tf.localization.localizer import Localizer

        localizer = exported if isinstance(exported, Localizer) else Localizer(exported, memory_gb=self.memory_gb)
        localizer.check_shape(self.frames[0].shape, argument("frames"))
        done = itertools.count(1)
        self.progress("comparing", 0, len(self.frames))
        result = measure_agreement(
            self.reference,
            localizer,
            self.frames,
            lambda: self.progress("comparing", next(done), len(self.frames)),
        )
        if self.weights in BARS:
            share, distance_nm = BARS[self.weights]
            if result.share(distance_nm) < share:
                raise InputError(
                    f"not written: only {result.share(distance_nm):.2%} of {result.localizations} localizations are "
                    f"within {distance_nm:g} nm of the Keras model's, expected {share:.1%} or more; "
                    f"{argument('check')} with more frames tells whether it is chance"
                )
        return result


def _network_file(parts: _Parts, to: str, out: Path, tile_px: tuple[int, int] | None) -> Exported:
    """Write one file, and its description, for another runtime."""
    from ds3d_tf.localization.engines import network_file as network_files

    write = _writer(to, parts.weights, tile_px)
    names = [*network_files.network_files(out), network_files.description_file(out)]
    with whole_files(names) as temporary:
        file = write(parts.model, parts.setup, parts.mask_rad, temporary / out.name)
        agreement = _timed(parts, file.path, parts.agreement(file.path))
        replace(file, agreement=agreement.facts()).write()
    return Exported(out, to, parts.weights, _megabytes(network_files.network_files(out)), agreement)


def _writer(to: str, weights: str, tile_px: tuple[int, int] | None) -> Callable[..., Any]:
    """Return the function of model, setup, mask and file that writes the format."""
    if to == "tflite":
        from ds3d_tf.export.tflite import export_tflite

        return partial(export_tflite, tile_px=tile_px, weights=weights)
    if to == "onnx":
        from ds3d_tf.export.onnx import export_onnx

        return export_onnx
    from ds3d_tf.export.openvino import export_openvino

    return export_openvino


def _timed(parts: _Parts, path: Path, agreement: Agreement) -> Agreement:
    """Add the time of the network beside that of the same network in TensorFlow."""
    import tensorflow as tf

    from ds3d_tf.export.agreement import side_by_side
    from ds3d_tf.export.portable import portable_network
    from ds3d_tf.localization.engines.network import open_network_engine

    engine = open_network_engine(path)
    volume = parts.setup.volume
    size = engine.size_px or (
        max(volume.height_px, engine.receptive_radius_px),
        max(volume.width_px, engine.receptive_radius_px),
    )
    frame = np.resize(parts.frames[0], size)[np.newaxis]
    ranges = np.array([[frame.min(), frame.max()]], np.float32)
    network = portable_network(parts.model, parts.setup)
    call = tf.function(lambda inputs: network(inputs, training=False))
    inputs = [tf.constant(frame), tf.constant(ranges)][: len(network.inputs)]
    seconds, tensorflow_seconds = side_by_side(lambda: engine.network(frame, ranges), lambda: call(inputs).numpy())
    return replace(agreement, seconds=seconds, tensorflow_seconds=tensorflow_seconds, timed_px=size)


def _versioned(parts: _Parts, out: Path, options: ExportOptions) -> Exported:
    """Write the next version: a SavedModel for servers, with what our tools and people want beside it."""
    from ds3d_tf.export.sample import write_sample
    from ds3d_tf.export.saved_model import export_saved_model
    from ds3d_tf.localization.localizer import Localizer
    from ds3d_tf.model.files import save_model_folder

    folder = next_version(out)
    with whole_folder(folder) as temporary:
        export_saved_model(parts.model, parts.setup, parts.mask_rad, temporary)
        agreement = parts.agreement(temporary)
        save_model_folder(temporary, parts.model, parts.setup, parts.mask_rad)
        (temporary / AGREEMENT_FILE).write_text(json.dumps(agreement.facts(), indent=1) + "\n", encoding="utf-8")
        for name in _COMPANIONS:
            if (parts.run / name).is_file():
                shutil.copyfile(parts.run / name, temporary / Path(name).name)
        if options.sample:
            localizer = Localizer(temporary, memory_gb=parts.memory_gb)
            given = None if options.frames is None else _first_frames(options, parts.setup, options.sample)
            write_sample(temporary / SAMPLE_FOLDER, localizer, given, count=options.sample, seed=SEED)
    return Exported(folder, "saved_model", "float32", _megabytes(folder.rglob("*")), agreement)


def _bioimageio(parts: _Parts, out: Path) -> Exported:
    """Write a package for the BioImage Model Zoo; compared is the network in Keras' own layers that is in it."""
    from ds3d_tf.export.agreement import keras_localizer
    from ds3d_tf.export.bioimageio import export_bioimageio
    from ds3d_tf.export.plain_keras import plain_keras

    plain = plain_keras(parts.model)
    localizer = keras_localizer(
        lambda frames, training: plain(frames[..., None], training=training),
        parts.setup,
        parts.mask_rad,
        parts.memory_gb,
        parts.model.receptive_radius_px,
    )
    agreement = parts.agreement(localizer)
    export_bioimageio(parts.model, parts.setup, parts.mask_rad, out, frames=parts.frames, run=parts.run)
    return Exported(out, "bioimageio", "float32", _megabytes([out]), agreement)


def _check_options(to: str, options: ExportOptions) -> None:
    if to not in FORMATS:
        raise InputError(f"{argument('to')} {to}: expected {', '.join(FORMATS)}")
    if to != "tflite" and options.weights != "float32":
        raise InputError(f"{argument('weights')} {options.weights}: only for tflite; {to} keeps float32")
    if to != "tflite" and options.tile_px is not None:
        raise InputError(f"{argument('tile_px')}: only for tflite; {to} takes frames of any size")


def _checked_output(to: str, out: Path, overwrite: bool) -> Path:
    """Return where to write, or refuse it before anything is computed."""
    if to == "saved_model":
        refuse_existing(out / "1", overwrite=True)
        if (out / "saved_model.pb").exists():
            raise InputError(f"{out} is a SavedModel, not a folder of numbered versions; choose another name")
        return out
    if to in ENDINGS and out.suffix.lower() != ENDINGS[to]:
        raise InputError(f"{argument('out')} {out}: expected a name that ends in {ENDINGS[to]} for {to}")
    return refuse_existing(out, overwrite)


def _first_frames(options: ExportOptions, setup: Setup, count: int) -> list[np.ndarray]:
    """Return float32 ``[H, W]`` raw frames: the first of a recording, or simulated ones."""
    if options.frames is None:
        from ds3d_tf.simulation.stream import simulate_frames

        return list(np.asarray(simulate_frames(setup, count, SEED).frames, np.float32))
    from ds3d_tf.localization.recording.opening import open_recording

    return [np.asarray(frame, np.float32) for frame in itertools.islice(open_recording(options.frames, options), count)]


def _megabytes(paths: Any) -> float:
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
