"""A model as a package of the BioImage Model Zoo: what Fiji, napari and others open."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.file_names import CARD_FILE, MASK_FILE, SETUP_FILE
from ds3d_tf.common.files import temporary_folder, whole_file
from ds3d_tf.common.optional import require
from ds3d_tf.common.plotting import DEPTH_COLOUR_MAP
from ds3d_tf.export.plain_keras import INPUT, OUTPUT, plain_keras
from ds3d_tf.setup import Setup
from ds3d_tf.setup.sections import NormalizationSection

AUTHOR = "The ds3d-tf authors"
PAPER = (
    "Nehme, E. et al. DeepSTORM3D: dense 3D localization microscopy and PSF design by deep learning. "
    "Nature Methods 17, 734–740 (2020)"
)
PAPER_DOI = "10.1038/s41592-020-0853-5"
DOCUMENTATION_TEMPLATE = "bioimageio_readme.md"
# The package contains the test output, which has 16·D voxels per pixel.
_MAX_TEST_VOXELS = 6_000_000


def export_bioimageio(
    model: Any,
    setup: Setup,
    mask_rad: np.ndarray,
    out: str | Path,
    *,
    frames: Sequence[np.ndarray],
    run: str | Path | None = None,
    name: str | None = None,
) -> None:
    """Write a model package (zip): weights as SavedModel, ``.keras`` and HDF5, test data, documentation, citation.

    The model takes raw frames, which the package's preprocessing normalizes, and returns the confidence of an emitter
    in every voxel. It does not find peaks; ``setup.yaml`` and ``mask.npy`` are attached.

    Args:
        model: a ``LocalizationNet``.
        setup: its ``Setup``.
        mask_rad: float64 ``[N, N]`` (rows along y), rad: the phase mask it was trained with.
        out: file to write, ending in ``.zip``; whole or not at all.
        frames: float32 ``[H, W]`` each, raw counts: a crop of the first one is the test input.
        run: the model's folder, whose ``card.md`` goes into the documentation.
        name: of the model; None: the setup's.

    Raises InputError if the extra is not installed, the model or frames are unsuitable, or the file cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".zip":
        raise InputError(f"{argument('out')} {out}: expected a name that ends in .zip for bioimageio")
    require(f"{argument('to')} bioimageio", "bioimageio", "bioimageio.spec")
    from bioimageio.spec import save_bioimageio_package

    network = plain_keras(model)
    name = name or f"DeepSTORM3D {setup.name}"
    with temporary_folder(out) as folder:
        crop, volume = _test_data(network, setup, frames, int(model.receptive_radius_px))
        np.save(folder / "test_frame.npy", crop[np.newaxis, ..., np.newaxis])
        np.save(folder / "test_volume.npy", volume)
        _write_weights(network, model, folder)
        _write_cover(folder / "cover.png", crop, volume[0])
        (folder / "README.md").write_text(
            _documentation(name, setup, int(model.receptive_radius_px), run), encoding="utf-8"
        )
        setup.with_mask(mask_rad, MASK_FILE).save(folder / SETUP_FILE)
        description = _description(folder, name, setup, int(model.receptive_radius_px))
        with whole_file(out) as whole:
            shutil.move(save_bioimageio_package(description, output_path=folder / "package.zip"), whole)


def normalize_numpy(frames: np.ndarray, section: NormalizationSection) -> np.ndarray:
    """Return frames as the package's preprocessing gives them to the network.

    Args:
        frames: float32 ``[B, H, W]``, raw counts.
        section: the setup's normalization section.

    Returns:
        float32 ``[B, H, W]``, no unit.
    """
    if section.kind == "factors":
        return ((frames - section.subtract) / section.divide).astype(np.float32)
    lowest = frames.min(axis=(1, 2), keepdims=True)
    span = frames.max(axis=(1, 2), keepdims=True) - lowest
    return ((frames - lowest) / (span + 1e-6)).astype(np.float32)


def _min_side_px(receptive_radius_px: int) -> int:
    """Return the smallest side of an input of which something remains when the overlap is cut off on both sides."""
    return 2 * receptive_radius_px + 8


def _test_data(
    network: Any, setup: Setup, frames: Sequence[np.ndarray], receptive_radius_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop of the first frame, ``[H, W]`` raw counts, around its brightest pixel, and its volume."""
    if not len(frames):
        raise InputError("a package needs one frame or more for its test")
    frame = np.asarray(frames[0], np.float32)
    smallest = _min_side_px(receptive_radius_px)
    if min(frame.shape) < smallest:
        frame = np.pad(frame, [(0, max(smallest - size, 0)) for size in frame.shape], mode="reflect")
    largest = int((_MAX_TEST_VOXELS / (setup.volume.lateral_voxels**2 * setup.volume.depth_voxels)) ** 0.5)
    row, column = np.unravel_index(np.argmax(frame), frame.shape)
    edges = []
    for size, middle in zip(frame.shape, (row, column), strict=True):
        side = min(size, max(largest, smallest))
        first = int(np.clip(middle - side // 2, 0, size - side))
        edges.append(slice(first, first + side))
    crop = np.ascontiguousarray(frame[edges[0], edges[1]])
    normalized = normalize_numpy(crop[np.newaxis], setup.normalization)
    return crop, np.asarray(network(normalized[..., np.newaxis], training=False), np.float32)


def _write_weights(network: Any, model: Any, folder: Path) -> None:
    import keras
    import tensorflow as tf

    from ds3d_tf.export.fused_network import FusedNetwork

    network.save(folder / "weights.keras")
    keras.src.legacy.saving.legacy_h5_format.save_model_to_hdf5(network, str(folder / "weights.h5"))

    class Bundle(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = FusedNetwork(model)

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32, name=INPUT)], autograph=False)
        def predict(self, frame: tf.Tensor) -> dict[str, tf.Tensor]:
            return {OUTPUT: self.network(frame[..., 0])}

    bundle = Bundle()
    tf.saved_model.save(bundle, str(folder / "bundle"), signatures={"serving_default": bundle.predict})
    shutil.make_archive(str(folder / "saved_model_bundle"), "zip", folder / "bundle")


def _write_cover(path: Path, frame: np.ndarray, volume: np.ndarray) -> None:
    """Draw the frame beside its volume from above, coloured by depth where something is."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=100)
    left, right = figure.add_axes((0, 0, 0.5, 1)), figure.add_axes((0.5, 0, 0.5, 1))
    left.imshow(frame, cmap="gray")
    height = volume.max(axis=-1)
    depth = volume.argmax(axis=-1) / max(volume.shape[-1] - 1, 1)
    brightness = np.clip(height / max(float(height.max()), 1e-6), 0, 1)[..., np.newaxis]
    right.imshow(matplotlib.colormaps[DEPTH_COLOUR_MAP](depth)[..., :3] * np.sqrt(brightness))
    for axes in (left, right):
        axes.set_axis_off()
    figure.savefig(path)


def _documentation(name: str, setup: Setup, receptive_radius_px: int, run: str | Path | None) -> str:
    facts = {
        "name": name,
        "paper": f"{PAPER}, https://doi.org/{PAPER_DOI}",
        "input": INPUT,
        "output": OUTPUT,
        "smallest": _min_side_px(receptive_radius_px),
        "overlap": receptive_radius_px,
        "wavelength": f"{setup.optics.wavelength_um:g}",
        "na": f"{setup.optics.numerical_aperture:g}",
        "pixel_nm": f"{setup.optics.pixel_um * 1000:g}",
        "voxels": setup.volume.lateral_voxels,
        "depth": setup.volume.depth_voxels,
        "step_nm": f"{_step_nm(setup):.4g}",
        "z_min": f"{setup.volume.z_min_um:g}",
        "z_max": f"{setup.volume.z_max_um:g}",
        "largest": f"{setup.learning.scaling_factor:g}",
        "threshold": f"{setup.learning.peak_threshold:g}",
        "radius": setup.learning.peak_radius_voxels,
        "grid": setup.volume.grid,
    }
    if setup.normalization.kind == "factors":
        section = setup.normalization
        facts["normalization"] = f"it: (counts - {section.subtract:g}) / {section.divide:g}."
    else:
        facts["normalization"] = (
            "each frame from its smallest to its largest count; do so before cutting it into tiles."
        )
    text = Path(__file__).with_name(DOCUMENTATION_TEMPLATE).read_text(encoding="utf-8").format(**facts)
    card = None if run is None else Path(run) / CARD_FILE
    if card is not None and card.is_file():
        text += "\n" + re.sub(r"^#", "##", card.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return text


def _step_nm(setup: Setup) -> float:
    return (setup.volume.z_max_um - setup.volume.z_min_um) / setup.volume.depth_voxels * 1000


def _description(folder: Path, name: str, setup: Setup, receptive_radius_px: int) -> Any:
    """Return the package's ``ModelDescr`` of the files in ``folder``."""
    import keras
    import tensorflow as tf
    from bioimageio.spec.model import v0_5 as spec

    import ds3d_tf

    volume = setup.volume
    # Sizes follow from products and quotients of scales, rounded down: nanometres in binary fractions keep them exact.
    pixel_nm = round(setup.optics.pixel_um * 1000 * 2**20) / 2**20
    halo = setup.volume.lateral_voxels * receptive_radius_px
    smallest = spec.ParameterizedSize(min=_min_side_px(receptive_radius_px), step=1)

    def side(axis: str) -> Any:
        return spec.SpaceInputAxis(
            id=spec.AxisId(axis), size=smallest, unit="nanometer", scale=pixel_nm, concatenable=True
        )

    def fine_side(axis: str) -> Any:
        size = spec.SizeReference(tensor_id=spec.TensorId(INPUT), axis_id=spec.AxisId(axis))
        return spec.SpaceOutputAxisWithHalo(
            id=spec.AxisId(axis), size=size, halo=halo, unit="nanometer", scale=pixel_nm / setup.volume.lateral_voxels
        )

    if setup.normalization.kind == "factors":
        section = setup.normalization
        gain, offset = 1 / section.divide, -section.subtract / section.divide
        same = gain == 1 and offset == 0
        steps = [] if same else [spec.ScaleLinearDescr(kwargs=spec.ScaleLinearKwargs(gain=gain, offset=offset))]
    else:
        axes = [spec.AxisId("y"), spec.AxisId("x")]
        steps = [spec.ScaleRangeDescr(kwargs=spec.ScaleRangeKwargs(axes=axes, eps=1e-6))]
    counts = spec.IntervalOrRatioDataDescr(type="float32", range=(0.0, None))
    confidences = spec.IntervalOrRatioDataDescr(type="float32", range=(0.0, float(setup.learning.scaling_factor)))
    tensorflow_version = spec.Version(tf.__version__)
    author = spec.Author(name=AUTHOR)
    camera_files = sorted(path.name for path in folder.glob("camera_*.npy"))
    return spec.ModelDescr(
        name="".join(letter if letter.isalnum() or letter in "_+- ()" else " " for letter in name)[:128],
        description="3D localization of single molecules with an engineered point spread function (DeepSTORM3D)",
        authors=[author],
        cite=[spec.CiteEntry(text=PAPER, doi=spec.Doi(PAPER_DOI))],
        license=spec.LicenseId("MIT"),
        version=spec.Version(ds3d_tf.__version__.split("+")[0]),
        tags=["single-molecule-localization", "smlm", "psf-engineering", "3d", "fluorescence", "keras", "tensorflow"],
        documentation=spec.FileDescr(source=folder / "README.md"),
        covers=[spec.FileDescr(source=folder / "cover.png")],
        attachments=[spec.FileDescr(source=folder / file) for file in (SETUP_FILE, MASK_FILE, *camera_files)],
        inputs=[
            spec.InputTensorDescr(
                id=spec.TensorId(INPUT),
                description="camera frame, raw counts",
                axes=[
                    spec.BatchAxis(),
                    side("y"),
                    side("x"),
                    spec.ChannelAxis(channel_names=[spec.Identifier("camera")]),
                ],
                data=counts,
                preprocessing=[*steps],
                test_tensor=spec.FileDescr(source=folder / "test_frame.npy"),
            )
        ],
        outputs=[
            spec.OutputTensorDescr(
                id=spec.TensorId(OUTPUT),
                description="confidence of an emitter in every voxel",
                axes=[
                    spec.BatchAxis(),
                    fine_side("y"),
                    fine_side("x"),
                    spec.SpaceOutputAxis(
                        id=spec.AxisId("z"), size=volume.depth_voxels, unit="nanometer", scale=_step_nm(setup)
                    ),
                ],
                data=confidences,
                test_tensor=spec.FileDescr(source=folder / "test_volume.npy"),
            )
        ],
        weights=spec.WeightsDescr(
            keras_v3=spec.KerasV3WeightsDescr(
                source=folder / "weights.keras",
                keras_version=spec.Version(keras.__version__),
                backend=("tensorflow", tensorflow_version),
                comment="layers of Keras alone",
            ),
            keras_hdf5=spec.KerasHdf5WeightsDescr(
                source=folder / "weights.h5", tensorflow_version=tensorflow_version, parent="keras_v3"
            ),
            tensorflow_saved_model_bundle=spec.TensorflowSavedModelBundleWeightsDescr(
                source=folder / "saved_model_bundle.zip",
                tensorflow_version=tensorflow_version,
                parent="keras_v3",
                comment="batch normalizations folded into convolutions",
            ),
        ),
    )
