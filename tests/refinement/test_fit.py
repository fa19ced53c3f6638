"""The normal equations against a Fisher matrix of finite differences of the exact images."""

from __future__ import annotations

import numpy as np

from ds3d_tf.refinement import CameraNoise
from ds3d_tf.refinement.fit import evaluate, refit
from ds3d_tf.refinement.moves import covariance
from ds3d_tf.refinement.scene import make_scene

STEPS = (1e-3, 1e-3, 1e-3, 10.0, 1e-3)


def scene_of(microscope, counts):
    middle, blurs = (counts.shape[0] // 2, counts.shape[1] // 2), microscope.setup.blur.sigma_range_px
    return make_scene(CameraNoise().measured(counts), microscope.model, middle, blurs)


def test_covariance_is_the_inverse_of_the_brute_force_information(microscope, emitters):
    mean = microscope.images(emitters).sum(axis=0) + 30
    scene = scene_of(microscope, mean)
    size = scene.spline.shape[0] * scene.spline.shape[1]
    fit = evaluate(scene, emitters, np.full(size, 30.0))
    jacobian = []
    for index in range(len(emitters)):
        for parameter, step in enumerate(STEPS):
            ahead, behind = (emitters[index : index + 1].copy() for _ in range(2))
            ahead[0, parameter] += step
            behind[0, parameter] -= step
            jacobian.append((microscope.images(ahead)[0] - microscope.images(behind)[0]).ravel() / (2 * step))
    splines = scene.spline.rows[:, None, :, None] * scene.spline.columns[None, :, None, :]
    jacobian = np.concatenate([np.array(jacobian), splines.reshape(size, -1).astype(np.float64)])
    information = (jacobian / mean.ravel()) @ jacobian.T
    prior = np.zeros(len(information))
    prior[4 : 5 * len(emitters) : 5] = 12 / 0.5**2  # blurs uniform in 0.75 to 1.25 pixels
    information += np.diag(prior)
    information[15:, 15:] += scene.spline.roughness / scene.bending**2
    wanted = np.sqrt(np.diag(np.linalg.inv(information)))[:15].reshape(3, 5)
    found = np.sqrt(np.einsum("eii->ei", covariance(scene, fit)))
    np.testing.assert_allclose(found, wanted, rtol=0.02)


def test_fit_of_a_noiseless_frame_finds_the_truth(microscope, emitters):
    counts = microscope.images(emitters).sum(axis=0) + 30
    scene = scene_of(microscope, counts)
    start = emitters.copy()
    start[:, :3] += [[0.03, -0.04, 0.05], [-0.05, 0.02, -0.04], [0.02, 0.03, 0.06]]
    start[:, 3], start[:, 4] = 20000, 1.0
    size = scene.spline.shape[0] * scene.spline.shape[1]
    fit = refit(scene, evaluate(scene, start, np.full(size, 30.0)), max_steps=20, tolerance=1e-3)
    np.testing.assert_allclose(fit.emitters[:, :3], emitters[:, :3], atol=1.5e-3)
    np.testing.assert_allclose(fit.emitters[:, 3], emitters[:, 3], rtol=0.01)
