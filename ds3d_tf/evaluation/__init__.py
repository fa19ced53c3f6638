"""Matching against the truth, metrics, reports and plots."""

from ds3d_tf.evaluation.comparison import Comparison, compare
from ds3d_tf.evaluation.matching import match
from ds3d_tf.evaluation.metrics import metrics

__all__ = ["Comparison", "compare", "match", "metrics"]
