"""Metrics of routing. Models and aliases are named as the catalog names them: clients add none."""

from typing import Final

from triptych_gateway.models.target import Target
from triptych_servicekit.metrics import Metrics

SAME: Final = "same"
DIFFERENT: Final = "different"
FAILED: Final = "failed"
DROPPED: Final = "dropped"


class RoutingMetrics:
    """Added to those of the gateway."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter(
            "model_requests",
            "Requests that went to the stages, by the model asked last and the alias resolved.",
            ("model", "alias"),
        )
        self._fallbacks = metrics.counter(
            "fallbacks",
            "Requests that went to another version because a stage lacked this one:"
            " after it had said so, or at once.",
            ("model", "cause"),
        )
        self._shadows = metrics.counter(
            "shadow_requests", "Requests to shadows, by what became of them.", ("outcome",)
        )

    def asked(self, target: Target, alias: str) -> None:
        """A request has been answered by `target`, or has failed with it."""
        self._requests.labels(_name(target), alias).inc()

    def repeated(self, target: Target) -> None:
        """A stage lacked `target`, and the request was made again elsewhere."""
        self._fallbacks.labels(_name(target), "not_loaded").inc()

    def diverted(self, target: Target) -> None:
        """`target` is held off, and the request went elsewhere at once."""
        self._fallbacks.labels(_name(target), "held_off").inc()

    def shadowed(self, outcome: str) -> None:
        """A request to a shadow has ended, or has not been made."""
        self._shadows.labels(outcome).inc()


def _name(target: Target) -> str:
    return target.head.identity if target.head else target.model.identity
