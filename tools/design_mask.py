"""Design the phase mask that localizes most precisely over a setup's depth range."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("design-mask")
