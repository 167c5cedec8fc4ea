"""What replicas say of themselves."""

from collections.abc import Iterable, Mapping
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.engine import Container

OPERATIONS_PORT: Final = 9100
TIMEOUT: Final = 5.0


def calls(replica: Container) -> float:
    """Calls that a replica has answered since its process began; 0 while it cannot be asked."""
    try:
        url = f"http://{replica.address}:{OPERATIONS_PORT}/metrics"
        text = httpx.get(url, timeout=TIMEOUT).text
    except httpx.HTTPError:
        return 0.0
    name = f"triptych_{replica.service}_request_duration_seconds_count"
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels["code"] == "OK"
    )


def calls_by_replica(replicas: Iterable[Container]) -> Mapping[str, float]:
    """Calls of each replica, by container."""
    return {replica.id: calls(replica) for replica in replicas}
