"""Make one row of each molecule that is seen in consecutive frames."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("group")
