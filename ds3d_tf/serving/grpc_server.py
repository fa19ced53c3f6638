"""TensorFlow Serving's gRPC interface (PredictionService, ModelService) around models of this process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.serving.errors import (
    INTERNAL,
    INVALID_ARGUMENT,
    UNAUTHENTICATED,
    UNIMPLEMENTED,
    RequestError,
)
from ds3d_tf.serving.limits import ServerLimits
from ds3d_tf.serving.metrics import Metrics
from ds3d_tf.serving.served_models import ServedModels

_THREADS = 64
_AVAILABLE = 30


def start_grpc(
    models: ServedModels,
    address: str,
    max_mb: float,
    limits: ServerLimits | None = None,
    metrics: Metrics | None = None,
) -> tuple[Any, int]:
    """Serve the models until the returned ``grpc.Server`` is stopped; returns it and its port.

    ``address`` is host:port, port 0 takes a free one; requests of more than ``max_mb`` megabytes are rejected.
    ``limits`` are those of the server, ``metrics`` its figures.
    Raises InputError if the port is in use, or the certificate cannot be used.
    """
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    limits, metrics = limits or ServerLimits(), metrics or Metrics(lambda: models.turn.waiting)
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", int(max_mb * 2**20)),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            ("grpc.max_metadata_size", 16 * 2**10),
        ],
        maximum_concurrent_rpcs=limits.connections,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(models, limits, metrics, max_mb), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(models, limits, metrics, max_mb), server)
    condition = health.HealthServicer()
    for name in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        condition.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(condition, server)
    server.ds3d_health = condition  # type: ignore[attr-defined]
    try:
        if limits.certificate is None:
            port = server.add_insecure_port(address)
        else:
            pair = (limits.key or limits.certificate).read_bytes(), limits.certificate.read_bytes()
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        raise InputError(
            f"cannot listen on {address}: the port is in use, or the address does not belong to this machine"
        ) from error
    server.start()
    return server, port


class _Service:
    def __init__(self, models: ServedModels, limits: ServerLimits, metrics: Metrics, max_mb: float) -> None:
        self._models, self._limits, self._metrics = models, limits, metrics
        self._max_bytes = int(max_mb * 2**20)

    def _answer(self, context: Any, action: Callable[[], Any]) -> Any:
        import grpc

        shown = dict(context.invocation_metadata()).get("authorization")
        try:
            with self._metrics.request("grpc"):
                if not self._limits.allows(shown if isinstance(shown, str) else None):
                    raise RequestError(UNAUTHENTICATED, "this server asks for a token (authorization: Bearer …)")
                return action()
        except RequestError as error:
            code, message = error.code, str(error)
        except Exception as error:  # one failed request must not stop the server
            code, message = INTERNAL, f"{type(error).__name__}: {error}"
        codes = {status.value[0]: status for status in grpc.StatusCode}
        return context.abort(codes.get(code, grpc.StatusCode.INTERNAL), message)

    def _model(self, model_spec: Any) -> Any:
        version = model_spec.version.value if model_spec.HasField("version") else None
        return self._models.model(model_spec.name, version)

    def _not_offered(self, request: Any, context: Any) -> Any:
        def refuse() -> None:
            raise RequestError(UNIMPLEMENTED, "this server offers Predict, GetModelMetadata and GetModelStatus")

        return self._answer(context, refuse)


class _PredictionService(_Service):
    def Predict(self, request: Any, context: Any) -> Any:
        return self._answer(context, lambda: self._predict(request, context))

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        return self._answer(context, lambda: self._metadata(request))

    def _predict(self, request: Any, context: Any) -> Any:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        model = self._model(request.model_spec)
        inputs = {}
        for name, tensor in request.inputs.items():
            self._check_size(name, tensor)
            try:
                inputs[name] = tf.make_ndarray(tensor)
            except Exception as error:  # wrong sizes, or types that NumPy does not have
                raise RequestError(INVALID_ARGUMENT, f"{name}: not a valid tensor ({error})") from error
        left = context.time_remaining()
        until = time.monotonic() + min(self._limits.request_s, self._limits.request_s if left is None else left)
        with self._models.turn.turn(context.is_active, until):
            outputs = model.predict(request.model_spec.signature_name, inputs, list(request.output_filter))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = model.signature(request.model_spec.signature_name)[0]
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def _check_size(self, name: str, tensor: Any) -> None:
        """Refuse a tensor that is larger than any request, before it is made: one value may fill any shape."""
        sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
        # Numbers of four bytes; texts are as long as the request.
        if tensor.tensor_shape.unknown_rank or min(sizes, default=0) < 0 or 4 * math.prod(sizes) > self._max_bytes:
            raise RequestError(INVALID_ARGUMENT, f"{name}: shape {sizes[:8]}, larger than this server takes")

    def _metadata(self, request: Any) -> Any:
        from tensorflow_serving.apis import get_model_metadata_pb2

        model = self._model(request.model_spec)
        unknown = [field for field in request.metadata_field if field != "signature_def"]
        if unknown or not request.metadata_field:
            got = unknown[0] if unknown else "none"
            raise RequestError(INVALID_ARGUMENT, f"metadata_field: expected signature_def, got {got}")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in model.signatures.items():
            signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = model.version
        response.metadata["signature_def"].Pack(signatures)
        return response

    Classify = Regress = MultiInference = _Service._not_offered


class _ModelService(_Service):
    def GetModelStatus(self, request: Any, context: Any) -> Any:
        return self._answer(context, lambda: self._status(request))

    def _status(self, request: Any) -> Any:
        from tensorflow_serving.apis import get_model_status_pb2

        model = self._model(request.model_spec)
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=model.version, state=_AVAILABLE)
        return response

    HandleReloadConfigRequest = _Service._not_offered
