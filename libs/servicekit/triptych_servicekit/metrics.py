"""Prometheus metrics: one registry a service, names `triptych_<service>_<what>_<unit>`.

Durations are histograms in seconds with the same buckets everywhere, so that they add up across
pods and compare across stages.
"""

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# From 0.25 ms, a hop on an idle machine, to 60 s, the default deadline.
SECONDS: Final = (
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one service."""

    def __init__(self, service: str) -> None:
        self._prefix = f"triptych_{service}_"
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = self.seconds("request_duration", "Duration of calls.", ("method", "code"))
        self.in_flight = self.gauge("in_flight_requests", "Calls in progress.")

    def seconds(self, what: str, text: str, labels: Sequence[str] = ()) -> Histogram:
        """A histogram of durations, `triptych_<service>_<what>_seconds`."""
        return self.histogram(f"{what}_seconds", text, SECONDS, labels)

    def histogram(
        self, name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        """A histogram with buckets of its own; the unit belongs into `name`."""
        return Histogram(self._prefix + name, text, labels, buckets=buckets, registry=self.registry)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """A counter; the library appends `_total`."""
        return Counter(self._prefix + name, text, labels, registry=self.registry)

    def gauge(
        self,
        name: str,
        text: str,
        read: Callable[[], float] | None = None,
        labels: Sequence[str] = (),
    ) -> Gauge:
        """A gauge, set by its owner or read from `read` at every scrape."""
        gauge = Gauge(self._prefix + name, text, labels, registry=self.registry)
        if read is not None:
            gauge.set_function(read)
        return gauge

    def expose(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)
