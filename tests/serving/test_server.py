"""`ds3d serve` over real sockets: TensorFlow Serving's interfaces, refusals, many clients at once."""

import http.client
import json
import shutil
import threading
import time

import numpy as np
import pytest

from ds3d_tf.common import InputError
from ds3d_tf.jobs.serve import named_folders
from ds3d_tf.serving.client.connection import Retries, parse_address
from ds3d_tf.serving.client.errors import Refusal
from ds3d_tf.serving.client.grpc import GrpcConnection
from ds3d_tf.serving.client.remote_model import RemoteModel
from ds3d_tf.serving.client.rest import RestConnection
from ds3d_tf.serving.limits import Turns
from ds3d_tf.serving.served_models import ServedModels

GOOD = np.full((2, 20, 26), 5, np.float32)
GOOD[1, 8, 9] += 350
XYZ_UM = [(9 - 13) * 0.11, (8 - 10) * 0.11, 1.875]


@pytest.fixture(params=["grpc", "rest"])
def connection(request, server):
    if request.param == "grpc":
        opened = GrpcConnection(f"127.0.0.1:{server.grpc}", False, 60)
    else:
        opened = RestConnection("127.0.0.1", server.rest, False, 60)
    yield opened
    opened.close()


def post(server, path, body):
    """Return status and answer of a REST request."""
    link = http.client.HTTPConnection("127.0.0.1", server.rest, timeout=60)
    link.request("POST", path, body if isinstance(body, bytes) else json.dumps(body))
    response = link.getresponse()
    return response.status, json.loads(response.read())


def get(server, path):
    link = http.client.HTTPConnection("127.0.0.1", server.rest, timeout=60)
    link.request("GET", path)
    response = link.getresponse()
    return response.status, json.loads(response.read())


def assert_answers(connection):
    result = connection.predict("bright", None, "serving_default", {"frames": GOOD})
    assert result["count"].tolist() == [0, 1]
    np.testing.assert_allclose(result["xyz_um"][1], [XYZ_UM], atol=1e-6)
    np.testing.assert_allclose(result["confidence"][1], [350])


def test_predictions_and_versions(connection):
    assert_answers(connection)
    assert connection.version("bright") == 3
    assert connection.predict("bright", 3, "with_options", {
        "frames": GOOD, "threshold": np.float32(400), "radius": np.int32(2)
    })["count"].tolist() == [0, 0]  # fmt: skip
    for name, version, expected in (("dark", None, "no model 'dark'; .* bright"), ("bright", 2, "version 2 is not")):
        with pytest.raises(Refusal, match=expected) as caught:
            connection.predict(name, version, "serving_default", {"frames": GOOD})
        assert caught.value.missing and not caught.value.temporary


def bad(value):
    frames = GOOD.copy()
    frames[0, 3, 4] = value
    return frames


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"frames": bad(np.nan)}, "NaN or infinite"),
        ({"frames": bad(-np.inf)}, "NaN or infinite"),
        ({"frames": GOOD[:0]}, r"got no frame|expected shape \[any, any, any\], got \[0\]"),
        ({"frames": GOOD[0]}, r"expected shape \[any, any, any\], got \[20, 26\]"),
        ({"frames": GOOD[:, :2]}, "each side at least 3 pixels"),
        ({"frames": np.full((2, 20, 26), "bright")}, "expected float32, got string|expected values of float32"),
        ({"frames": np.zeros((1, 2600, 2600), np.float32)}, r"larger than max \(27.* vs. 16777216\)|takes 16 MB"),
        ({}, "input 'frames' is missing"),
        ({"frames": GOOD, "frame": GOOD}, "no input 'frame'; the signature has frames"),
    ],
    ids=["nan", "infinite", "none", "rank", "small", "dtype", "large", "missing", "unknown"],
)
def test_malformed_requests_are_told_and_survived(connection, inputs, expected):
    with pytest.raises(Refusal, match=expected) as caught:
        connection.predict("bright", None, "serving_default", inputs)
    assert not caught.value.temporary and len(str(caught.value)) < 400
    assert_answers(connection)


def test_a_request_of_100_mb_is_told_and_survived(server):
    connection = GrpcConnection(f"127.0.0.1:{server.grpc}", False, 60)
    with pytest.raises(Refusal, match="larger than max"):
        connection.predict("bright", None, "serving_default", {"frames": np.zeros((1, 5000, 5300), np.float32)})
    body = b'{"inputs": [[[' + b"5," * (50 * 2**20) + b"5]]]}"
    status, answer = post(server, "/v1/models/bright:predict", body)
    assert status == 413 and "100.0 MB; this server takes 16 MB" in answer["error"]
    assert_answers(connection)
    connection.close()


def test_what_only_one_protocol_can_get_wrong(server):
    from tensorflow_serving.apis import predict_pb2

    connection = GrpcConnection(f"127.0.0.1:{server.grpc}", False, 60)
    with pytest.raises(Refusal, match="frames: expected float32, got int16"):
        connection.predict("bright", None, "serving_default", {"frames": GOOD.astype(np.int16)})
    with pytest.raises(Refusal, match="no signature 'peaks'; this model has about, in_tiles, serving_default"):
        connection.predict("bright", None, "peaks", {"frames": GOOD})
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "bright"
    request.inputs["frames"].dtype = 1
    request.inputs["frames"].tensor_shape.dim.add(size=1000)
    request.inputs["frames"].tensor_content = b"1234"
    with pytest.raises(Refusal, match="frames: not a valid tensor"):
        connection._call(connection._prediction.Predict, request)
    huge = np.zeros((1, 1900, 1900), np.float32)
    with pytest.raises(Refusal, match=r"take 44\.4 GB in volume, more than this server's 4 GB allow"):
        connection.predict("bright", None, "volume", {"frames": huge})
    connection.close()
    for body, status, expected in [
        (b"frames", 400, "not valid JSON"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b"[]", 400, "expected a JSON object"),
        ({"frames": GOOD.tolist()}, 400, "either 'instances' or 'inputs'"),
        ({"instances": []}, 400, "a list of one or more"),
        ({"inputs": [[[1, 2], [3]]]}, 400, "rows of different lengths"),
        ({"inputs": {"frames": [[["1"]]]}}, 400, 'expected values of float32, got "1"'),
        ({"inputs": GOOD.tolist(), "signature_name": "with_options"}, 200, ""),
        ({"inputs": GOOD.tolist(), "signature_name": 1}, 400, "expected a string"),
    ]:
        got, answer = post(server, "/v1/models/bright:predict", body)
        assert got == status and expected in answer.get("error", ""), answer
    assert post(server, "/v1/models/bright:classify", {})[0] == 404
    assert get(server, "/v1/models")[0] == 404
    assert get(server, "/v1/models/bright:predict")[0] == 405


def test_rest_has_rows_and_columns_status_and_metadata(server):
    status, answer = post(server, "/v1/models/bright/versions/3:predict", {"instances": GOOD.tolist()})
    assert status == 200
    assert [set(row) for row in answer["predictions"]] == [{"xyz_um", "confidence", "count"}] * 2
    assert [row["count"] for row in answer["predictions"]] == [0, 1]
    named = {"instances": [{"frames": frame} for frame in GOOD.tolist()]}
    assert post(server, "/v1/models/bright:predict", named) == (200, answer)
    assert get(server, "/v1/models/bright")[1]["model_version_status"] == [
        {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
    metadata = get(server, "/v1/models/bright/versions/3/metadata")[1]
    assert metadata["model_spec"] == {"name": "bright", "signature_name": "", "version": "3"}
    frames = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["frames"]
    assert frames["dtype"] == "DT_FLOAT" and [size["size"] for size in frames["tensor_shape"]["dim"]] == ["-1"] * 3


def test_grpc_has_metadata_and_an_output_filter(server):
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

    connection = GrpcConnection(f"127.0.0.1:{server.grpc}", False, 60)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "bright"
    answer = connection._call(connection._prediction.GetModelMetadata, request)
    assert answer.model_spec.version.value == 3
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "with_options", "about"} <= set(signatures.signature_def)
    import tensorflow as tf

    predict = predict_pb2.PredictRequest(output_filter=["count"])
    predict.model_spec.name = "bright"
    predict.inputs["frames"].CopyFrom(tf.make_tensor_proto(GOOD))
    assert list(connection._call(connection._prediction.Predict, predict).outputs) == ["count"]
    connection.close()


def test_a_remote_model_localizes_and_filters(connection):
    remote = RemoteModel(connection, Retries("server", 10), "bright")
    assert remote.version == 3 and remote.receptive_radius_px == 3 and remote.setup.learning.peak_threshold == 120
    found = remote.localize(GOOD, 120.0, 2)
    assert [rows.shape for rows in found] == [(0, 4), (1, 4)]
    np.testing.assert_allclose(found[1], [[*XYZ_UM, 350]], rtol=1e-6)
    counts = {(120.0, 2): 1, (349.0, 2): 1, (350.0, 2): 0, (50.0, 2): 2, (50.0, 60): 1}
    frames = GOOD[1:].copy()
    frames[0, 14, 20] += 80
    for (threshold, radius), count in counts.items():
        assert len(remote.localize(frames, threshold, radius)[0]) == count


def test_a_higher_version_takes_over(start_server, model_folder, tmp_path):
    for version in ("1", "2"):
        shutil.copytree(model_folder, tmp_path / version)
        if version == "1":
            models = ServedModels({"m": tmp_path}, 4, 1)
        assert models.model("m").version == 1
    assert models.refresh() == []  # it may still be copied
    assert models.refresh() == ["m: now using version 2"] and models.model("m").version == 2
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "saved_model.pb").write_bytes(b"damaged")
    assert models.refresh() == []
    assert "version 7 cannot be loaded, still using version 2" in models.refresh()[0]
    assert models.refresh() == [] and models.model("m").version == 2
    # A version that was not there as a whole is loaded when it is.
    shutil.copytree(model_folder, tmp_path / "7", dirs_exist_ok=True)
    assert models.refresh() == []
    assert models.refresh() == ["m: now using version 7"]


@pytest.mark.parametrize(
    ("clients", "seconds"), [(16, 1.5), pytest.param(64, 60.0, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_many_clients_at_once(server, capsys, clients, seconds):
    frames = np.full((4, 40, 40), 5, np.float32)
    frames[:, 8, 9] += 350
    latencies, errors = [[] for _ in range(clients)], []
    end = time.monotonic() + seconds

    def work(index):
        if index % 4:
            connection = GrpcConnection(f"127.0.0.1:{server.grpc}", False, 60)
        else:
            connection = RestConnection("127.0.0.1", server.rest, False, 60)
        try:
            while time.monotonic() < end:
                begin = time.perf_counter()
                result = connection.predict("bright", 3, "serving_default", {"frames": frames})
                latencies[index].append(time.perf_counter() - begin)
                assert result["count"].tolist() == [1] * 4
        except Exception as error:
            errors.append(f"{type(connection).__name__} after {len(latencies[index])} answers: {error}")
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert all(latencies), "a client got no answer"
    times = np.sort(np.concatenate(latencies)) * 1000
    with capsys.disabled():
        print(
            f"\n{clients} clients for {seconds:g} s: {len(times)} requests of 4 frames, {len(times) / seconds:.0f}/s; "
            f"latency median {np.median(times):.0f} ms, 99 % {np.quantile(times, 0.99):.0f} ms, "
            f"largest {times[-1]:.0f} ms; no error"
        )


def test_turns_are_taken_in_the_order_of_coming():
    turn, order, inside = Turns(2), [], []

    def work(index):
        with turn.turn():
            inside.append(1)
            order.append(index)
            assert len(inside) <= 2
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(12)]
    with turn.turn(), turn.turn():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            while turn.waiting < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    # Two at a time: neighbours may change places.
    assert sorted(order) == list(range(12)) and all(abs(place - index) <= 1 for place, index in enumerate(order))


def test_addresses_and_names(tmp_path):
    assert parse_address("host") == ("grpc", "host", 8500)
    assert parse_address("host:9") == ("grpc", "host", 9)
    assert parse_address("https://host") == ("https", "host", 8501)
    assert parse_address("grpc://[::1]:7") == ("grpc", "[::1]", 7)
    for text in ("ftp://host", "host:port", "http://", "http://host/v1", ""):
        with pytest.raises(InputError, match="expected host:port"):
            parse_address(text)
    assert list(named_folders(["runs/mine", "other=runs/mine", "runs/ours/saved_model", "m/name/3"])) == [
        "mine",
        "other",
        "ours",
        "name",
    ]
    for texts, expected in (
        (["a/b", "c/b"], "another model named b"),
        (["a:b=c/d"], "without / and :"),
        ([], "no model"),
    ):
        with pytest.raises(InputError, match=expected):
            named_folders(texts)
