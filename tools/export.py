"""Write a trained model in a format for servers, instruments or other programs."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("export")
