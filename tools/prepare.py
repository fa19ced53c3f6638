"""Subtract a recording's minimum projection."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("prepare")
