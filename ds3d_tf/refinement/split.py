"""Two emitters fitted as one: the shape of the residual tells, and along which line they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ds3d_tf.refinement.fit import Fit
from ds3d_tf.refinement.scene import BLUR, PHOTONS, Scene

_MIN_HALF_DISTANCE_UM, _MAX_HALF_DISTANCE_UM = 0.03, 0.2
_TYPICAL_HALF_DISTANCE_UM = 0.08


@dataclass(frozen=True, eq=False)
class Splits:
    """For each emitter of a fit, what replacing it by two would do.

    Attributes:
        gain: float64 ``[E]``, gain in log-likelihood that the quadratic model promises, no unit.
        half_um: float64 ``[E, 3]`` (x, y, z), from the one place to one of the two, µm.
    """

    gain: np.ndarray
    half_um: np.ndarray


def splits(scene: Scene, fit: Fit) -> Splits:
    """Return what splitting each emitter promises.

    Emitters of equal photons at ± s from their middle look, to second order, like one of both their photons plus
    N/2 sᵀ(∇²h)s. So the residual is projected on the six second derivatives, less what the emitter's own parameters
    can explain (a score test); the largest eigenvalue of the fitted quadratic form is N/2 |s|² and its eigenvector
    the line.

    Args:
        scene: the frame.
        fit: its explanation, at its optimum.
    """
    count = len(fit.emitters)
    gain, half = np.zeros(count), np.zeros((count, 3))
    if not count:
        return Splits(gain, half)
    core, xyz_um, blur_px = scene.model.core, fit.emitters[:, :3], fit.emitters[:, BLUR]
    own, bends = core.derivatives(xyz_um, blur_px), core.curvatures(xyz_um, blur_px)
    weights = scene.frame.valid / scene.frame.variance(fit.mean)
    residual = (scene.frame.data - fit.mean) * weights
    for index, (rows, columns, inner_rows, inner_columns) in enumerate(scene.windows(core, xyz_um)):
        images = (
            np.concatenate([own[index], bends[index]])[:, inner_rows, inner_columns].reshape(11, -1).astype(np.float64)
        )
        if not images.shape[1]:
            continue
        photons = max(float(fit.emitters[index, PHOTONS]), 1.0)
        unit = np.array([1.0, photons, photons, photons, photons, *[photons / 2 * _TYPICAL_HALF_DISTANCE_UM**2] * 6])
        weighted = images * weights[rows, columns].ravel()
        information = (weighted @ images.T) * unit[:, None] * unit
        score = (images @ residual[rows, columns].ravel()) * unit
        # Priors: the blur's own, and that nobody sees two emitters further apart than the quadratic form is good for.
        information[range(5, 11), range(5, 11)] += 1
        if scene.fit_blur:
            information[4, 4] += scene.blur_sigma_px**-2
            score[4] -= (blur_px[index] - scene.blur_px) / scene.blur_sigma_px**2
        else:
            information[4, 4] += 1e12
        nuisance = information[:5, :5] + 1e-6 * np.diag(np.diag(information)[:5])
        explained = np.linalg.solve(nuisance, information[:5, 5:])
        free = information[5:, 5:] - information[5:, :5] @ explained
        rest = score[5:] - explained.T @ score[:5]
        form = np.linalg.solve(free, rest)
        gain[index] = form @ rest / 2
        xx, yy, zz, xy, xz, yz = form * unit[5:]
        values, vectors = np.linalg.eigh([[xx, xy / 2, xz / 2], [xy / 2, yy, yz / 2], [xz / 2, yz / 2, zz]])
        length = np.sqrt(max(values[-1], 0) / max(fit.emitters[index, PHOTONS] / 2, 1e-9))
        half[index] = vectors[:, -1] * np.clip(length, _MIN_HALF_DISTANCE_UM, _MAX_HALF_DISTANCE_UM)
        if values[-1] <= 0:
            gain[index] = 0
    return Splits(gain, half)
