"""What the SavedModel of a pixel network holds: raw counts in, emitters with uncertainties out."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ds3d_tf.export.folded_pixel_net import folded
from ds3d_tf.export.frame_checks import check_frames
from ds3d_tf.localization.peaks.graph_tiles import graph_tile_size
from ds3d_tf.localization.peaks.pixel_peaks import details_by_name, localize_maps_in_tiles, overlap_of_maps_px
from ds3d_tf.localization.peaks.tiles import DEFAULT_MEMORY_GB, MAX_FRAMES_A_STEP, PIXELS_A_STEP, pixels_within
from ds3d_tf.model.pixel_net import STRIDE, PixelNet
from ds3d_tf.setup import Setup
from ds3d_tf.simulation.normalization import normalize
from ds3d_tf.simulation.pixel_grid import PixelGrid


class FoldedNetwork(tf.Module):
    """A pixel network as the SavedModel evaluates it: frames that follow one another in, maps out."""

    def __init__(self, model: PixelNet) -> None:
        """Fold the weights of ``model``, which is neither changed nor kept."""
        super().__init__()
        network = folded(model)
        self.context_frames = model.context_frames
        # Only the variables: a Keras object would bring its Python-side registry into the file.
        self.weights = [variable.value for variable in network.variables]
        self._network = tf.autograph.experimental.do_not_convert(network)
        self._encode, self._decode = network.encode, network.decode

    def __call__(self, frames: tf.Tensor) -> tf.Tensor:
        """Return the maps, float32 ``[B, H, W, 10]`` in the network's units, of normalized frames ``[B, H, W]``.

        With context, there is one frame more before the first and after the last.
        """
        shape = tf.shape(frames)
        full, half, quarter = self._encode(frames[..., tf.newaxis])
        if self.context_frames == 1:
            return self._decode(full, half, [quarter], shape[1:3])
        neighbours = [quarter[:-2], quarter[1:-1], quarter[2:]]
        return self._decode(full[1:-1], half[1:-1], neighbours, shape[1:3])


def pixel_module(model: PixelNet, setup: Setup, texts: dict[str, str], network: FoldedNetwork) -> tf.Module:
    """Return the module to be saved, with the signatures of docs/saved_model.md.

    Args:
        model: the network.
        setup: its ``Setup``.
        texts: what ``about`` answers.
        network: its folded form.
    """
    grid = PixelGrid.from_setup(setup)
    own_threshold = float(setup.learning.peak_threshold)
    receptive_radius_px, context = model.receptive_radius_px, model.context_frames
    overlap_px = overlap_of_maps_px(receptive_radius_px)
    frames_spec = tf.TensorSpec([None, None, None], tf.float32, name="frames")
    threshold_spec = tf.TensorSpec([], tf.float32, name="threshold")
    radius_spec = tf.TensorSpec([], tf.int32, name="radius")

    class ExportedNetwork(tf.Module):
        """What the SavedModel holds; the radius is there for callers of voxel networks, and has no effect."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        @tf.function(input_signature=[frames_spec], autograph=False)
        def volume(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
            normalized = normalize(check_frames(frames, 1), setup.normalization)
            return {"volume": self.network(with_mirrored_ends(normalized, context))}

        @tf.function(input_signature=[frames_spec], autograph=False)
        def serving_default(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._within_memory(frames, tf.constant(own_threshold, tf.float32))

        # Tensors as defaults end up in the SavedModel's signature, which makes these inputs optional there.
        @tf.function(input_signature=[frames_spec, threshold_spec, radius_spec], autograph=False)
        def localize(
            self,
            frames: tf.Tensor,
            threshold: tf.Tensor = tf.constant(own_threshold, tf.float32),  # noqa: B008
            radius: tf.Tensor = tf.constant(-1, tf.int32),  # noqa: B008
        ) -> dict[str, tf.Tensor]:
            return self._within_memory(frames, threshold)

        @tf.function(
            input_signature=[
                frames_spec,
                threshold_spec,
                radius_spec,
                tf.TensorSpec([2], tf.int32, name="tile"),
                tf.TensorSpec([], tf.bool, name="bfloat16"),
                tf.TensorSpec([2], tf.int32, name="context"),
            ],
            autograph=False,
        )
        def in_tiles(
            self,
            frames: tf.Tensor,
            threshold: tf.Tensor = tf.constant(own_threshold, tf.float32),  # noqa: B008
            radius: tf.Tensor = tf.constant(-1, tf.int32),  # noqa: B008
            tile: tf.Tensor = tf.constant([0, 0], tf.int32),  # noqa: B008
            bfloat16: tf.Tensor = tf.constant(False),  # noqa: B008
            context: tf.Tensor = tf.constant([0, 0], tf.int32),  # noqa: B008
        ) -> dict[str, tf.Tensor]:
            frames = check_frames(frames, 1)
            return self._localize(frames, threshold, tile, tf.shape(frames)[0], context)

        @tf.function(
            input_signature=[
                frames_spec,
                tf.TensorSpec([2], tf.int32, name="rows"),
                tf.TensorSpec([2], tf.int32, name="columns"),
                tf.TensorSpec([], tf.bool, name="bfloat16"),
            ],
            autograph=False,
        )
        def volume_part(
            self, frames: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, bfloat16: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            first = tf.maximum(tf.stack([rows[0], columns[0]]) // STRIDE * STRIDE - overlap_px, 0)
            normalized = normalize(check_frames(frames, 1), setup.normalization)
            part = normalized[:, first[0] : rows[1] + overlap_px, first[1] : columns[1] + overlap_px]
            maps = self.network(with_mirrored_ends(part, context))
            inner = [edges - corner for edges, corner in ((rows, first[0]), (columns, first[1]))]
            return {"volume": maps[:, inner[0][0] : inner[0][1], inner[1][0] : inner[1][1]]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="ask")], autograph=False)
        def about(self, ask: tf.Tensor) -> dict[str, tf.Tensor]:
            return {name: tf.repeat(text, tf.shape(ask)[0]) for name, text in texts.items()}

        def _within_memory(self, frames: tf.Tensor, threshold: tf.Tensor) -> dict[str, tf.Tensor]:
            # No request may exhaust a server: memory stays bounded for any number and size of frames.
            frames = check_frames(frames, 1)
            shape = tf.shape(frames)
            pixels = tf.maximum(shape[1] * shape[2], 1)
            together = tf.clip_by_value(PIXELS_A_STEP // pixels, 1, MAX_FRAMES_A_STEP)
            max_pixels = pixels_within(DEFAULT_MEMORY_GB, setup) // tf.minimum(together, shape[0])
            tile = tf.cond(
                pixels <= max_pixels,
                lambda: tf.zeros([2], tf.int32),
                lambda: graph_tile_size(shape[1], shape[2], overlap_px, max_pixels),
            )
            return self._localize(frames, threshold, tile, together, tf.constant([0, 0]))

        # A separate function, so that the network is in the file only once.
        @tf.function(
            input_signature=[
                frames_spec,
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([2], tf.int32),
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([2], tf.int32),
            ],
            autograph=False,
        )
        def _localize(
            self,
            frames: tf.Tensor,
            threshold: tf.Tensor,
            tile: tf.Tensor,
            frames_a_step: tf.Tensor,
            given: tf.Tensor,
        ) -> dict[str, tf.Tensor]:
            xyz_um, confidence, count, details = localize_maps_in_tiles(
                with_mirrored_ends(normalize(frames, setup.normalization), context, given),
                self.network,
                (tile[0], tile[1]),
                receptive_radius_px,
                tf.where(threshold >= 0, threshold, own_threshold),
                grid,
                frames_a_step,
                context,
            )
            return {"xyz_um": xyz_um, "confidence": confidence, "count": count, **details_by_name(details)}

    return ExportedNetwork()


def with_mirrored_ends(frames: tf.Tensor, context_frames: int, given: Any = (0, 0)) -> tf.Tensor:
    """Return frames with their neighbours before the first and after the last: the recording mirrored at its ends.

    Args:
        frames: float32 ``[B, H, W]``, normalized frames that follow one another.
        context_frames: frames that the network sees at once, 1 or 3.
        given: int32 ``[2]``, a count: whether (1 or 0) the first and the last frame are neighbours already.

    Returns:
        float32 ``[B + n, H, W]``, normalized frames.
    """
    if context_frames == 1:
        return frames
    last = tf.shape(frames)[0] - 1
    before = frames[tf.minimum(1, last) :][: 1 - given[0]]
    after = frames[tf.maximum(last - 1, 0) :][: 1 - given[1]]
    return tf.concat([before, frames, after], axis=0)
