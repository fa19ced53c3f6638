"""The chief of a search in several processes: it assigns trials to the workers that ask for one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

from ds3d_tf.common.errors import InputError

SECONDS_BETWEEN_LOOKS = 0.5
# A worker that comes when a search is over may have been started together with a chief that makes it longer.
SECONDS_FOR_ANOTHER_CHIEF = 20.0


class Chief:
    """keras-tuner's oracle as a gRPC service.

    Args:
        oracle: from ``build_oracle``.
        address: ``host:port``; port 0 takes a free one.

    Attributes:
        port: the port that it listens on.

    Raises InputError if the address cannot be used.
    """

    def __init__(self, oracle: Any, address: str) -> None:
        import grpc
        from keras_tuner.src import protos
        from keras_tuner.src.distribute.oracle_chief import OracleServicer

        self.oracle = oracle
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        self._servicer = OracleServicer(oracle)
        protos.get_service_grpc().add_OracleServicer_to_server(self._servicer, self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise InputError(
                f"the chief cannot listen at {address}; KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT must be an "
                "address of this machine and a free port"
            )

    def serve(self, look: Callable[[], bool]) -> None:
        """Serve as long as ``look()``, called at intervals, returns True."""
        self._server.start()
        try:
            while look():
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            # Give the last answer time to reach its worker.
            self._server.stop(grace=2).wait()

    def over(self) -> bool:
        """Return whether no trials are left and every worker that asked for one knows it."""
        return self._servicer.stop_triggered and not self.oracle.ongoing_trials and not self.oracle.tuner_ids


def wait_for_chief(address: str, seconds: float, over: Callable[[], bool] = lambda: False) -> bool:
    """Wait until a chief answers, and limit later requests to it to the same time; return whether one answers.

    Args:
        address: its ``host:port``.
        seconds: how long to wait.
        over: tells whether the search has ended; then a chief that goes on with it is waited for only briefly, and
            False is returned if none does.

    Raises InputError if none answers in time.
    """
    import grpc
    from keras_tuner.src.distribute import oracle_client

    oracle_client.TIMEOUT = seconds
    channel = grpc.insecure_channel(address)
    ready = grpc.channel_ready_future(channel)
    begin = time.monotonic()
    try:
        while True:
            with contextlib.suppress(grpc.FutureTimeoutError):
                ready.result(timeout=SECONDS_BETWEEN_LOOKS)
                return True
            waited = time.monotonic() - begin
            if waited > SECONDS_FOR_ANOTHER_CHIEF and over():
                return False
            if waited > seconds:
                raise InputError(
                    f"no chief answers at {address}; start one with KERASTUNER_TUNER_ID=chief and the same address"
                )
    finally:
        ready.cancel()
        channel.close()
