"""Metrics of the tokenizer."""

from collections.abc import Sequence

from triptych_servicekit.metrics import Metrics
from triptych_tokenizer.chunks import Times
from triptych_tokenizer.finishing import Tokenized


class TokenizerMetrics(Metrics):
    """What an operator, and an autoscaler, wants to know of the tokenizer."""

    def __init__(self) -> None:
        super().__init__("tokenizer")
        self._queue_seconds = self.seconds("queue_duration", "Waiting of a caller for a thread.")
        self._tokenize_seconds = self.seconds(
            "tokenize_duration", "Tokenizing of a caller's items."
        )
        self._characters = self.counter("characters", "Characters and ids taken on.")
        self._items = self.counter("items", "Items taken on.")
        self._tokens = self.counter("tokens", "Tokens in sequences, special tokens included.")
        self._truncated = self.counter("truncated_items", "Items of which tokens were cut off.")
        self._failed = self.counter("failed_items", "Items that failed.", ("reason",))

    def observe_call(self, characters: int, result: Tokenized, times: Sequence[Times]) -> None:
        """Count a finished Tokenize call."""
        self._characters.inc(characters)
        self._items.inc(len(result.total_tokens))
        self._tokens.inc(len(result.sequences.input_ids))
        cut_off = result.kept_tokens < result.total_tokens
        self._truncated.inc(int((cut_off & (result.kept_tokens > 0)).sum()))
        for error in result.errors.values():
            self._failed.labels(error.reason).inc()
        for time in times:
            self._queue_seconds.observe(time.queue)
            self._tokenize_seconds.observe(time.compute)
