"""The dashboard shows a running platform: Prometheus answers what its panels ask."""

import json
import time
from typing import Any, Final

import httpx
import pytest

from tests.e2e.engine import CLONE, Project
from tests.e2e.test_prometheus import query
from tests.k8s.checks.metrics import substituted

DASHBOARD: Final = json.loads((CLONE / "deploy/grafana/dashboards/triptych.json").read_text())
PANELS: Final = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
# Of what has not happened: nothing failed, was refused or dropped, and nobody is shadowed.
EVENTS: Final = {"Failures and refusals", "Calls that failed", "Dropped"}
REQUESTS, PATIENCE, INTERVAL = 50, 60.0, 1.0


@pytest.fixture(scope="module")
def used(scaled: Project) -> Project:
    """The platform after requests that Prometheus has seen begin and end."""
    url, deadline = f"{scaled.url('gateway', 8080)}/v1/embeddings", time.monotonic() + PATIENCE
    while not query(scaled, "rate(triptych_gateway_http_request_duration_seconds_count[5m]) > 0"):
        if time.monotonic() > deadline:
            pytest.fail("Prometheus does not see requests")
        with httpx.Client(timeout=30) as client:
            for number in range(REQUESTS):
                body = {"model": "all-minilm-l6-v2", "input": f"text number {number}"}
                client.post(url, json=body).raise_for_status()
        time.sleep(INTERVAL)
    return scaled


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["id"])
def test_a_panel_hasquery(panel: dict[str, Any], used: Project) -> None:
    answers = [query(used, substituted(one["expr"])) for one in panel["targets"]]
    if panel["title"] not in EVENTS:
        assert any(answers), panel["title"]
