"""Metrics of what runs the models."""

from collections import Counter
from dataclasses import dataclass

from triptych_servicekit.metrics import Metrics

LABELS = ("model", "backend", "precision")


@dataclass(frozen=True, slots=True)
class Serving:
    """What a model is run by, for those who watch."""

    model: str
    """`name@version`."""
    backend: str
    precision: str
    speedup: float | None = None
    """Over fp32, of the precision that raced it when the model was loaded."""


class RuntimeMetrics:
    """Shows the models in memory; one that leaves takes its series with it."""

    def __init__(self, metrics: Metrics) -> None:
        self._info = metrics.gauge("model_info", "What runs a model; 1.", labels=LABELS)
        self._speedup = metrics.gauge(
            "precision_speedup",
            "How many times as fast as fp32 the precision was that raced it at load.",
            labels=("model",),
        )
        # a digest that replaces another of the same name and version is there before that leaves
        self._held: Counter[tuple[str, str, str]] = Counter()

    def enter(self, serving: Serving) -> None:
        """A model came into memory."""
        key = serving.model, serving.backend, serving.precision
        self._held[key] += 1
        self._info.labels(*key).set(1)
        if serving.speedup is not None:
            self._speedup.labels(serving.model).set(serving.speedup)

    def leave(self, serving: Serving) -> None:
        """It left."""
        key = serving.model, serving.backend, serving.precision
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
            self._info.remove(*key)
        if serving.speedup is not None and serving.model not in {model for model, *_ in self._held}:
            self._speedup.remove(serving.model)
