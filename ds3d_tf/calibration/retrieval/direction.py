"""Which way the focus moved in a bead stack: what the data can tell, and what they cannot.

A bead on the coverslip shows the same images for a phase mask φ(ξ) as for -φ(-ξ) with all focus positions negated: the
field of one is the complex conjugate of the other's. A bead above the coverslip does not help: the free mask takes up
the phase of its height, and that of the refractive indices' mismatch, with either sign. Only a known mask tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from ds3d_tf.calibration.retrieval.model import BeadStackModel
from ds3d_tf.calibration.retrieval.stack import bead_centre_px, correlations
from ds3d_tf.calibration.retrieval.stack_files import BeadStack
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.optics.masks import load_mask
from ds3d_tf.setup import Setup
from ds3d_tf.setup.sections import OpticsSection

SEEN_CORRELATION = 0.6
SEEN_DIFFERENCE = 0.05
_QUESTION = (
    "a bead looks the same whichever way the focus moved, and a wrong guess turns z upside down; say "
    "up if the focal plane goes up into the sample as the positions in the table grow, else down (docs: calibration)"
)
_FOCUS_STEPS_UM = np.linspace(-1.0, 1.0, 21)


def agreement_with_mask(
    slices: np.ndarray,
    nfp_um: np.ndarray,
    optics: OpticsSection,
    mask_rad: np.ndarray,
    bead_height_um: float,
    blur_sigma_px: float,
) -> tuple[float, float]:
    """Return how well a known mask explains a stack, with the focus positions as given and with their opposites.

    Args:
        slices: float ``[S, H, W]``, one bead near the centre, counts.
        nfp_um: float ``[S]``, nominal focus positions, µm.
        optics: the setup's optics section.
        mask_rad: float ``[N, N]`` (rows along y, columns along x), the known mask, rad.
        bead_height_um: height of the bead's centre above the coverslip, µm.
        blur_sigma_px: standard deviation of the blur, camera pixels.

    Returns:
        (as given, negated): mean correlation of slices and model, at the best common offset of the focus; no unit.
    """
    shape = slices.shape[1:]
    model = BeadStackModel(optics, mask_rad.shape[0], (shape[0], shape[1]), bead_height_um)
    phase = tf.constant(mask_rad[model.crop, model.crop] * model.support, tf.float32)
    offset = np.array(bead_centre_px(slices)) * optics.pixel_um
    place = tf.constant(np.tile(offset, (len(slices), 1)), tf.float32)
    best = []
    for sign in (1, -1):
        trials = []
        for shift in _FOCUS_STEPS_UM:
            focus = tf.constant(sign * nfp_um + shift, tf.float32)
            images = model(phase, place, focus, tf.constant(blur_sigma_px, tf.float32)).numpy()
            trials.append(float(correlations(images, slices).mean()))
        best.append(max(trials))
    return best[0], best[1]


def tells(agreement: tuple[float, float]) -> bool:
    """Return whether the agreement with a known mask (see :func:`agreement_with_mask`) tells the direction."""
    return max(agreement) >= SEEN_CORRELATION and abs(agreement[0] - agreement[1]) >= SEEN_DIFFERENCE


@dataclass(frozen=True)
class Direction:
    """Which way the focus moved: ``sign`` to multiply the positions by, and what is known about it.

    ``question`` is what must be asked of the user.
    """

    sign: int
    question: str | None = None
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def find_direction(
    stack: BeadStack,
    setup: Setup,
    asked: Literal["up", "down"] | None,
    bead_height_um: float,
    blur_sigma_px: float,
) -> Direction:
    """Return the focus direction as the user says it, or as the setup's mask tells it.

    Args:
        stack: the bead stack with the positions of its table.
        setup: optics, and the mask that may be known.
        asked: the user's word; None: the data may tell.
        bead_height_um: height of the bead's centre above the coverslip, µm.
        blur_sigma_px: standard deviation of the blur, camera pixels.
    """
    sign = -1 if asked == "down" else 1
    known = _known_mask(setup)
    if known is not None:
        given = sign * stack.nfp_um
        agreement = agreement_with_mask(stack.slices, given, setup.optics, known, bead_height_um, blur_sigma_px)
        if tells(agreement):
            right, wrong = max(agreement), min(agreement)
            numbers = f"mean correlation {right:.2f}, {wrong:.2f} in the other direction"
            if asked is None:
                sign = 1 if agreement[0] > agreement[1] else -1
                word = "up" if sign == 1 else "down"
                return Direction(sign, remarks=(f"focus direction {word}, as the setup's own mask tells ({numbers})",))
            if agreement[0] < agreement[1]:
                problem = (
                    f"{argument('focus_direction')} {asked}: the setup's own mask explains the stack in the opposite "
                    f"direction ({numbers})"
                )
                return Direction(sign, problems=(problem,))
            return Direction(sign)
    return Direction(sign, None if asked is not None else _QUESTION)


def _known_mask(setup: Setup) -> np.ndarray | None:
    try:
        mask_rad = load_mask(setup, allow_substitute=False)
    except InputError:  # a mask that is not there is not known
        return None
    return mask_rad if np.ptp(mask_rad) > 0 else None
