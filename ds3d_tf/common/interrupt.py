"""Ctrl-C that waits for a good moment: libraries may swallow an exception raised in the middle of their own work."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class PatientInterrupt:
    """A context in which the first Ctrl-C is noted for :meth:`check`, and a second one raises at once.

    Does nothing outside the main thread, and where the process was started to ignore Ctrl-C.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> PatientInterrupt:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if before is not signal.SIG_IGN:
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed; call where work can stop and nothing is half done."""
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
