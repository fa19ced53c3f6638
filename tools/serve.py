"""Serve models over TensorFlow Serving's gRPC and REST interfaces."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("serve")
