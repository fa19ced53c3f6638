"""Write a report on molecules as one HTML page."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("report")
