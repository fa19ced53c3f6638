"""Layers, networks, loss, metrics and weight import."""
