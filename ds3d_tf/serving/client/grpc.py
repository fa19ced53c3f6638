"""A connection to a prediction server over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ds3d_tf.serving.client.errors import Refusal, sentence

# A connection that breaks during a request may be reported as UNKNOWN, INTERNAL or CANCELLED.
_TEMPORARY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "UNKNOWN", "INTERNAL", "CANCELLED")


class GrpcConnection:
    """PredictionService and ModelService of one server, for several threads."""

    def __init__(
        self,
        address: str,
        tls: bool,
        timeout_s: float,
        root_certificates: bytes | None = None,
        token: str | None = None,
    ) -> None:
        """``address`` is host:port, ``timeout_s`` the seconds to wait for an answer, ``token`` what the server asks."""
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5000),
        ]
        if tls:
            credentials = grpc.ssl_channel_credentials(root_certificates)
            self._channel = grpc.secure_channel(address, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address, options)
        self._timeout_s = timeout_s
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, name: str, version: int | None, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a signature.

        Args:
            name: of the model.
            version: of the model; None: the server's choice.
            signature: its name.
            inputs: an array for each input, of the signature's shape, dtype and unit.

        Returns:
            an array for each output, of the signature's shape and unit.
        """
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = name, signature
        if version is not None:
            request.model_spec.version.value = version
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        response = self._call(self._prediction.Predict, request)
        return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

    def version(self, name: str) -> int:
        """Return the version of a model that the server chooses: its highest that is available."""
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        answer = self._call(self._models.GetModelStatus, request)
        available = get_model_status_pb2.ModelVersionStatus.State.Value("AVAILABLE")
        versions = [status.version for status in answer.model_version_status if status.state == available]
        if not versions:
            raise Refusal(f"no version of model {name!r} is available yet", temporary=True)
        return max(versions)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        import grpc

        try:
            return method(request, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            code = error.code().name
            text = f"{sentence(error.details() or '') or 'no answer'} ({code})"
            too_large = "larger than max" in text
            raise Refusal(text, temporary=code in _TEMPORARY and not too_large, missing=code == "NOT_FOUND") from error
        except ValueError as error:  # another thread closed the channel during this call
            raise Refusal(str(error), temporary=True) from error
