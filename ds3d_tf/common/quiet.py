"""Keeps the messages of native code off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


def quiet_tensorflow() -> None:
    """Let a later ``import tensorflow`` say nothing on stderr; ``TF_CPP_MIN_LOG_LEVEL=0`` keeps its messages.

    The native libraries write to file descriptor 2 before their log level is read, so the descriptor
    itself points elsewhere while they load.
    """
    already = "tensorflow" in sys.modules or any(isinstance(finder, _TensorFlowFinder) for finder in sys.meta_path)
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0" and not already:
        sys.meta_path.insert(0, _TensorFlowFinder())


class _TensorFlowFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_silently(module: ModuleType) -> None:
            with _silenced_stderr():
                load(module)
                module.config.list_physical_devices()

        spec.loader.exec_module = load_silently  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def silent_unless_it_fails() -> Iterator[None]:
    """Hold back what the block writes to standard error, by whatever way, and write it if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except Exception:
            sys.stderr.flush()
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
