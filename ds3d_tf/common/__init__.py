"""What every room needs: the error for a user's mistake, whole-or-not-at-all files, the console."""

from ds3d_tf.common.errors import InputError

__all__ = ["InputError"]
