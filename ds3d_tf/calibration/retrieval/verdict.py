"""Did a phase retrieval work? What the fit leaves unexplained, beyond what noise alone would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.calibration.retrieval.options import RetrievedMask

GOOD_CORRELATION = 0.97
"""Share of the reachable correlation from which a retrieval is good."""
LOWEST_CORRELATION = 0.93
"""Share of the reachable correlation below which a retrieval has failed."""
MAX_FOCUS_SCALE = 1.12
MAX_DRIFT = 0.5
_CAUSES = (
    "one bead only? focus positions in µm, in the stack's order? wavelength, NA, pixel sizes, magnification and focal "
    "length of the setup?"
)


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a retrieval: reasons why it failed, and remarks on what should be looked at."""

    failures: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """``good``, ``doubtful`` or ``failed``."""
        return "failed" if self.failures else "doubtful" if self.remarks else "good"


def reachable_correlation(slices: np.ndarray) -> np.ndarray:
    """Return the correlation that a perfect model would have with noisy slices.

    Args:
        slices: float ``[S, H, W]``, counts.

    Returns:
        float64 ``[S]``, no unit: sqrt(1 - noise variance / variance), the noise from second differences of pixels.
    """
    slices = np.asarray(slices, np.float64)
    laplacian = (
        slices[:, 1:-1, 1:-1]
        - (slices[:, :-2, 1:-1] + slices[:, 2:, 1:-1] + slices[:, 1:-1, :-2] + slices[:, 1:-1, 2:]) / 4
    )
    # White noise of variance 1 has a Laplacian of variance 1 + 4/16.
    noise = (1.4826 * np.median(np.abs(laplacian), axis=(1, 2))) ** 2 / 1.25
    variance = slices.var(axis=(1, 2))
    return np.sqrt(np.clip(1 - noise / np.where(variance > 0, variance, 1), 0.01, 1))


def judge(slices: np.ndarray, nfp_um: np.ndarray, result: RetrievedMask) -> Verdict:
    """Return the verdict on a retrieval.

    Args:
        slices: float ``[S, H, W]``, the bead stack, counts.
        nfp_um: float ``[S]``, nominal focus positions, µm.
        result: what was retrieved from them.
    """
    reachable = reachable_correlation(slices)
    failures, remarks = [], []
    for chosen, name in ((result.fitted, "fitted"), (~result.fitted, "left out")):
        if not chosen.any():
            continue
        mean = float(result.correlation[chosen].mean())
        # Slices that show little say little.
        reached = float(result.correlation[chosen] @ reachable[chosen] / (reachable[chosen] @ reachable[chosen]))
        text = f"the model explains the {name} slices with a mean correlation of {mean:.2f}"
        if reached < LOWEST_CORRELATION:
            failures.append(f"{text}, {GOOD_CORRELATION} is good; {_CAUSES}")
        elif reached < GOOD_CORRELATION:
            remarks.append(f"{text}, {GOOD_CORRELATION} is good; look at the residuals in retrieval.png")
    span = float(np.ptp(nfp_um))
    if abs(result.focus_offset_um) > max(1.5, span):
        failures.append(
            f"the fit moved the focus by {result.focus_offset_um:+.1f} µm, more than the stack's {span:.1f} µm; are "
            "the focus positions relative to the coverslip?"
        )
    scale = result.focus_scale
    if not 1 / MAX_FOCUS_SCALE < scale < MAX_FOCUS_SCALE:
        failures.append(
            f"the stack fits best with focus steps of {scale:.2f} times those in the table; are the positions those "
            "of the focal plane in µm, and wavelength, NA and pixel sizes right?"
        )
    drift = float(np.hypot(*result.drift_um_per_um))
    if drift > MAX_DRIFT:
        failures.append(f"the bead moves sideways by {drift:.1f} µm for each µm of focus; is it one bead at rest?")
    return Verdict(tuple(failures), tuple(remarks))
