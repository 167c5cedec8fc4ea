"""Whether another call may wait: by tokens, and by how long it would have to."""

import time
from typing import Final

from triptych_encoder.batch import Batch
from triptych_encoder.settings import Batching
from triptych_servicekit.errors import DeadlineExceeded, InvalidArgument, Overloaded

# Weight of the newest measurement of the rate; about the last twenty runs count.
SMOOTHING: Final = 0.1
# Full runs before the rate is believed: about half a second of work.
MIN_FULL_RUNS: Final = 10


class Admission:
    """Estimates the wait from the tokens ahead and the rate at which tokens are encoded.

    The rate is learnt from full runs: small ones, and the first after a start, say nothing about
    what the encoder can do. Until enough have been seen only the caps on tokens hold.
    """

    def __init__(self, batching: Batching, workers: int) -> None:
        self._limits = batching
        self._workers = workers
        self._rate = 0.0
        self._full_runs = 0

    def observe(self, batch: Batch, started: float, seconds: float) -> None:  # noqa: ARG002
        """Learn from a finished run, if it was a full one."""
        full = self._limits.max_batch_tokens or batch.costs.batch_tokens
        if batch.tokens * 2 < full:
            return
        self._full_runs += 1
        rate = self._workers * batch.tokens / max(seconds, 1e-9)
        # a plain mean at first, so that no single run decides
        self._rate += max(SMOOTHING, 1 / self._full_runs) * (rate - self._rate)

    def admit(
        self, tokens: int, queued_tokens: int, deadline: float, claimed_tokens: int = 0
    ) -> None:
        """Let a call of `tokens` in.

        `queued_tokens` are the work ahead; `claimed_tokens` are those that admitted calls hold
        memory for, which are more where equal sequences share their work. Raises Overloaded,
        DeadlineExceeded, or InvalidArgument for a call that never fits.
        """
        if tokens > self._limits.max_call_tokens:
            raise InvalidArgument(
                f"a call may carry {self._limits.max_call_tokens} tokens, this one has {tokens}",
                field="sequences.lengths",
                reason="TOO_MANY_TOKENS",
            )
        wait = queued_tokens / self._rate if self._full_runs >= MIN_FULL_RUNS else 0.0
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("the call's time was over when it arrived")
        limit = min(self._limits.max_queue_wait, remaining)
        held = max(queued_tokens, claimed_tokens)
        if held + tokens > self._limits.max_queued_tokens or wait > limit:
            raise Overloaded(
                f"{queued_tokens} tokens are queued, about {wait:.1f} s of work", retry_after=wait
            )
