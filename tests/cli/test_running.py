"""Running a command: one line for a user's mistake, exit codes, a quiet TensorFlow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

COMMAND = """
from typing import Annotated
import typer
from ds3d_tf.cli.options import as_command
from ds3d_tf.common import InputError
from ds3d_tf.common.options import Option

def main(kind: Annotated[str, Option("--kind", "What to do.")] = "nothing") -> None:
    \"\"\"Test command.\"\"\"
    if kind == "mistake":
        raise InputError("frames.tif: not a TIFF file")
    if kind == "bug":
        raise RuntimeError("a bug")
    if kind == "tensorflow":
        import tensorflow as tf
        print(int(tf.constant(20) + 22))
    if kind == "wait":
        import time
        print("waiting", flush=True)
        time.sleep(60)

if __name__ == "__main__":
    program = typer.Typer(pretty_exceptions_enable=False)
    program.command()(as_command(main))
    program()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, env=environment)


def test_a_mistake_is_one_line_and_exit_code_2() -> None:
    result = run("--kind", "mistake")
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "error: frames.tif: not a TIFF file\n")


def test_a_wrong_option_is_exit_code_2() -> None:
    assert run("--kindd", "x").returncode == 2


def test_a_bug_still_shows_its_traceback() -> None:
    result = run("--kind", "bug")
    assert result.returncode == 1
    assert "RuntimeError: a bug" in result.stderr


def test_tensorflow_starts_silently() -> None:
    result = run("--kind", "tensorflow")
    assert (result.returncode, result.stdout, result.stderr) == (0, "42\n", "")


def test_ctrl_c_is_exit_code_130_without_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--kind", "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "interrupted\n"
