"""How many cores this process may really use."""

import math
import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")


def available_cores(cgroup: Path = CGROUP) -> int:
    """Cores by affinity and by the container's quota (cgroup v2 or v1), rounded up, at least 1."""
    return max(1, min(len(os.sched_getaffinity(0)), _quota(cgroup)))


def _quota(cgroup: Path) -> int:
    try:
        quota, period = _microseconds(cgroup)
    except (OSError, ValueError):  # no cgroup of either kind, or "max": no quota
        return os.cpu_count() or 1
    # v1 writes -1 where there is no quota
    return math.ceil(quota / period) if quota > 0 else os.cpu_count() or 1


def _microseconds(cgroup: Path) -> tuple[int, int]:
    unified = cgroup / "cpu.max"
    if unified.exists():
        quota, period = unified.read_text().split()
    else:
        quota, period = (
            (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
        )
    return int(quota), int(period)
