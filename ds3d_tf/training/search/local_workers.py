"""The chief of a search, with the worker processes that it starts on its own machine if asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ds3d_tf.common import console
from ds3d_tf.common.errors import InputError
from ds3d_tf.common.file_names import LOGS_FOLDER
from ds3d_tf.common.machine import cores
from ds3d_tf.training.search.plan import OVER_FILE, SearchPlan, write_outcome

# More than the attempts that a trial gets: a worker that ends even more often has a problem of its own.
MAX_RESTARTS = 5


def run_chief(out: Path, plan: SearchPlan, workers: int) -> None:
    """Assign the trials of a search to workers until it is over.

    Args:
        out: folder of the search.
        plan: its plan.
        workers: number of processes to start here; 0: the workers are started elsewhere.

    Raises InputError if the address cannot be used, or if a worker ends repeatedly.
    """
    inherited = dict(os.environ)
    # The chief does not train, so it must not reserve GPU memory.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from ds3d_tf.training.search.chief import Chief
    from ds3d_tf.training.search.run import announce, make_search
    from ds3d_tf.training.search.search import read_outcomes

    address = "127.0.0.1:0"
    if not workers:
        address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    search = make_search(out, plan, show_progress=False)
    search.save()
    chief = Chief(search.oracle, address)
    (out / OVER_FILE).unlink(missing_ok=True)
    announced = {one["trial"] for one in read_outcomes(out)}
    if announced:
        console.messages().print(f"resuming after {len(announced)} trials", soft_wrap=True)

    def announce_ended() -> None:
        for name in list(search.oracle.end_order):
            if name not in announced:
                outcomes = {one["trial"]: one for one in read_outcomes(out)}
                announced.add(name)
                if name in outcomes:
                    announce(outcomes[name], plan)
                    write_outcome(out, plan, list(outcomes.values()))

    if not workers:
        console.messages().print(f"chief at {address}, waiting for workers", soft_wrap=True)

        def look() -> bool:
            announce_ended()
            return not chief.over()

        chief.serve(look)
        announce_ended()
        return
    crew = _Crew(out, workers, chief.port, inherited)

    def watch() -> bool:
        announce_ended()
        return crew.at_work(len(search.oracle.end_order))

    try:
        chief.serve(watch)
        announce_ended()
    finally:
        crew.dismiss()


class _Crew:
    """Worker processes, restarted when they end before the search is over."""

    def __init__(self, out: Path, number: int, port: int, environment: Mapping[str, str]) -> None:
        self.out, self.port, self.number, self.environment = out, port, number, environment
        self._restarts = 0
        self._ended_trials = 0
        self._processes: dict[int, subprocess.Popen[Any]] = {}
        (out / LOGS_FOLDER).mkdir(exist_ok=True)
        for index in range(number):
            self._start(index)

    def at_work(self, ended_trials: int) -> bool:
        """Restart workers that have ended with an error; return whether any is at work."""
        if ended_trials > self._ended_trials:
            self._ended_trials, self._restarts = ended_trials, 0
        at_work = False
        for index, process in self._processes.items():
            code = process.poll()
            if code is not None and code != 0:
                self._restarts += 1
                log = self.out / LOGS_FOLDER / f"worker_{index}.log"
                if self._restarts > MAX_RESTARTS:
                    raise InputError(f"worker {index} ended {MAX_RESTARTS + 1} times (exit code {code}); see {log}")
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                console.messages().print(f"worker {index} {how}; starting it again ({log})", soft_wrap=True)
                self._start(index)
                code = None
            at_work = at_work or code is None
        return at_work

    def dismiss(self) -> None:
        """End all workers."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, index: int) -> None:
        log = self.out / LOGS_FOLDER / f"worker_{index}.log"
        with open(log, "ab") as stream:
            # A worker ends when its standard input is closed, so that it does not outlive a killed chief.
            self._processes[index] = subprocess.Popen(
                [sys.executable, "-m", "ds3d_tf.training.search.worker", str(self.out)],
                env=self._environment(index),
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def _environment(self, index: int) -> dict[str, str]:
        environment = {
            **self.environment,
            "KERASTUNER_TUNER_ID": f"worker{index}",
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self.port),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        environment.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores() // self.number)))
        environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        gpus = _gpus(self.environment.get("CUDA_VISIBLE_DEVICES"))
        if len(gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        return environment


def _gpus(visible: str | None) -> list[str]:
    """Return the names of the GPUs that workers may use, as CUDA_VISIBLE_DEVICES (``visible``) has them."""
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    folder = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index in range(len(list(folder.iterdir())))] if folder.is_dir() else []
