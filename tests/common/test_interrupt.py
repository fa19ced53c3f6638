"""Ctrl-C noted, and raised where work can stop."""

import os
import signal
import threading

import pytest

from ds3d_tf.common.interrupt import PatientInterrupt


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_waits_for_the_check() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), PatientInterrupt() as interrupt:
        interrupt.check()
        press()
        done.append("the rest of the step")
        interrupt.check()
        done.append("another step")
    assert done == ["the rest of the step"]


def test_a_library_that_swallows_exceptions_cannot_swallow_it() -> None:
    class Swallows:
        def __del__(self) -> None:  # Python prints and forgets what is raised here
            press()

    with PatientInterrupt() as interrupt:
        Swallows()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()


def test_the_second_one_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), PatientInterrupt():
        press()
        press()
        pytest.fail("went on after the second")


def test_the_handler_is_given_back_and_an_ignored_signal_stays_ignored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with PatientInterrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is before
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with PatientInterrupt() as interrupt:
            press()
            interrupt.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_the_signal_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with PatientInterrupt() as interrupt:
            interrupt.check()
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_answer_comes_while_native_code_runs(capfd) -> None:
    """The main thread sits in one call that Python cannot interrupt; another thread answers."""
    import ctypes
    import time

    began = time.monotonic()
    threading.Timer(0.2, press).start()
    with pytest.raises(KeyboardInterrupt), PatientInterrupt("finishing the step") as interrupt:
        seen = []
        threading.Timer(0.6, lambda: seen.append(capfd.readouterr().err)).start()
        while time.monotonic() - began < 1.0:
            ctypes.CDLL(None).usleep(300_000)
        assert seen and "finishing the step" in seen[0]
        interrupt.check()
