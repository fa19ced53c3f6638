"""Localize the emitters of a recording into a table."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("localize")
