"""The job of `ds3d serve`: models behind TensorFlow Serving's interfaces, without TensorFlow Serving."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError, argument
from ds3d_tf.common.optional import require
from ds3d_tf.common.options import takes_options
from ds3d_tf.common.shipped import find_model
from ds3d_tf.options import ServeOptions
from ds3d_tf.serving.limits import ServerLimits, read_token

_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_TO_FINISH = 30


@takes_options(ServeOptions)
def serve(models: Sequence[str], options: ServeOptions) -> None:
    """Serve models over gRPC and REST until the process is told to stop.

    Args:
        models: models, each as MODEL or NAME=MODEL: a folder, whose name is the model's (``saved_model`` takes its
            parent's), or the name of a shipped model.
        options: see :class:`~ds3d_tf.options.ServeOptions`; its fields may be given as keywords instead.

    Raises InputError for a model, address or option that cannot be used.
    """
    host, largest_request_mb = options.host, options.largest_request_mb
    if not largest_request_mb < 2048:
        raise InputError(f"{argument('largest_request_mb')} {largest_request_mb:g}: expected MB, below 2048")
    folders = named_folders(models)
    require("this server", "serving", "grpc", "tensorflow_serving", "grpc_health", "prometheus_client")
    limits = _limits(options)

    from ds3d_tf.serving.grpc_server import start_grpc
    from ds3d_tf.serving.metrics import Metrics
    from ds3d_tf.serving.rest_server import start_rest
    from ds3d_tf.serving.served_models import ServedModels

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    served = ServedModels(folders, options.memory_gb, options.parallel)
    bracketed = f"[{host}]" if ":" in host else host
    metrics = Metrics(lambda: served.turn.waiting)
    address = f"{bracketed}:{options.port}"
    grpc_server, grpc_port = start_grpc(served, address, largest_request_mb, limits, metrics)
    try:
        rest = start_rest(served, host, options.rest_port, largest_request_mb, limits, metrics)
    except InputError:
        grpc_server.stop(0)
        raise
    messages = console.messages()
    scheme = "http" if limits.certificate is None else "https"
    for name in folders:
        messages.print(
            f"serving {name} version {served.model(name).version}: gRPC at {bracketed}:{grpc_port}, "
            f"REST at {scheme}://{bracketed}:{rest.server_address[1]}/v1/models/{name}",
            soft_wrap=True,
        )
    while not stop.wait(_SECONDS_BETWEEN_LOOKS):
        for news in served.refresh():
            messages.print(news, soft_wrap=True)
    messages.print("stopping")
    grpc_server.ds3d_health.enter_graceful_shutdown()
    stopped = grpc_server.stop(_SECONDS_TO_FINISH)
    rest.drain(_SECONDS_TO_FINISH)
    stopped.wait()


def _limits(options: ServeOptions) -> ServerLimits:
    for name in ("tls_cert", "tls_key"):
        path = getattr(options, name)
        if path is not None and not path.is_file():
            raise InputError(f"{argument(name)} {path}: no such file")
    if options.tls_key is not None and options.tls_cert is None:
        raise InputError(f"{argument('tls_key')}: give the certificate, too, with {argument('tls_cert')}")
    return ServerLimits(
        request_s=options.request_timeout_s,
        connections=options.connections,
        memory_gb=options.memory_gb,
        token=None if options.token_file is None else read_token(options.token_file),
        certificate=options.tls_cert,
        key=options.tls_key,
    )


def named_folders(models: Sequence[str]) -> dict[str, Path]:
    """Return the folders by name from ``NAME=DIR`` or ``DIR``; raises InputError for names that do not tell apart."""
    folders: dict[str, Path] = {}
    for text in models:
        name, equals, folder = text.partition("=")
        path = find_model(folder if equals else text)
        if not equals:
            own = path.absolute()
            name = own.parent.name if own.name == "saved_model" or own.name.isdigit() else own.name
        if not name or "/" in name or ":" in name:
            raise InputError(f"{argument('models')} {text}: expected DIR, or NAME=DIR with a name without / and :")
        if name in folders:
            raise InputError(
                f"{argument('models')} {text}: there is another model named {name}; give it a name: NAME={path}"
            )
        folders[name] = path
    if not folders:
        raise InputError(f"no model to serve: give one or more by {argument('models')} DIR")
    return folders
