"""A model on a prediction server, with the methods of a local model."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ds3d_tf.common.array_text import array_from_text
from ds3d_tf.common.errors import InputError, ServerError, argument
from ds3d_tf.common.limits import MAX_FRAME_PX
from ds3d_tf.common.texts import parse_json
from ds3d_tf.localization.peaks.tiles import frames_a_step
from ds3d_tf.serving.client.connection import Retries
from ds3d_tf.serving.client.errors import Connection, Refusal
from ds3d_tf.setup import Setup


def _reach_px(text: bytes) -> int:
    """Return the receptive radius, pixels, that a served model states; 0: not known."""
    facts = parse_json(text, "served model: network.json")
    reach = facts.get("reach_px") if isinstance(facts, dict) else None
    return reach if isinstance(reach, int) and 0 <= reach <= MAX_FRAME_PX else 0


class RemoteModel:
    """One version of a served model; ``setup`` is the ``Setup`` that it was trained with.

    The version is chosen once and kept, so that a table never mixes two models. Several threads may use it.
    """

    def __init__(self, connection: Connection, retries: Retries, name: str, version: int | None = None) -> None:
        """Ask the server for the model's setup.

        ``version`` None means the highest one. Raises ServerError if the server cannot be used, InputError if the
        model was not exported by this package.
        """
        self._connection, self._retries, self.name = connection, retries, name
        self.version: int = retries.run(lambda: connection.version(name)) if version is None else version
        try:
            answer = self._predict("about", ask=np.zeros(1, np.int32))
        except ServerError as error:
            if "signature" not in str(error).lower():
                raise
            raise InputError(
                f"{error.marked}: the served model does not include its setup; export it again with this version"
            ) from error
        facts = {key: bytes(value[0]) for key, value in sorted(answer.items())}
        self.setup = Setup.from_yaml(facts["setup_yaml"].decode())
        self.receptive_radius_px: int = _reach_px(facts["network_json"])
        mask = facts.get("mask_base64")  # models that an earlier version exported have none
        self.mask_rad = None if mask is None else array_from_text(mask, f"served model {name}: mask")
        self._fingerprint = hashlib.sha256(b"\0".join(facts.values())).hexdigest()

    def fingerprint(self) -> str:
        """Return a checksum of weights and setup: equal for equal models only."""
        return self._fingerprint

    def batch_size(self, shape: tuple[int, int]) -> int:
        """Return how many frames of ``shape`` (H, W) in pixels the model localizes in one step."""
        return frames_a_step(shape)

    def localize(self, frames: np.ndarray, threshold: float, radius_voxels: int) -> list[np.ndarray]:
        """Return the emitters in each frame, the same as ``Localizer.localize``.

        Args:
            frames: float32 ``[B, H, W]`` (row, column), raw counts.
            threshold: smallest confidence, exclusive.
            radius_voxels: a peak is the maximum of its (2r+1)³ neighbourhood, voxels.

        Returns:
            for each frame float32 ``[K, 4]`` (x, y, z, confidence): µm and confidence; ``[K, 10]`` of a pixel network.

        Raises ServerError if the server cannot be used.
        """
        learning = self.setup.learning
        inputs: dict[str, Any] = {"frames": frames}
        signature = "serving_default"
        # Servers can batch requests only to the signature without options. A higher threshold is applied below.
        if radius_voxels != learning.peak_radius_voxels or threshold < learning.peak_threshold:
            signature = "with_options"
            inputs |= {"threshold": np.float32(threshold), "radius": np.int32(radius_voxels)}
        result = self._predict(signature, **inputs)
        counts = np.asarray(result["count"]).astype(int)
        xyz_um = np.asarray(result["xyz_um"], np.float32).reshape(len(frames), -1, 3)
        confidence = np.asarray(result["confidence"], np.float32).reshape(len(frames), -1)
        details = self._details(result, len(frames)) if learning.network == "pixel" else []
        rows = np.concatenate([xyz_um, confidence[..., np.newaxis], *details], axis=-1)
        found = [row[:count] for row, count in zip(rows, counts, strict=True)]
        return [row[row[:, 3] > np.float32(threshold)] for row in found]

    @staticmethod
    def _details(result: dict[str, Any], frames: int) -> list[np.ndarray]:
        """Return the columns that a pixel network adds, float32 ``[B, K, n]`` each."""
        widths = {"photons": 1, "background": 1, "sigma_um": 3, "sigma_photons": 1}
        return [np.asarray(result[name], np.float32).reshape(frames, -1, width) for name, width in widths.items()]

    def check_shape(self, shape: tuple[int, int], where: str) -> None:
        """Raise InputError if frames of ``shape`` (H, W) in pixels are too small for the network."""
        smallest = 1 if self.setup.learning.network == "pixel" else max(self.receptive_radius_px, 1)
        if min(shape) < smallest:
            raise InputError(
                f"{where}: frames of {shape[0]}×{shape[1]} pixels are smaller than half the network's receptive field; "
                f"each side needs at least {smallest} pixels"
            )

    def _predict(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        def action() -> dict[str, np.ndarray]:
            try:
                return self._connection.predict(self.name, self.version, signature, inputs)
            except Refusal as refusal:
                # A FrameSource gives finite frames only: the NaN came from another client's request in the same batch.
                if "NaN or infinite" in str(refusal):
                    raise Refusal(str(refusal), temporary=True) from refusal
                if refusal.missing:
                    raise self._missing(refusal) from refusal
                raise

        return self._retries.run(action)

    def _missing(self, refusal: Refusal) -> Refusal:
        """Return why the model is missing: the server has another version, or no version yet."""
        try:
            version = self._connection.version(self.name)
        except Refusal as reason:
            # The model existed when the job began: a server that was restarted may still be loading it.
            return Refusal(str(reason), temporary=True)
        if version == self.version:
            return Refusal(str(refusal), temporary=True)
        return Refusal(
            f"model {self.name!r} has version {version} now, not version {self.version}; choose another "
            f"{argument('version')}, with {argument('overwrite')} if the table was started with version {self.version}",
            temporary=False,
        )
