"""A worker process of tools/tune.py: ``python -m ds3d_tf.training.search.worker FOLDER``."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.quiet import quiet_tensorflow


def main(folder: str) -> int:
    """Train the chief's trials until there are no more, or until the chief is gone; return the exit code."""
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
    # The chief never writes: reading ends when it does. Not through Python's own buffer, whose lock a thread that still
    # reads would hold when the interpreter shuts down.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
