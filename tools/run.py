"""Go from a recording to molecules, picture and report."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("run")
