"""Measure and correct the drift of a recording."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("drift")
