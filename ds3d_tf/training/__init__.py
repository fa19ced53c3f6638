"""Fitting, callbacks and checkpoints."""
