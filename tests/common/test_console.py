"""Progress bars: nothing before there is something to show, and no half bar above an error."""

from __future__ import annotations

import pytest

from ds3d_tf.common import InputError, console


def test_bars_show_each_task(capsys: pytest.CaptureFixture[str]) -> None:
    with console.bars("slices") as progress:
        for done in range(4):
            progress("reading", done, 3)
        progress("fitting, misfit 9", 1, None)
        progress("fitting, misfit 2", 4, 4)
    shown = capsys.readouterr().err
    assert "reading" in shown and "3/3" in shown and "4/4" in shown and "slices/s" in shown
    assert "fitting, misfit 2" in shown and "misfit 9" not in shown and shown.count("fitting") == 1


def test_no_bar_without_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with console.bars():
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("failure", [InputError, OSError])
def test_a_mistake_leaves_no_half_bar(capsys: pytest.CaptureFixture[str], failure: type[Exception]) -> None:
    with pytest.raises(failure, match="bad frame"), console.bars() as progress:
        progress("reading", 2, 9)
        raise failure("bad frame")
    shown = capsys.readouterr().err
    assert ("2/9" in shown) == (failure is not InputError)
