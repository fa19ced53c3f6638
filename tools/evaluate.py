"""Measure how well a model localizes frames whose emitters are known."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("evaluate")
