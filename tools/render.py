"""Render molecules as a super-resolved picture."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("render")
