"""Localize the emitters of a recording by a prediction server."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("serve-client")
