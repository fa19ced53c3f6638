"""Draw the Cramér–Rao bound of a setup's mask over its depth range."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("crlb")
