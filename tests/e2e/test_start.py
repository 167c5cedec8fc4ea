"""From nothing but images to a platform that answers."""

import statistics

import httpx

from tests.e2e.conftest import Report
from tests.e2e.engine import Project
from tests.e2e.traffic import MODEL

STARTS = 3
LONGEST_START = 25.0


def test_up_to_all_healthy(fresh: Project, report: Report) -> None:
    seconds = []
    for _ in range(STARTS):
        fresh.down()
        seconds.append(fresh.up())
        body = {"model": MODEL, "input": "hello world"}
        url = f"{fresh.url('gateway', 8080)}/v1/embeddings"
        assert httpx.post(url, json=body, timeout=30).status_code == 200
    shown = ", ".join(f"{one:.1f}" for one in seconds)
    report(f"up to all healthy: {statistics.median(seconds):.1f} s (median of {shown})")
    assert statistics.median(seconds) <= LONGEST_START
