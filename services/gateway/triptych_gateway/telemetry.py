"""Metrics of the gateway."""

from collections.abc import Callable
from typing import Final

from prometheus_client import Counter, Histogram

from triptych_servicekit.metrics import Metrics

WEIGHT_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class StageMetrics:
    """What the gateway sees of one stage."""

    def __init__(
        self, stage: str, duration: Histogram, weight: Histogram, retries: Counter
    ) -> None:
        self.stage = stage
        self.retries = retries
        self._duration = duration
        self._weight = weight

    def observe(self, weight: int, code: str, seconds: float) -> None:
        """A call of `weight` tokens or items ended with `code`."""
        self._duration.labels(self.stage, code).observe(seconds)
        self._weight.labels(self.stage).observe(weight)


class GatewayMetrics(Metrics):
    """All metrics of the gateway but those of its REST edge."""

    def __init__(self) -> None:
        super().__init__("gateway")
        self._duration = self.seconds(
            "stage_call_duration", "Duration of calls to a stage.", ("stage", "code")
        )
        self._weight = self.histogram(
            "stage_call_weight",
            "Tokens of an encoder call, items of any other.",
            WEIGHT_BUCKETS,
            ("stage",),
        )
        self._retries = self.counter(
            "stage_retries", "Calls that failed with their replica.", ("stage", "outcome")
        )
        self._replicas = self.gauge(
            "stage_replicas", "Replicas that serve, as this gateway counts them.", None, ("stage",)
        )

    def count_replicas(self, stage: str, read: Callable[[], int]) -> None:
        """Tell a stage's replicas from `read` at every scrape."""
        self._replicas.labels(stage).set_function(read)

    def stage(self, name: str) -> StageMetrics:
        """Those of one stage."""
        return StageMetrics(name, self._duration, self._weight, self._retries)
