"""Layers, networks, loss, metrics, and weights from PyTorch."""

from ds3d_tf.model.localization_net import LocalizationNet
from ds3d_tf.model.loss import VolumeLoss
from ds3d_tf.model.metrics import PixelJaccard, VolumeJaccard
from ds3d_tf.model.networks import network_from_setup
from ds3d_tf.model.optics_design_net import OpticsDesignNet
from ds3d_tf.model.pixel_loss import EmitterLoss
from ds3d_tf.model.pixel_net import PixelNet

__all__ = [
    "EmitterLoss",
    "LocalizationNet",
    "OpticsDesignNet",
    "PixelJaccard",
    "PixelNet",
    "VolumeJaccard",
    "VolumeLoss",
    "network_from_setup",
]
