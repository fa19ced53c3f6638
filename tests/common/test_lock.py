"""The lock: against another process, after a kill, and gone when done."""

import subprocess
import sys

import pytest

from ds3d_tf.common import InputError
from ds3d_tf.common.lock import only_process

HOLD = "import sys, time\nfrom ds3d_tf.common.lock import only_process\n" + (
    "with only_process(sys.argv[1], 'a.csv'):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def test_one_process_at_a_time_and_none_after_a_kill(tmp_path):
    lock = tmp_path / "a.lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        message = rf"a\.csv is being written by another process \({other.pid}\)"
        with pytest.raises(InputError, match=message), only_process(lock, "a.csv"):
            pass
    finally:
        other.kill()
        other.communicate()
    assert lock.exists()
    with only_process(lock, "a.csv"):
        assert lock.exists()
    assert not lock.exists()


def test_a_failing_block_lets_go(tmp_path):
    with pytest.raises(KeyError), only_process(tmp_path / "a.lock", "a.csv"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), only_process(tmp_path / "file" / "a.lock", "a.csv"):
        pass
