"""Cores as a container's quota grants them."""

import os
from pathlib import Path

import pytest

from triptych_servicekit.cores import available_cores

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "cores"),
    [("100000 100000", 1), ("50000 100000", 1), ("6400000 100000", ALL), ("max 100000", ALL)],
)
def test_the_quota_of_cgroup_v2(text: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("100000", 1), ("6400000", ALL), ("-1", ALL)])
def test_the_quota_of_cgroup_v1(quota: str, cores: int, tmp_path: Path) -> None:
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == cores


def test_without_cgroups_the_affinity_decides(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == ALL
