"""How many cores this process may really use."""

import math
import os
from pathlib import Path
from typing import Final

CGROUP_CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")


def available_cores(cpu_max: Path = CGROUP_CPU_MAX) -> int:
    """Cores by affinity and by the container's quota (cgroup v2), rounded up, at least 1."""
    return max(1, min(len(os.sched_getaffinity(0)), _quota(cpu_max)))


def _quota(cpu_max: Path) -> int:
    try:
        quota, period = cpu_max.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        return os.cpu_count() or 1
