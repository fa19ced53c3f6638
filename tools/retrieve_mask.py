"""Retrieve the phase mask from a bead's z-stack."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("retrieve-mask")
