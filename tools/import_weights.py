"""Turn DeepSTORM3D's PyTorch weights into a model of this package."""

from ds3d_tf.cli.app import run

if __name__ == "__main__":
    run("import-weights")
