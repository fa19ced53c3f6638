"""What a server tells Prometheus: requests, their time, the queue, memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ds3d_tf.serving.errors import INTERNAL, RequestError

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The figures of one server; :meth:`text` is what Prometheus reads."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        """``waiting`` returns how many predictions wait for their turn."""
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ds3d_requests",
            "Requests, by interface and gRPC code.",
            ["interface", "code"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "ds3d_request_seconds",
            "Seconds from a request's first byte of content to its answer.",
            ["interface"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._open = Gauge("ds3d_requests_open", "Requests that are being answered.", registry=self._registry)
        queue = Gauge("ds3d_predictions_waiting", "Predictions that wait for their turn.", registry=self._registry)
        queue.set_function(waiting)
        memory = Gauge("ds3d_memory_bytes", "Memory that the process holds.", registry=self._registry)
        memory.set_function(memory_bytes)

    @contextlib.contextmanager
    def request(self, interface: str) -> Iterator[None]:
        """Count a request to "grpc" or "rest", which the block answers; a RequestError gives its code."""
        begin, code = time.monotonic(), 0
        self._open.inc()
        try:
            yield
        except RequestError as error:
            code = error.code
            raise
        except BaseException:
            code = INTERNAL
            raise
        finally:
            self._open.dec()
            self._requests.labels(interface, str(code)).inc()
            self._seconds.labels(interface).observe(time.monotonic() - begin)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


def memory_bytes() -> float:
    """Return the memory that this process holds now, bytes; 0 if the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024.0
    except (OSError, StopIteration, ValueError):
        return 0.0
