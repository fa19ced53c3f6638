"""3D single-molecule localization microscopy with engineered point spread functions, in TensorFlow and Keras."""

__version__ = "0.1.0"
