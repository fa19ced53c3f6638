"""The command ``ds3d``."""
