"""The workers of a training on several machines: TF_CONFIG, and waiting for one another."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.texts import parse_json

EXAMPLE = '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}'
SECONDS_TO_WAIT = 300.0
_GREETING = b"ds3d-tf worker %d of %d\n"


@dataclass(frozen=True)
class Workers:
    """All workers of a training and which of them this process is.

    Attributes:
        addresses: ``host:port`` of each; the first one is the chief, which writes the run folder.
        index: this process's place among them, from 0.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0


def read_workers(text: str | None = None) -> Workers:
    """Return the workers that TF_CONFIG names.

    Args:
        text: the value of TF_CONFIG; None: that of the environment.

    Raises InputError if it is missing or wrong.
    """
    text = os.environ.get("TF_CONFIG", "") if text is None else text
    if not text.strip():
        raise InputError(f"TF_CONFIG is not set; set it on every machine, such as {EXAMPLE}")
    try:
        config = parse_json(text, "TF_CONFIG")
    except InputError as error:
        raise InputError(f"TF_CONFIG is not JSON ({error}); expected such as {EXAMPLE}") from error
    cluster, task = (_entry(config, name) for name in ("cluster", "task"))
    strange = sorted(set(cluster) - {"chief", "worker"})
    if strange:
        raise InputError(f"TF_CONFIG: cluster has {strange[0]!r}; expected chief and worker only")
    addresses = {job: _addresses(cluster.get(job, []), job) for job in ("chief", "worker")}
    if len(addresses["chief"]) > 1:
        raise InputError("TF_CONFIG: cluster has more than one chief")
    kind, index = task.get("type"), task.get("index")
    if kind not in addresses or not addresses[kind]:
        known = " or ".join(job for job, listed in addresses.items() if listed)
        raise InputError(f"TF_CONFIG: task.type is {kind!r}; the cluster has {known or 'no worker'}")
    if isinstance(index, str) and index.isdigit():
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(addresses[kind]):
        last = len(addresses[kind]) - 1
        raise InputError(f"TF_CONFIG: task.index is {index!r}; expected 0 … {last}, a place in cluster.{kind}")
    everyone = (*addresses["chief"], *addresses["worker"])
    twice = next((address for address in everyone if everyone.count(address) > 1), None)
    if twice:
        raise InputError(f"TF_CONFIG: cluster names {twice} twice; every worker needs an address of its own")
    return Workers(everyone, index + (len(addresses["chief"]) if kind == "worker" else 0))


def wait_for_workers(workers: Workers, seconds: float = SECONDS_TO_WAIT) -> None:
    """Wait until every worker has reached every other.

    TensorFlow itself would wait forever, and would not report a port that is taken.

    Raises InputError if this worker's port cannot be used, or a worker does not answer in time.
    """
    if len(workers.addresses) == 1:
        return
    deadline = time.monotonic() + seconds
    host, port = _split(workers.addresses[workers.index])
    try:
        listener = socket.create_server(("", port), backlog=len(workers.addresses))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"TF_CONFIG: cannot listen on port {port} of {host} ({reason}); choose another port"
        ) from error
    met = {workers.index}
    answering = threading.Thread(target=_answer, args=(listener, workers, met, deadline), daemon=True)
    answering.start()
    try:
        for index, address in enumerate(workers.addresses):
            if index != workers.index:
                _greet(index, address, workers, deadline)
        answering.join(max(deadline - time.monotonic(), 0.0))
    finally:
        # This also ends the thread's waiting.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    missing = sorted(set(range(len(workers.addresses))) - met)
    if missing:
        raise InputError(
            f"TF_CONFIG: worker {missing[0]} ({workers.addresses[missing[0]]}) did not reach this one, worker "
            f"{workers.index} ({workers.addresses[workers.index]}), in {seconds:g} s; do they have the same cluster?"
        )


def _answer(listener: socket.socket, workers: Workers, met: set[int], deadline: float) -> None:
    """Answer greetings until all workers have been met."""
    count = len(workers.addresses)
    while len(met) < count and time.monotonic() < deadline:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5.0)
            greeting = _line(connection)
            for index in range(count):
                if greeting == _GREETING % (index, count):
                    connection.sendall(_GREETING % (workers.index, count))
                    met.add(index)


def _greet(index: int, address: str, workers: Workers, deadline: float) -> None:
    """Reach another worker; raises InputError if it does not answer in time."""
    count = len(workers.addresses)
    reason = "no answer"
    while True:
        try:
            with socket.create_connection(_split(address), timeout=5.0) as connection:
                connection.sendall(_GREETING % (workers.index, count))
                if _line(connection) == _GREETING % (index, count):
                    return
                reason = "another program answers there"
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() >= deadline:
            raise InputError(
                f"TF_CONFIG: worker {index} at {address} cannot be reached ({reason}); "
                "start it on its machine, or correct its address"
            )
        time.sleep(0.2)


def _line(connection: socket.socket) -> bytes:
    text = b""
    while not text.endswith(b"\n") and len(text) < 100:
        received = connection.recv(100)
        if not received:
            break
        text += received
    return text


def _entry(config: Any, name: str) -> dict[str, Any]:
    entry = config.get(name) if isinstance(config, dict) else None
    if not isinstance(entry, dict) or not entry:
        raise InputError(f"TF_CONFIG has no {name}; expected such as {EXAMPLE}")
    return entry


def _addresses(entry: Any, job: str) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(isinstance(address, str) for address in entry):
        raise InputError(f"TF_CONFIG: cluster.{job} is not a list of host:port")
    for address in entry:
        _split(address)
    return tuple(entry)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"TF_CONFIG: {address!r} is not host:port")
    return host.strip("[]"), int(port)
