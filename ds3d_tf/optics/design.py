"""Mask design: the Zernike coefficients that minimize the mean Cramér–Rao bound over a depth range.

Shechtman et al., Phys. Rev. Lett. 113, 133902, 2014: the Tetrapod family of point spread functions is found so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from ds3d_tf.optics.crlb import bound_variances, fisher_information, image_derivatives
from ds3d_tf.optics.crlb_curve import Conditions
from ds3d_tf.optics.rendering.exact_or_vectorial import exact_renderer
from ds3d_tf.optics.zernike import zernike, zernike_phase
from ds3d_tf.options import DesignOptions
from ds3d_tf.setup import Setup


@dataclass(frozen=True, eq=False)
class DesignedMask:
    """A mask of smallest mean bound.

    Attributes:
        zernike_rad: Noll index → coefficient, radians rms.
        mask_rad: float64 ``[N, N]`` (rows along y, columns along x), their sum, rad; 0 outside the pupil.
        mean_bound_nm: mean of the bounds on x, y and z over the z positions, nm.
        start_bounds_nm: the same after each start's first iterations, nm.
        steps: iterations from the best start on.
    """

    zernike_rad: dict[int, float]
    mask_rad: np.ndarray
    mean_bound_nm: float
    start_bounds_nm: tuple[float, ...]
    steps: int


def mean_bound_nm(renderer: Any, mask_rad: tf.Tensor, z_um: np.ndarray, conditions: Conditions) -> tf.Tensor:
    """Return the mean over z positions and over x, y and z of the bound on the standard deviation, differentiable.

    Args:
        renderer: an exact renderer.
        mask_rad: float64 ``[N, N]``, phase mask, rad.
        z_um: float ``[E]``, z positions, µm.
        conditions: photons, background, read noise, blur.

    Returns:
        float64 scalar, nm.
    """
    z_um = np.asarray(z_um, np.float64)
    xyz = tf.constant(np.stack([0 * z_um, 0 * z_um, z_um], axis=1))
    same = {name: tf.fill([len(z_um)], tf.constant(value, tf.float64)) for name, value in asdict(conditions).items()}
    images, derivatives = image_derivatives(renderer, xyz, same["blur_sigma_px"], mask_rad)
    information = fisher_information(images, derivatives, same["photons"], same["background"], same["read_noise"])
    information *= conditions.efficiency
    return 1000 * tf.reduce_mean(tf.sqrt(bound_variances(information)[:, :3]))


def design(
    setup: Setup,
    conditions: Conditions,
    options: DesignOptions | None = None,
    *,
    progress: Callable[[int, float], None] | None = None,
) -> DesignedMask:
    """Return the mask whose mean bound over the setup's depth range is smallest.

    L-BFGS from several random starts; an emitter stands on the optical axis.

    Args:
        setup: the ``Setup`` whose optics and volume are meant; its own mask plays no part.
        conditions: photons, background, read noise, blur of the emitter.
        options: see :class:`DesignOptions`.
        progress: called after each iteration with (iterations so far, mean bound in nm).

    Raises InputError if the optics allow no mask of the setup's size.
    """
    options = options or DesignOptions()
    size = setup.mask.size_px
    renderer = exact_renderer(setup.optics, setup.volume, np.zeros((size, size)))
    grids = renderer.grids
    inside = grids.pupil_radius < 1
    across, down = grids.pupil_x[None, :], grids.pupil_x[:, None]
    basis = tf.constant(np.stack([zernike(index, across, down) * inside for index in options.modes]))
    z_um = np.linspace(setup.volume.z_min_um, setup.volume.z_max_um, options.z_positions)

    @tf.function
    def value_and_slope(coefficients: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(coefficients)
            value = mean_bound_nm(renderer, tf.tensordot(coefficients, basis, 1), z_um, conditions)
        return value, tape.gradient(value, coefficients)

    iterations = 0

    def descend(start: np.ndarray, most: int) -> Any:
        def objective(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = value_and_slope(tf.constant(coefficients, tf.float64))
            return float(value), slope.numpy()

        def after_each(intermediate_result: Any) -> None:
            nonlocal iterations
            iterations += 1
            if progress:
                progress(iterations, float(intermediate_result.fun))

        limits = {"maxiter": most, "maxfun": 2 * most, "ftol": 1e-7}
        return minimize(objective, start, jac=True, method="L-BFGS-B", callback=after_each, options=limits)

    random = np.random.default_rng(options.seed)
    starts = random.normal(scale=options.start_rad, size=(options.starts, len(options.modes)))
    tried = [descend(start, options.start_steps) for start in starts]
    best = descend(min(tried, key=lambda result: result.fun).x, options.steps)
    # The mask is drawn from the digits that are written down, so that both are the same mask.
    coefficients = {mode: round(float(value), 5) for mode, value in zip(options.modes, best.x, strict=True)}
    mask = np.where(inside, zernike_phase(coefficients, across, down), 0.0)
    return DesignedMask(
        zernike_rad=coefficients,
        mask_rad=mask,
        mean_bound_nm=float(mean_bound_nm(renderer, tf.constant(mask), z_um, conditions)),
        start_bounds_nm=tuple(float(result.fun) for result in tried),
        steps=int(best.nit),
    )
