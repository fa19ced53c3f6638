"""The gRPC server's token, TLS, health, and tensors that stand for more than they hold."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from ds3d_tf.serving.client.connection import open_connection
from ds3d_tf.serving.client.errors import Refusal
from ds3d_tf.serving.grpc_server import start_grpc
from ds3d_tf.serving.limits import ServerLimits, Turns
from ds3d_tf.serving.rest_server import start_rest

grpc = pytest.importorskip("grpc", reason="the extra 'serving' is not installed")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
prediction_service_pb2_grpc = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
health_pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
TOKEN = "correct-horse-battery"


class Model:
    """Stands for a served model that doubles numbers."""

    version = 1
    signatures: dict = {}

    def signature(self, name):
        return name or "serving_default", SimpleNamespace(inputs={"x": SimpleNamespace(dtype=1)}, defaults={})

    def predict(self, name, inputs, wanted=()):
        return {"y": 2 * inputs["x"]}


MODELS = SimpleNamespace(turn=Turns(1), parsing=Turns(1), model=lambda name, version=None: Model())


@pytest.fixture
def serve():
    """Start a gRPC server with limits; returns its port."""
    running = []

    def start(**limits):
        server, port = start_grpc(MODELS, "127.0.0.1:0", 1, ServerLimits(**limits))
        running.append(server)
        return port

    yield start
    for server in running:
        server.stop(0)


def double(address, **options):
    connection = open_connection(address, 10, **options)
    try:
        return connection.predict("m", None, "serving_default", {"x": np.ones(2, np.float32)})["y"].tolist()
    finally:
        connection.close()


def test_a_token_is_asked_for(serve):
    address = f"127.0.0.1:{serve(token=TOKEN)}"
    assert double(address, token=TOKEN) == [2, 2]
    for wrong in (None, TOKEN + "x"):
        with pytest.raises(Refusal, match="asks for a token") as caught:
            double(address, token=wrong)
        assert not caught.value.temporary


def test_health(serve):
    with grpc.insecure_channel(f"127.0.0.1:{serve(token=TOKEN)}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "tensorflow.serving.PredictionService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**40,), (-1,), (1, 2**31, 2**31)])
def test_small_messages_that_stand_for_huge_tensors_are_refused(serve, shape):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.float_val.append(0.0)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    with grpc.insecure_channel(f"127.0.0.1:{serve()}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, timeout=10)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "larger than this server takes" in caught.value.details()


def test_tls(serve, tmp_path):
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl is not installed")
    trusted = pem.read_bytes()
    limits = {"certificate": pem, "key": key, "token": TOKEN}
    assert double(f"grpcs://localhost:{serve(**limits)}", root_certificates=trusted, token=TOKEN) == [2, 2]
    rest = start_rest(MODELS, "127.0.0.1", 0, 1, ServerLimits(**limits))
    try:
        port = rest.server_address[1]
        connection = open_connection(f"https://localhost:{port}", 10, trusted, TOKEN)
        assert connection.version("m") == 1
        with pytest.raises(Refusal, match="no answer"):
            open_connection(f"https://localhost:{port}", 10, None, TOKEN).version("m")  # not trusted
        with pytest.raises(Refusal, match="no answer"):
            open_connection(f"http://localhost:{port}", 10, None, TOKEN).version("m")
    finally:
        rest.shutdown()
        rest.server_close()
