"""A worker process of `ds3d tune`: ``python -m ds3d_tf.training.search.worker FOLDER``."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.quiet import quiet_tensorflow


def main(folder: str) -> int:
    """Train the chief's trials until none is left, or until the chief ends; return the exit code."""
    quiet_tensorflow()
    threading.Thread(target=_end_with_the_chief, daemon=True).start()
    from ds3d_tf.training.search.run import work

    try:
        work(Path(folder))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _end_with_the_chief() -> None:
    # The chief never writes to this pipe, so the read returns only when the chief ends and the pipe is closed.
    # os.read, not sys.stdin: a thread that waits in sys.stdin holds a lock that the interpreter needs to shut down.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
