"""Measure the quality of a table of molecules."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("quality")
