"""Facts about the machine: processor, memory, versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
_PACKAGES = ("ds3d-tf", "tensorflow", "keras", "numpy")


def has_bfloat16_units() -> bool:
    """Return whether the processor multiplies bfloat16 numbers itself; True if unknown."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    return not flags or any(flag in flags.split() for flag in _BFLOAT16_FLAGS)


def peak_memory_gb() -> float:
    """Return the largest memory this process has held so far, GB."""
    try:
        # getrusage would count the memory that the parent process held before the fork.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9
    except (OSError, StopIteration):
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Return processor, number of cores it may use, memory, system and versions, ready for JSON."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "memory_gb": round(memory, 1),
        "bfloat16_units": has_bfloat16_units(),
        "system": platform.platform(terse=True),
        "versions": versions,
    }


def _cpuinfo(key: str) -> str:
    """Return the first value of ``key`` in Linux's description of the processor, or nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), "")
