"""Metrics of postprocess."""

from typing import Any

from triptych_postprocess.outcome import Outcome
from triptych_postprocess.workers import Done
from triptych_servicekit.metrics import Metrics


class PostprocessMetrics(Metrics):
    """What an operator, and an autoscaler, wants to know of postprocess."""

    def __init__(self) -> None:
        super().__init__("postprocess")
        task = ("task",)
        self._queue_seconds = self.seconds("queue_duration", "Waiting of a call.", task)
        self._seconds = self.seconds("postprocess_duration", "Arithmetic of a call.", task)
        self._items = self.counter("items", "Items taken on.", task)
        self._failed = self.counter("failed_items", "Items that failed.", ("task", "reason"))

    def observe_call(self, task: str, items: int, done: Done[Outcome[Any]]) -> None:
        """Count a finished call of so many items."""
        self._queue_seconds.labels(task).observe(done.queue)
        self._seconds.labels(task).observe(done.compute)
        self._items.labels(task).inc(items)
        for error in done.value.errors.values():
            self._failed.labels(task, error.reason).inc()
