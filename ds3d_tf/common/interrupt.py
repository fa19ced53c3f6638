"""Ctrl-C that waits for a good moment: libraries may swallow an exception raised in the middle of their own work."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any


class PatientInterrupt:
    """A context in which the first Ctrl-C is noted for :meth:`check`, and a second one raises at once.

    Does nothing outside the main thread, and where the process was started to ignore Ctrl-C.

    Args:
        answer: line to show on stderr as soon as Ctrl-C is pressed, even while native code runs; empty: none.
    """

    def __init__(self, answer: str = "") -> None:
        self.asked = self.asked_again = False
        self.answer = answer
        self._before: Any = None
        self._answering: contextlib.ExitStack | None = None

    def __enter__(self) -> PatientInterrupt:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if before is not signal.SIG_IGN:
                self._before = before
                signal.signal(signal.SIGINT, self._note)
                if self.answer:
                    self._answering = contextlib.ExitStack()
                    self._answering.enter_context(_answers(self.answer))
        return self

    def __exit__(self, *failure: object) -> None:
        if self._answering is not None:
            self._answering.close()
            self._answering = None
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed; call where work can stop and nothing is half done."""
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.asked_again = True
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def _answers(text: str) -> Any:
    """Print ``text`` at the first Ctrl-C from a thread of its own.

    Python calls a signal's handler only between two steps of its own code, and a step of native code may take long. But
    the signal's number is written to a wake-up descriptor at once.
    """
    hears, tells = socket.socketpair()
    tells.setblocking(False)
    before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        while received := hears.recv(1):
            if before != -1:
                with contextlib.suppress(OSError):
                    os.write(before, received)
            if received[0] == signal.SIGINT:
                print(f"\n{text}", file=sys.stderr, flush=True)
                return

    thread = threading.Thread(target=wait, name="answer-to-ctrl-c", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        tells.close()
        thread.join(timeout=1)
        hears.close()
