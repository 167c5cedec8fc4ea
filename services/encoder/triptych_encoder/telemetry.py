"""Metrics of the encoder."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from triptych_encoder.batch import Batch
from triptych_encoder.cost import CostModel
from triptych_servicekit.metrics import SECONDS, Metrics

TOKEN_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
RATIO_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


class Waits(Collector):
    """The library's histogram of durations takes one at a time; this, as many as are equal."""

    NAME: Final = "triptych_encoder_queue_duration_seconds"

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float, count: int) -> None:
        """Count this many sequences that waited as long."""
        self._counts[bisect_left(SECONDS, seconds)] += count
        self._sum += seconds * count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """See the library's Collector."""
        bounds = [*(str(float(bound)) for bound in SECONDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        text = "Waiting of a sequence for its run."
        yield HistogramMetricFamily(self.NAME, text, buckets, self._sum)


class EncoderMetrics(Metrics):
    """What an operator, and an autoscaler, wants to know of the encoder."""

    def __init__(self) -> None:
        super().__init__("encoder")
        self._waits = Waits()
        self.registry.register(self._waits)
        self.encode_seconds = self.seconds("encode_duration", "Duration of a run of the graph.")
        self.batch_tokens = self.histogram("batch_tokens", "Real tokens of a run.", TOKEN_BUCKETS)
        self.padding = self.histogram(
            "batch_padding_ratio", "Padding's share of a run's area.", RATIO_BUCKETS
        )
        self.tokens = self.counter("tokens", "Real tokens encoded.")
        self.sequences = self.counter("sequences", "Sequences encoded, each in one pass.")
        self.shared = self.counter(
            "shared_sequences", "Sequences that shared the pass of an equal one."
        )
        self.overhead = self.gauge(
            "run_overhead_tokens", "What starting a run costs, in tokens.", labels=("model",)
        )
        self.token_seconds = self.gauge(
            "token_seconds", "What a token of a run's area costs a worker.", labels=("model",)
        )
        self.dropped = self.counter("dropped", "Sequences dropped before computing.", ("reason",))

    def publish_costs(self, model: str, costs: CostModel) -> None:
        """Show what the batches of a model are made by; its newest version's is what is shown."""
        self.overhead.labels(model).set(costs.call_tokens)
        self.token_seconds.labels(model).set(costs.seconds_per_token)

    def observe_batch(self, batch: Batch, started: float, seconds: float) -> None:
        """Count a finished run that began at `started` on the monotonic clock."""
        tokens, area = batch.tokens, batch.area
        self.encode_seconds.observe(seconds)
        self.batch_tokens.observe(tokens)
        self.padding.observe(1 - tokens / area)
        self.tokens.inc(tokens)
        self.sequences.inc(len(batch.entries))
        claims = Counter(claim.submission for entry in batch.entries for claim in entry.claims)
        for submission, count in claims.items():
            self._waits.observe(max(0.0, started - submission.arrived), count)
