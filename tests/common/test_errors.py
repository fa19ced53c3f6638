"""An error names a function's argument; a command shows its option instead."""

from __future__ import annotations

from ds3d_tf.common.errors import InputError, argument


def test_python_reads_the_argument_and_a_command_its_option() -> None:
    error = InputError(f"{argument('memory_gb')} 0.5: too little; see {argument('dry_run')} and memory_gb")
    assert str(error) == "memory_gb 0.5: too little; see dry_run and memory_gb"
    assert error.for_command({"memory_gb": "--memory"}) == "--memory 0.5: too little; see --dry-run and memory_gb"


def test_an_error_within_an_error_keeps_its_arguments() -> None:
    inner = InputError(f"{argument('batch_size')} 0: expected 1 or more")
    outer = InputError(f"frame 3: {inner.marked}")
    assert outer.for_command({"batch_size": "--batch"}) == "frame 3: --batch 0: expected 1 or more"


def test_an_error_without_text_is_empty() -> None:
    assert str(InputError()) == ""
