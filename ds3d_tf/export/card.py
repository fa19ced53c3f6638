"""The model card: what a network is for, what it learned from, how good it is, and where it ends."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import CARD_FILE, EVALUATION_FOLDER, HISTORY_FILE, METRICS_FILE, SETUP_FILE
from ds3d_tf.common.files import whole_file
from ds3d_tf.common.machine import describe_machine
from ds3d_tf.common.texts import load_json
from ds3d_tf.setup import Setup, load_setup
from ds3d_tf.setup.camera_section import CameraSection
from ds3d_tf.training.run_folder.parts import how_it_ended, read_parts


def write_card(folder: str | Path) -> None:
    """Write ``card.md`` into a run's or an imported model's folder, from the files that are there.

    Raises InputError if the folder has no setup, or the card cannot be written.
    """
    text = card_text(folder)
    with whole_file(Path(folder) / CARD_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def card_text(folder: str | Path) -> str:
    """Return the model card, Markdown, of a run's or an imported model's folder.

    It is made from ``setup.yaml`` and, if present, ``history.csv``, ``parts.json`` and ``evaluation/metrics.json``.

    Raises InputError if the folder has no setup.
    """
    folder = Path(folder)
    setup = load_setup(folder / SETUP_FILE)
    rows = _history(folder)
    sections = [
        f"# {setup.name}",
        _purpose(setup),
        "## Use",
        _use(setup),
        "## Metrics",
        _metrics(folder),
        "## Microscope",
        _table(("what", "value"), _microscope(setup)),
        "## Training data",
        _table(("what", "value"), _data(setup)),
        "## Training",
        _training(setup, rows, read_parts(folder)),
        "## Limits",
        _limits(setup),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _purpose(setup: Setup) -> str:
    volume = setup.volume
    return (
        f"A network that localizes single emitters in three dimensions{_separately(setup)}. The point spread "
        "function of the microscope depends on depth; z is found between "
        f"{volume.z_min_um:g} and {volume.z_max_um:g} µm above the coverslip. {_method(setup)} It was trained on "
        "simulated frames only."
    )


def _separately(setup: Setup) -> str:
    return ", in each frame separately" if setup.learning.context_frames == 1 else ", with the frames before and after"


def _method(setup: Setup) -> str:
    if setup.learning.network == "voxel":
        return "The method is that of DeepSTORM3D (Nehme et al., Nature Methods 2020)."
    return (
        "In every camera pixel the network tells whether an emitter is there, where, how bright, and how sure it is, "
        "as that of DECODE does (Speiser et al., Nature Methods 2021)."
    )


def _use(setup: Setup) -> str:
    pixel_nm = 1000 * setup.optics.pixel_um
    return (
        f"Frames of raw counts at gain 1, of any size, camera pixels of {pixel_nm:.4g} nm in the sample. With the "
        "folder of this card:\n\n"
        "```bash\nds3d localize --model FOLDER --frames recording.tif --out molecules.csv\n```\n\n"
        "or from Python\n\n```python\nimport ds3d_tf as ds\n\n"
        "found = ds.Localizer(FOLDER).localize(frames).to_dataframe()  # frame; x, y, z in nm; confidence\n```\n\n"
        f"The confidence of a localization lies between {setup.learning.peak_threshold:g} "
        f"(`learning.peak_threshold`) and {setup.learning.scaling_factor:g}. A higher threshold gives fewer and more "
        "reliable localizations."
    )


def _metrics(folder: Path) -> str:
    try:
        metrics = load_json(folder / EVALUATION_FOLDER / METRICS_FILE)
    except InputError:
        return "Not evaluated yet; run `ds3d evaluate --model FOLDER --out evaluation`."
    head = ("frames", "emitters", "Jaccard", "precision", "recall", "lateral RMSE (nm)", "axial RMSE (nm)")
    groups = [("all", metrics)]
    for group in metrics.get("by_emitter_number", []):
        low, high = group["emitters_from"], group["emitters_to"]
        groups.append((f"with {low} emitter{'s' if (low, high) != (1, 1) else ''}" if low == high else
                       f"with {low}–{high} emitters", group))  # fmt: skip
    lines = [
        (
            f"{name} {group['frames']}" if name == "all" else f"{group['frames']} {name}",
            group["emitters"],
            *(_number(group[key], ".3f") for key in ("jaccard", "precision", "recall")),
            *(_number(group[key], ".1f") for key in ("rmse_lateral_nm", "rmse_axial_nm")),
        )
        for name, group in groups
    ]
    bias = ", ".join(_number(metrics[f"bias_{axis}_nm"], "+.1f") for axis in "xyz")
    return (
        f"{metrics['data']}, threshold {metrics['threshold']:g}; pairs within {metrics['tolerance_nm']:g} nm "
        f"(Hungarian matching in 3D).\n\n{_table(head, lines)}\n\nMean error in x, y, z: {bias} nm."
    )


def _microscope(setup: Setup) -> list[tuple[str, Any]]:
    optics, volume, size = setup.optics, setup.volume, setup.mask.size_px
    polarized = "" if optics.model == "scalar" else f", polarization {optics.polarization}"
    return [
        ("phase mask", f"{size}×{size} SLM pixels of {optics.slm_pixel_um:g} µm (`mask.npy`)"),
        ("emission", f"{1000 * optics.wavelength_um:g} nm"),
        ("objective", f"NA {optics.numerical_aperture:g}, {optics.magnification:g}×, immersion {optics.n_oil:g}"),
        ("sample", f"refractive index {optics.n_water:g}"),
        ("focus", f"{volume.focus_um:g} µm above the coverslip"),
        ("camera pixel", f"{optics.camera_pixel_um:g} µm, {1000 * optics.pixel_um:.4g} nm in the sample"),
        ("model of the image", optics.model + polarized),
        ("blur", f"{_range(setup.blur.sigma_range_px)} camera pixels"),
    ]  # fmt: skip


def _camera(camera: CameraSection) -> str:
    def shown(value: float | str) -> str:
        return "a map" if isinstance(value, str) else f"{value:g}"

    em_gain = f", EM gain {camera.em_gain:g}" if camera.em_gain > 1 else ""
    return (
        f"σ {shown(camera.read_noise_electrons)} electrons, offset {shown(camera.offset_counts)} counts, "
        f"{shown(camera.counts_per_electron)} counts an electron{em_gain}, "
        f"quantum efficiency {camera.quantum_efficiency:g}"
    )


def _data(setup: Setup) -> list[tuple[str, Any]]:
    section, signal, noise = setup.training_set, setup.signal, setup.read_noise
    origin = f"data set {Path(section.folder).name}" if section.folder else "simulated during the training"
    if not section.folder:
        origin += ", new ones in every epoch" if section.fresh_each_epoch else ", the same in every epoch"
    if signal.distribution == "uniform":
        photons = f"uniform, {_range(signal.uniform_range)}"
    else:
        photons = f"Gamma, shape {signal.gamma_shape:g}, scale {signal.gamma_scale:g}"
    if signal.label_threshold:
        photons += f"; emitters of {signal.label_threshold:g} or fewer are not labelled"
    light = setup.background
    low, high = light.valley_peak
    background = f"{light.level:g}" if light.kind == "uniform" else f"uneven, {low:g} to {1.5 * high:g}"
    reading = "none"
    if noise.kind != "none":
        even = "" if noise.kind == "uniform" else "uneven, "
        reading = f"{even}σ {_range(noise.sigma_range)} counts, baseline {_range(noise.baseline_range)}"
    if setup.camera is not None:
        reading = _camera(setup.camera)
    normal = setup.normalization
    scale = (
        "each frame to [0, 1]" if normal.kind == "project_01" else f"(counts - {normal.subtract:g}) / {normal.divide:g}"
    )
    emitters, size = setup.emitters.count_range, f"{setup.volume.height_px}×{setup.volume.width_px}"
    return [
        ("frames", f"{size} pixels, {section.training_count} an epoch, {origin}"),
        ("validation frames", section.validation_count),
        ("emitters in a frame", f"{emitters[0]}–{emitters[1] - 1}"),
        ("photons of an emitter", photons),
        ("background", f"{background} counts a pixel"),
        ("read noise", reading),
        ("normalization", scale),
        ("seed", section.seed),
    ]  # fmt: skip


def _training(setup: Setup, rows: list[dict[str, float]], parts: list[dict[str, Any]]) -> str:
    learning, resuming = setup.learning, setup.resuming
    facts: list[tuple[str, Any]] = [("network", _network(setup))]
    if not rows and not parts:
        return (
            _table(("what", "value"), facts)
            + "\n\nThe weights were imported; how they were trained is not recorded here."
        )
    if resuming.checkpoint:
        fresh = f", layers {', '.join(resuming.fresh_layers)} re-initialised" if resuming.fresh_layers else ""
        facts.append(("started from", Path(resuming.checkpoint).name + fresh))
    if resuming.frozen_layers:
        facts.append(("frozen layers", ", ".join(resuming.frozen_layers)))
    kind = "AdamW" if learning.steps[1] else "Adam"
    part = "frames" if learning.crop_px is None else f"parts of {learning.crop_px}×{learning.crop_px} pixels"
    how = f"{kind}, {learning.batch_size} {part} a step, learning rate {learning.learning_rate:g} ({learning.schedule})"
    if learning.minutes is not None:
        facts.append(("length", f"{learning.minutes:g} minutes by the clock"))
    facts += [("optimizer", how), ("precision", learning.precision)]
    if rows:
        best = min(rows, key=lambda row: row["val_loss"])
        facts += [
            ("epochs", f"{len(rows)} of at most {max(learning.epochs, len(rows))}"),
            ("best epoch", f"{best['epoch']:g}, validation loss {best['val_loss']:.4g}"),
            ("time", _duration(sum(row["seconds"] for row in rows)) + " for the finished epochs, validation included"),
        ]
    text = _table(("what", "value"), facts)
    if parts:
        resumed = {1: "", 2: ", resumed once", 3: ", resumed twice"}.get(
            len(parts), f", resumed {len(parts) - 1} times"
        )
        text += f"\n\nTrained in {len(parts)} part{'s' if len(parts) > 1 else ''}{resumed}:\n\n"
        text += "\n".join(_part(one, last=one is parts[-1]) for one in parts)
    return text


def _network(setup: Setup) -> str:
    learning, volume = setup.learning, setup.volume
    if learning.network == "pixel":
        seen = "" if learning.context_frames == 1 else ", sees the frames before and after, too"
        return f"pixel network, {learning.filters} filters at full resolution{seen}"
    return (
        f"{learning.filters} filters, dilations up to {learning.max_dilation}, {volume.depth_voxels} depth voxels on "
        f"the {volume.grid.replace('_', '-')} grid, largest confidence {learning.scaling_factor:g}"
    )


def _part(part: dict[str, Any], last: bool) -> str:
    machine = part["machine"]
    devices = ", ".join(machine.get("devices", []))
    where = f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores"
    where += f", {devices}" if devices else ""
    versions = machine.get("versions", {})
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    after = f"after epoch {part['epochs_before']}" if part["epochs_before"] else "from the start"
    if "ended" in part:
        ended = how_it_ended(part["ended"])
        how = f"until {part['ended_at']} UTC, epoch {part['epochs']}: {ended}"
    else:
        how = "under way" if last else "killed"
    return f"- {part['begun']} UTC, {after}, {how}; on {where}; {names}"


def _limits(setup: Setup) -> str:
    volume, signal = setup.volume, setup.signal
    most = setup.emitters.count_range[1] - 1
    side_um = [
        (pixels - 2 * volume.margin_px) * setup.optics.pixel_um for pixels in (volume.height_px, volume.width_px)
    ]
    faint = signal.label_threshold
    if faint is None and signal.distribution == "uniform":
        faint = signal.uniform_range[0]
    lines = [
        "It is valid for the microscope above only. With another mask, focus, wavelength, pixel or refractive index, "
        "positions are biased or wrong, and no warning is given.",
        f"Emitters below {volume.z_min_um:g} or above {volume.z_max_um:g} µm are missed, or localized at a wrong z "
        "inside this range.",
        f"It was trained with up to {most} emitters on {side_um[0]:.3g} × {side_um[1]:.3g} µm, "
        f"{most / (side_um[0] * side_um[1]):.2g} per µm²; in denser frames it is less accurate.",
        "Background, noise and camera offset outside the ranges above reduce the precision and give false "
        "localizations; subtract constant light, and train with the values of your camera.",
        "The metrics above are of simulated frames. They hold for recordings only if the simulation is realistic; "
        "compare the regenerated frames (`ds3d localize --plots`) with yours.",
        "There is no drift correction and no linking of emitters over frames.",
    ]
    if faint:
        lines.insert(3, f"It was not trained to find emitters of fewer than about {faint:g} photons.")
    return "\n".join(f"- {line}" for line in lines)


def _history(folder: Path) -> list[dict[str, float]]:
    try:
        with open(folder / HISTORY_FILE, encoding="utf-8", newline="") as stream:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]
    except (OSError, ValueError):
        return []


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _range(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g}–{pair[1]:g}" if pair[0] != pair[1] else f"{pair[0]:g}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def this_machine() -> dict[str, Any]:
    """Return what ``describe_machine`` says, with the names of the accelerators that TensorFlow sees as ``devices``."""
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    devices = tf.config.list_physical_devices("GPU")
    return {**describe_machine(), "devices": [details(one).get("device_name", one.name) for one in devices]}
