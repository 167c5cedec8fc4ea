"""Metrics of the models that a service holds."""

from triptych_servicekit.metrics import Metrics


class ModelMetrics:
    """Counts what is loaded; several stores of one service may share it."""

    def __init__(self, metrics: Metrics) -> None:
        self.loaded = metrics.gauge("models_loaded", "Bundles in memory.")
        self.loaded_bytes = metrics.gauge("loaded_bytes", "Size of the bundles in memory.")
        self.loads = metrics.counter(
            "loads", "Loads by outcome: loaded, refused by a check, or failed.", ("outcome",)
        )
        self.load_seconds = metrics.seconds("load_duration", "Reading and verifying a bundle.")
        self.evictions = metrics.counter("evictions", "Bundles unloaded to make room.")

    def entered(self, size: int) -> None:
        """A bundle of `size` bytes came into memory."""
        self.loaded.inc()
        self.loaded_bytes.inc(size)

    def left(self, size: int) -> None:
        """It left."""
        self.loaded.dec()
        self.loaded_bytes.dec(size)
