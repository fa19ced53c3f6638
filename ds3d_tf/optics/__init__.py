"""Pupil grids, phase masks and point spread function renderers."""
