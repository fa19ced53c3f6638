"""Learn a phase mask together with the network that reads its images."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("learn-mask")
