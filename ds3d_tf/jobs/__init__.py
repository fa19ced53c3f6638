"""Whole jobs: each module is what one script of tools/ calls."""
