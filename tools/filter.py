"""Keep the molecules that fulfil rules."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("filter")
