"""``python -m ds3d_tf`` is the program ``ds3d``."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run()
