"""The job of tools/serve.py: models behind TensorFlow Serving's interfaces, without TensorFlow Serving."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError

_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_TO_FINISH = 30


def serve(
    models: list[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8500,
    rest_port: int = 8501,
    parallel: int = 1,
    memory_gb: float | None = None,
    largest_request_mb: float = 64,
) -> None:
    """Serve models over gRPC and REST until the process is told to stop.

    Args:
        models: folders, each as DIR or NAME=DIR; a folder's name is its model's, ``saved_model`` is its parent's.
        host: address to listen on.
        port: for gRPC; 0: a free one.
        rest_port: for REST; 0: a free one.
        parallel: predictions at a time.
        memory_gb: what signatures without a bound of their own may take, GB.
        largest_request_mb: larger requests are refused, megabytes (2²⁰ bytes).

    Raises InputError for a model, address or option that cannot be used.
    """
    if parallel < 1:
        raise InputError(f"--parallel {parallel}: expected 1 or more")
    if not 0 < largest_request_mb < 2048:
        raise InputError(f"--largest-request {largest_request_mb:g}: expected MB, more than 0 and below 2048")
    if memory_gb is not None and not 0 < memory_gb < float("inf"):
        raise InputError(f"--memory {memory_gb:g}: expected GB, more than 0")
    folders = named_folders(models)
    check_serving_extra("this server")

    from ds3d_tf.localization.peaks.tiles import DEFAULT_MEMORY_GB
    from ds3d_tf.serving.grpc_server import start_grpc
    from ds3d_tf.serving.rest_server import start_rest
    from ds3d_tf.serving.served_models import ServedModels

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    served = ServedModels(folders, DEFAULT_MEMORY_GB if memory_gb is None else memory_gb, parallel)
    bracketed = f"[{host}]" if ":" in host else host
    grpc_server, grpc_port = start_grpc(served, f"{bracketed}:{port}", largest_request_mb)
    try:
        rest = start_rest(served, host, rest_port, largest_request_mb)
    except InputError:
        grpc_server.stop(0)
        raise
    messages = console.messages()
    for name in folders:
        messages.print(
            f"serving {name} version {served.model(name).version}: gRPC at {bracketed}:{grpc_port}, "
            f"REST at http://{bracketed}:{rest.server_address[1]}/v1/models/{name}",
            soft_wrap=True,
        )
    while not stop.wait(_SECONDS_BETWEEN_LOOKS):
        for news in served.refresh():
            messages.print(news, soft_wrap=True)
    messages.print("stopping")
    rest.shutdown()
    grpc_server.stop(_SECONDS_TO_FINISH).wait()


def named_folders(models: list[str]) -> dict[str, Path]:
    """Return the folders by name from ``NAME=DIR`` or ``DIR``; raises InputError for names that do not tell apart."""
    folders: dict[str, Path] = {}
    for text in models:
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text).expanduser()
        if not equals:
            own = path.absolute()
            name = own.parent.name if own.name == "saved_model" or own.name.isdigit() else own.name
        if not name or "/" in name or ":" in name:
            raise InputError(f"--model {text}: expected DIR, or NAME=DIR with a name without / and :")
        if name in folders:
            raise InputError(f"--model {text}: there is another model named {name}; give it a name: NAME={path}")
        folders[name] = path
    if not folders:
        raise InputError("no model to serve: give one or more by --model DIR")
    return folders


def check_serving_extra(what: str) -> None:
    """Raise InputError, naming ``what`` needs it, if TensorFlow Serving's messages are not installed."""
    from importlib.util import find_spec

    if find_spec("grpc") is None or find_spec("tensorflow_serving") is None:
        raise InputError(f"{what} needs TensorFlow Serving's messages: pip install 'ds3d-tf[serving]'")
