"""Prometheus finds and scrapes every replica."""

import time
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.e2e.engine import SERVICES, STAGES, Project

EXPECTED = Counter({"gateway": 1, **dict.fromkeys(STAGES, 2)})
PATIENCE = 60.0
INTERVAL = 1.0


def query(project: Project, expression: str) -> list[dict[str, Any]]:
    url = f"{project.url('prometheus', 9090)}/api/v1/query"
    answer = httpx.get(url, params={"query": expression}, timeout=10).json()
    assert answer["status"] == "success"
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def instances(project: Project, expression: str) -> Counter[str]:
    """How many replicas of each service a series comes from."""
    metrics = [one["metric"] for one in query(project, expression)]
    found = {(metric["service"], metric["instance"]) for metric in metrics}
    return Counter(service for service, _ in found)


def test_every_replica_is_scraped(scaled: Project) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := instances(scaled, "up == 1")) != EXPECTED:
        if time.monotonic() > deadline:
            pytest.fail(f"scraped: {found}")
        time.sleep(INTERVAL)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_scraped_are_the_replicas_own_metrics(service: str, scaled: Project) -> None:
    name = f"triptych_{service}_in_flight_requests"
    deadline = time.monotonic() + PATIENCE
    while instances(scaled, name)[service] != EXPECTED[service]:
        if time.monotonic() > deadline:
            pytest.fail(f"{name}: {instances(scaled, name)}")
        time.sleep(INTERVAL)
