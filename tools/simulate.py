"""Simulate frames with known emitters into a folder."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("simulate")
