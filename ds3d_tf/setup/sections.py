"""The thirteen sections of a Setup: one frozen, validated pydantic model each.

Lengths are in µm, lateral sizes in camera pixels where the name ends in ``_px``, signal in counts
(photons at gain 1). Rules that tie several sections together live in :mod:`ds3d_tf.setup.checks`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ds3d_tf.setup.camera_section import CameraSection
from ds3d_tf.setup.section import (
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    NonNegativeRange,
    PositiveFloat,
    PositiveInt,
    PositiveRange,
    Range,
    Section,
)

# Warm-up, weight decay and largest gradient of each network, where a setup leaves them to it.
_STEPS: dict[str, tuple[float, float, float | None]] = {"voxel": (0.0, 0.0, None), "pixel": (0.05, 0.01, 20.0)}
# What the pixel network learns with, where a setup does not say it.
PIXEL_DEFAULTS: dict[str, Any] = {
    "filters": 32,
    "scaling_factor": 1.0,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "peak_threshold": 0.4,
}


class MaskSection(Section):
    """1. The phase mask, and whether it is given or learned."""

    source: str = Field(
        "flat",
        min_length=1,
        description="`flat`, `astigmatic`, `tetrapod`, `zernike`, or a .mat / .npy / .tif file (radians)",
    )
    size_px: PositiveInt = Field(203, description="N of the N×N mask in SLM pixels, odd")
    zernike_rad: dict[int, FiniteFloat] = Field(
        default_factory=dict,
        description="Noll index → coefficient in radians rms, for `zernike` (added to any other built-in mask)",
    )
    astigmatism_rad: FiniteFloat = Field(1.0, description="strength of `astigmatic`: radians rms of Noll index 6")
    learn: bool = Field(False, description="learn the mask end to end instead of training a localization network")
    basis: Literal["pixels", "zernike"] = Field(
        "pixels", description="what is learned: each pixel's phase, or coefficients of Zernike modes"
    )
    highest_mode: Annotated[int, Field(ge=4)] = Field(
        55, description="last Noll index learned with `zernike`, from 4 on"
    )
    learning_rate: PositiveFloat | None = Field(
        None, description="radians a step at most, about; null: `learning.learning_rate`"
    )


class OpticsSection(Section):
    """2. Objective, light, camera and spatial light modulator."""

    wavelength_um: PositiveFloat = Field(0.67, description="mean emission wavelength")
    numerical_aperture: PositiveFloat = Field(1.45, description="NA of the objective")
    n_oil: PositiveFloat = Field(1.518, description="refractive index of the immersion medium")
    n_water: PositiveFloat = Field(1.33, description="refractive index of the sample medium")
    camera_pixel_um: PositiveFloat = Field(11.0, description="camera pixel, on the chip")
    slm_pixel_um: PositiveFloat = Field(30.0, description="SLM (mask) pixel")
    magnification: PositiveFloat = Field(100.0, description="from the sample to the camera")
    focal_length_um: PositiveFloat = Field(1e5, description="focal length of the 4f lenses")
    model: Literal["scalar", "vectorial"] = Field(
        "scalar", description="`vectorial`: freely rotating dipoles, with the light beyond the critical angle"
    )
    polarization: Literal["x", "y", "none"] = Field(
        "none", description="detected polarization, along columns or rows; for `vectorial` only"
    )
    fourier_grid: Literal["exact", "rounded"] = Field(
        "exact",
        description="from the mask to the camera: at the camera's pixels, or as in DeepSTORM3D on the grid of whole "
        "samples nearest to them",
    )

    @property
    def pixel_um(self) -> float:
        """Camera pixel in the sample plane, µm."""
        return self.camera_pixel_um / self.magnification

    @property
    def pupil_diameter_px(self) -> float:
        """Diameter of the objective's pupil in SLM pixels (2 f NA / sqrt(M² - NA²), DeepSTORM3D)."""
        diameter_um = (
            2
            * self.focal_length_um
            * self.numerical_aperture
            / math.sqrt(self.magnification**2 - self.numerical_aperture**2)
        )
        return diameter_um / self.slm_pixel_um

    @property
    def fft_size_px(self) -> float:
        """Number of SLM pixels S for which one FFT sample is one camera pixel: λ f / (p_s p_c)."""
        return self.wavelength_um * self.focal_length_um / (self.slm_pixel_um * self.camera_pixel_um)


class VolumeSection(Section):
    """3. Frame size, depth range, focus and voxel grid."""

    height_px: PositiveInt = Field(121, description="rows of a simulated frame")
    width_px: PositiveInt = Field(121, description="columns of a simulated frame")
    margin_px: NonNegativeInt = Field(20, description="emitters keep this distance from the frame's border")
    z_min_um: FiniteFloat = Field(0.0, description="lowest emitter, above the coverslip")
    z_max_um: FiniteFloat = Field(4.0, description="highest emitter, above the coverslip")
    focus_um: FiniteFloat = Field(1.5, description="nominal focal plane (NFP)")
    depth_voxels: PositiveInt = Field(121, description="D: voxels along z")
    lateral_voxels: Literal[1, 2, 4] = Field(
        4,
        description="voxels along a side of a pixel, of `voxel`: with 1 or 2 it is several times cheaper, its labels "
        "are blobs at the emitters' positions inside the voxels, and `learning.peak_radius_voxels` should be 1 or 2",
    )
    grid: Literal["pixel_area", "half_pixel_shifted"] = Field(
        "pixel_area",
        description="lateral voxel convention: `pixel_area` for new models, "
        "`half_pixel_shifted` for some published DeepSTORM3D weights",
    )


class EmittersSection(Section):
    """4. Emitters in a frame."""

    count_range: tuple[NonNegativeInt, PositiveInt] = Field(
        (1, 35), description="uniform in [low, high); validation frames have high // 2"
    )
    photophysics: Literal["none", "blinking"] = Field(
        "none", description="`blinking`: molecules are on for a while, and shine into the frames of that time"
    )
    on_time_frames: PositiveFloat | None = Field(
        None, description="mean of the exponential on-time, frames, for `blinking`"
    )
    on_times: Annotated[int, Field(ge=1, le=8)] = Field(1, description="times that a molecule is on, for `blinking`")
    off_time_frames: PositiveFloat = Field(
        5.0, description="mean of the exponential pause between two on-times, frames"
    )


class SignalSection(Section):
    """5. Photons of an emitter."""

    distribution: Literal["uniform", "gamma"] = Field("uniform", description="law of the photon counts")
    uniform_range: PositiveRange = Field((1e4, 6e4), description="photons, for `uniform`")
    gamma_shape: PositiveFloat = Field(3.0, description="shape, for `gamma`")
    gamma_scale: PositiveFloat = Field(3000.0, description="scale in photons, for `gamma`")
    label_threshold: NonNegativeFloat | None = Field(
        None,
        description="emitters at or below it stay in the frame but leave the labels (`gamma` only; null keeps all)",
    )


class BlurSection(Section):
    """6. Gaussian blur of each emitter."""

    sigma_range_px: PositiveRange = Field((0.75, 1.25), description="standard deviation, drawn for each emitter")


class BackgroundSection(Section):
    """7. Light that comes from no emitter."""

    kind: Literal["uniform", "super_gaussian"] = Field("uniform", description="shape of the background")
    level: NonNegativeFloat = Field(0.0, description="counts a pixel, for `uniform`")
    max_offset_px: tuple[NonNegativeFloat, NonNegativeFloat] = Field(
        (10.0, 10.0), description="(x, y): the super-Gaussian's centre lies within ± this of the frame's centre"
    )
    valley_peak: NonNegativeRange = Field(
        (20.0, 100.0), description="counts a pixel at the valley and the peak; each is drawn in [v, 1.5 v]"
    )
    angle_range_rad: Range = Field((-math.pi / 4, math.pi / 4), description="rotation of the super-Gaussian")


class ReadNoiseSection(Section):
    """8. Noise and baseline of the camera."""

    kind: Literal["none", "uniform", "super_gaussian"] = Field(
        "none", description="none, one σ a frame, or a σ that varies over the frame as a super-Gaussian"
    )
    baseline_range: Range = Field(
        (20.0, 40.0), description="counts, drawn for each frame; where it goes below 0, frames are not clipped at 0"
    )
    sigma_range: NonNegativeRange = Field((8.0, 12.0), description="standard deviation, counts")


class NormalizationSection(Section):
    """9. From counts to the network's input."""

    kind: Literal["project_01", "factors"] = Field(
        "project_01", description="each frame to [0, 1] by its own range, or (counts - subtract) / divide"
    )
    subtract: FiniteFloat = Field(0.0, description="counts, for `factors`")
    divide: PositiveFloat = Field(250.0, description="counts, for `factors`")


class TrainingSetSection(Section):
    """10. The examples."""

    training_count: PositiveInt = Field(9000, description="training frames an epoch")
    validation_count: PositiveInt = Field(1000, description="validation frames")
    folder: str | None = Field(None, description="a data set of `ds3d simulate`; null streams fresh frames")
    fresh_each_epoch: bool = Field(
        True, description="stream new frames in every epoch; false repeats the first epoch's frames"
    )
    seed: NonNegativeInt = Field(0, description="seed of all random streams")


class LearningSection(Section):
    """11. Network, optimizer and how its output becomes localizations."""

    network: Literal["voxel", "pixel"] = Field(
        "voxel",
        description="`voxel`: confidence of every voxel; `pixel`: one answer a camera pixel, trained in minutes",
    )
    max_dilation: Literal[4, 16] = Field(16, description="dilations 1, 1, 2, 4, 8, 16 or 1, 1, 2, 4, 1, 1, of `voxel`")
    filters: PositiveInt = Field(
        64, description="filters of the convolutions before the depth layers; of `pixel` (32) at full resolution"
    )
    context_frames: Literal[1, 3] = Field(
        1, description="frames that the network sees at once, for `pixel`: one, or the ones before and after, too"
    )
    scaling_factor: PositiveFloat = Field(
        800.0, description="s: the network's output lies in [0, s]; of `pixel`, whose output is a probability, 1"
    )
    batch_size: PositiveInt = Field(4, description="frames a step (`pixel`: 16)")
    crop_px: PositiveInt | None = Field(
        None, description="side of the random part of each frame that a step sees, pixels, for `pixel`; null: all of it"
    )
    epochs: PositiveInt = Field(50, description="at most")
    minutes: PositiveFloat | None = Field(
        None, description="train for this long, the learning rate falling with the clock; null: all epochs"
    )
    learning_rate: PositiveFloat = Field(5e-4, description="initial, of Adam (`pixel`: 2e-3)")
    schedule: Literal["plateau", "cosine"] = Field(
        "plateau",
        description="`plateau`: ×0.1 after 5 epochs without improvement, stop after 7; "
        "`cosine`: falls to a hundredth over the whole run, for runs of known length (`pixel`: cosine)",
    )
    warm_up: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="share of a `cosine` run in which the learning rate rises from 0; null: 0.05 for `pixel`, else 0",
    )
    weight_decay: NonNegativeFloat | None = Field(None, description="of AdamW; 0: Adam; null: 0.01 for `pixel`, else 0")
    clip_norm: PositiveFloat | None = Field(
        None, description="largest norm of a step's gradient; null: 20 for `pixel`, else any"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Keras dtype policy of the convolutions"
    )
    peak_threshold: NonNegativeFloat = Field(
        80.0, description="smallest confidence of a localization, in [0, s] (`pixel`: 0.4)"
    )
    peak_radius_voxels: PositiveInt = Field(
        4, description="a peak is the maximum of its (2r+1)³ neighbourhood; of `voxel`"
    )
    keep_single_z: bool = Field(False, description="of peaks above one another keep only the highest; of `voxel`")

    @property
    def steps(self) -> tuple[float, float, float | None]:
        """Warm-up (share of the run), weight decay and largest gradient norm (None: any), by setup or network."""
        warm_up, weight_decay, clip_norm = _STEPS[self.network]
        return (
            warm_up if self.warm_up is None else self.warm_up,
            weight_decay if self.weight_decay is None else self.weight_decay,
            clip_norm if self.clip_norm is None else self.clip_norm,
        )

    @model_validator(mode="before")
    @classmethod
    def _of_the_network(cls, values: Any) -> Any:
        """Give `pixel` its own defaults; a probability has the scale 1, so those of `voxel` do not fit it."""
        if not isinstance(values, Mapping) or values.get("network") != "pixel":
            return values
        own = {**PIXEL_DEFAULTS, **values}
        for name in ("scaling_factor", "peak_threshold"):
            if isinstance(own[name], (int, float)) and own[name] > 1:
                own[name] = PIXEL_DEFAULTS[name]
        return own


class ResumingSection(Section):
    """12. Going on from an earlier run."""

    resume: bool = Field(False, description="continue from the checkpoint")
    checkpoint: str | None = Field(
        None, description="folder of a run or an imported model whose network a new run starts from"
    )
    fresh_layers: tuple[str, ...] = Field(
        (), description="names or patterns (`depth_*`) of layers that begin anew in spite of `checkpoint`"
    )
    frozen_layers: tuple[str, ...] = Field((), description="names or patterns of layers that do not learn")
    epochs: PositiveInt | None = Field(None, description="epochs still to train when resuming; null: the rest")


class Sections(BaseModel):
    """All sections of a setup, frozen, with unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("unnamed", description="what people call this experiment")
    mask: MaskSection = MaskSection()
    optics: OpticsSection = OpticsSection()
    volume: VolumeSection = VolumeSection()
    emitters: EmittersSection = EmittersSection()
    signal: SignalSection = SignalSection()
    blur: BlurSection = BlurSection()
    background: BackgroundSection = BackgroundSection()
    read_noise: ReadNoiseSection = ReadNoiseSection()
    normalization: NormalizationSection = NormalizationSection()
    training_set: TrainingSetSection = TrainingSetSection()
    learning: LearningSection = LearningSection()
    resuming: ResumingSection = ResumingSection()
    camera: CameraSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _keep_the_grid_of_older_files(cls, values: Any) -> Any:
        """A setup written by this program has all sections: one without `fourier_grid` was written before it was there.

        Its grid was rounded, and what was trained on it stays as it was.
        """
        written = isinstance(values, Mapping) and all(name in values for name in cls.model_fields if name != "camera")
        if written and isinstance(values["optics"], Mapping) and "fourier_grid" not in values["optics"]:
            return {**values, "optics": {**values["optics"], "fourier_grid": "rounded"}}
        return values

    @model_serializer(mode="wrap")
    def _without_absent_camera(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a camera that is not there: such a setup reads as it always did."""
        values: dict[str, Any] = handler(self)
        if values.get("camera") is None:
            values.pop("camera", None)
        return values
