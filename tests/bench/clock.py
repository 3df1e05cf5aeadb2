"""CPU time of processes, and percentiles."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process with all its threads, or 0 without /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def family_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its running children."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    pids = [int(child) for child in children.read_text(encoding="ascii").split()] if children.exists() else []
    return cpu_seconds(pid) + sum(cpu_seconds(child) for child in pids)


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` (0 to 1) of the values are."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
