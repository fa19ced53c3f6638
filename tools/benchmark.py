"""Measure how fast the parts are on this machine."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("benchmark")
