"""Estimate baseline, noise and signal of a recording, as the sections of a setup."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("estimate-noise")
