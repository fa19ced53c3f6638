"""Rules that tie several fields of a Setup together."""

from __future__ import annotations

from ds3d_tf.setup.bounds import check_bounds
from ds3d_tf.setup.fft_grid import MAX_PIXEL_MISMATCH, fourier_period_px, light_outside_grid
from ds3d_tf.setup.sections import Sections
from ds3d_tf.setup.units import unlikely_units


def check_combinations(setup: Sections) -> list[str]:
    """Return one sentence for each combination of fields that cannot work; an empty list if all can."""
    # Other rules would only repeat in other words that a number is a thousand times too large.
    return check_bounds(setup) or unlikely_units(setup) or [*_optics(setup), *_volume(setup), *_numbers(setup)]


def _optics(setup: Sections) -> list[str]:
    optics, mask, volume = setup.optics, setup.mask, setup.volume
    problems = []
    if mask.size_px % 2 == 0:
        problems.append(f"mask.size_px: got {mask.size_px}, must be odd so that the mask has a centre pixel")
    if optics.numerical_aperture >= optics.n_oil:
        problems.append(
            f"optics.numerical_aperture: got {optics.numerical_aperture:g}, must be below optics.n_oil "
            f"({optics.n_oil:g}); an objective cannot collect steeper than its immersion allows"
        )
    if optics.magnification <= optics.numerical_aperture:
        problems.append(
            f"optics.magnification: got {optics.magnification:g}, must exceed the numerical aperture "
            f"({optics.numerical_aperture:g})"
        )
        return problems
    size = optics.fft_size_px
    grid = fourier_period_px(optics, mask.size_px)
    outside = light_outside_grid(optics, mask.size_px)
    if outside:
        problems.append(outside)
    elif abs(grid - size) / size > MAX_PIXEL_MISMATCH:
        problems.append(
            f"optics.fourier_grid: got rounded, but an FFT grid of {size:.2f} samples is needed and {grid:g} is the "
            f"nearest with this mask, so positions would be wrong by {abs(grid - size) / size:.2%}; set it to exact "
            f"(or optics.slm_pixel_um={optics.slm_pixel_um * size / grid:.4f}, with which it fits)"
        )
    if max(volume.height_px, volume.width_px) > grid:
        problems.append(
            f"volume.height_px, volume.width_px: got {volume.height_px}×{volume.width_px}, larger than the FFT grid of "
            f"{grid:.5g}×{grid:.5g} camera pixels; use smaller frames or a smaller optics.slm_pixel_um with a larger "
            "mask"
        )
    return problems


def _volume(setup: Sections) -> list[str]:
    volume = setup.volume
    problems = []
    if volume.z_min_um >= volume.z_max_um:
        problems.append(
            f"volume.z_min_um: got {volume.z_min_um:g}, must be below volume.z_max_um ({volume.z_max_um:g})"
        )
    smaller = min(volume.height_px, volume.width_px)
    if 2 * volume.margin_px >= smaller:
        problems.append(
            f"volume.margin_px: got {volume.margin_px}, leaves no pixel for emitters in a frame of "
            f"{volume.height_px}×{volume.width_px}; at most {(smaller - 1) // 2}"
        )
    if volume.lateral_voxels != 4 and volume.grid != "pixel_area":
        problems.append(
            f"volume.lateral_voxels: got {volume.lateral_voxels}, but the grid {volume.grid} is that of published "
            "weights, which have 4; set volume.grid=pixel_area"
        )
    return problems


def _numbers(setup: Sections) -> list[str]:
    emitters, signal, learning, training = setup.emitters, setup.signal, setup.learning, setup.training_set
    problems = []
    low, high = emitters.count_range
    if low >= high or high < 2:
        problems.append(
            f"emitters.count_range: got [{low}, {high}], counts are drawn from low to high - 1, so high must exceed "
            "low and be at least 2"
        )
    if signal.distribution == "gamma" and signal.label_threshold is None:
        problems.append(
            "signal.label_threshold: needed with signal.distribution=gamma, whose faintest emitters cannot be seen; "
            "0 labels them all"
        )
    if signal.distribution == "uniform" and signal.label_threshold is not None:
        problems.append(
            f"signal.label_threshold: got {signal.label_threshold:g}, used with signal.distribution=gamma only; "
            "set it to null"
        )
    if learning.peak_threshold >= learning.scaling_factor:
        problems.append(
            f"learning.peak_threshold: got {learning.peak_threshold:g}, must be below learning.scaling_factor "
            f"({learning.scaling_factor:g}), the network's largest output"
        )
    if emitters.photophysics == "blinking" and emitters.on_time_frames is None:
        problems.append(
            "emitters.on_time_frames: needed with emitters.photophysics=blinking; the mean time that a molecule is on, "
            "in frames, such as 2"
        )
    problems += _network(setup)
    for field in ("training_count", "validation_count"):
        count = getattr(training, field)
        if count < learning.batch_size:
            problems.append(
                f"training_set.{field}: got {count}, fewer than one batch (learning.batch_size {learning.batch_size})"
            )
    if setup.camera is not None and setup.read_noise.kind != "none":
        problems.append(
            f"read_noise.kind: got {setup.read_noise.kind}, must be none beside a section `camera`, which has the "
            "camera's own read noise and offset"
        )
    if setup.mask.learn and setup.read_noise.kind != "none" and setup.read_noise.baseline_range[0] < 0:
        problems.append(
            f"read_noise.baseline_range: got {list(setup.read_noise.baseline_range)}, must not be negative while "
            "a mask is learned; add an offset to baseline and frames"
        )
    return problems


def _network(setup: Sections) -> list[str]:
    learning, volume = setup.learning, setup.volume
    problems = []
    if learning.network == "pixel":
        if learning.scaling_factor != 1:
            problems.append(
                f"learning.scaling_factor: got {learning.scaling_factor:g}, must be 1 with learning.network=pixel, "
                "whose confidence is a probability"
            )
        if learning.context_frames > 1 and setup.emitters.photophysics == "none":
            problems.append(
                f"learning.context_frames: got {learning.context_frames}, needs emitters.photophysics=blinking; frames "
                "tell of one another only where molecules stay on"
            )
        if learning.context_frames > 1 and setup.training_set.folder is not None:
            problems.append(
                "training_set.folder: frames of a data set have no neighbours; set it to null, or "
                "learning.context_frames to 1"
            )
        if setup.mask.learn:
            problems.append("learning.network: got pixel, but a mask is learned with voxels only; set it to voxel")
        if learning.crop_px is not None and learning.crop_px > min(volume.height_px, volume.width_px):
            problems.append(
                f"learning.crop_px: got {learning.crop_px}, larger than frames of {volume.height_px}×"
                f"{volume.width_px}; set it to null for whole frames"
            )
        return problems
    for field, default in (("context_frames", 1), ("crop_px", None)):
        if getattr(learning, field) != default:
            problems.append(
                f"learning.{field}: got {getattr(learning, field)}, needs learning.network=pixel; the voxel "
                "network sees single, whole frames"
            )
    return problems
