"""Matching against the truth, metrics, reports and plots."""
