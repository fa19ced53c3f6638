"""Whole jobs: one module for each command."""
