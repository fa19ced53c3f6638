"""The job of `ds3d evaluate`: how well a model localizes frames whose emitters are known."""

from ds3d_tf.evaluation.run import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
