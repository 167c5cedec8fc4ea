"""From the queues to the workers: each worker takes a batch when it is free, and runs it.

There is no timer: whatever queued while the last batch ran is there to choose the next one from.
None is made ahead, since a batch chosen later is chosen from more: making one costs a hundredth of
running it.

A batch that has the machine to itself, since nothing else runs or waits, is run by several threads.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from triptych_encoder.backend import Backend
from triptych_encoder.batch import Batch
from triptych_encoder.batcher import Batcher
from triptych_encoder.entry import Claim, Entry
from triptych_encoder.lane import Lane
from triptych_encoder.telemetry import EncoderMetrics
from triptych_encoder.threads import give_way
from triptych_servicekit.errors import DeadlineExceeded, Internal, TriptychError

__all__ = ["Dispatcher", "Lane"]

logger = logging.getLogger(__name__)

UNRUN: Final = "the encoder could not run this item"


class Dispatcher:
    """Runs what is submitted, on `workers` threads of this `niceness`.

    Each of `observers` is told of every finished run of a worker on its core: the batch, when it
    began on the monotonic clock, and its seconds.
    """

    def __init__(
        self,
        batcher: Batcher,
        workers: int,
        metrics: EncoderMetrics,
        observers: Sequence[Callable[[Batch, float, float], None]] = (),
        niceness: int = 0,
    ) -> None:
        self._batcher = batcher
        self._workers = workers
        self._metrics = metrics
        self._observers = observers
        self._lanes: list[Lane] = []
        self._arrived = asyncio.Event()
        self._threads = ThreadPoolExecutor(workers, "encode", give_way, (niceness,))
        self._running = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._running_tokens = 0
        self._batches: Counter[Lane] = Counter()  # taken from the queue and not finished
        self._progress = asyncio.Event()

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait or run."""
        return sum(lane.queue.tokens for lane in self._lanes) + self._running_tokens

    @property
    def claimed_tokens(self) -> int:
        """Tokens that callers wait for; what several share counts for each."""
        return sum(lane.claimed_tokens for lane in self._lanes)

    def add(self, lane: Lane) -> None:
        """Serve another model."""
        self._lanes.append(lane)

    async def remove(self, lane: Lane) -> None:
        """Serve a model no more; returns when nothing of it waits or runs."""
        while (len(lane.queue) or self._batches[lane]) and not self.broken():
            self._progress.clear()
            await self._progress.wait()
        self._lanes.remove(lane)
        del self._batches[lane]

    def submit(self, lane: Lane, entries: Sequence[Entry]) -> None:
        """Queue entries of one claim each; their submission's future tells when they are done.

        An entry may come to share what an equal one computes.
        """
        now = time.monotonic()
        living = [entry for entry in entries if self._wanted(now, entry.claims[0])]
        queued = sum(map(lane.add, living))
        self._metrics.shared.inc(len(living) - queued)
        self._arrived.set()

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]

    async def stop(self) -> None:
        """End the loops; runs that have begun are waited for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()
        self._progress.set()

    def broken(self) -> bool:
        """Whether a loop has ended that never should."""
        return any(task.done() for task in self._tasks)

    async def _work(self) -> None:
        """One worker: take a batch, run it, and wait for more when there is none."""
        while True:
            if taken := self._take():
                await self._serve(*taken)
            else:
                self._arrived.clear()
                self._progress.set()
                await self._arrived.wait()

    def _take(self) -> tuple[Lane, Batch] | None:
        while lane := self._next_lane():
            idle = self._workers - self._running
            entries = self._batcher.take(lane.queue, lane.costs, idle)
            wanted = partial(self._wanted, time.monotonic())
            if living := [entry for entry in entries if lane.keep(entry, wanted)]:
                return lane, Batch(living, lane.costs)
        return None

    def _next_lane(self) -> Lane | None:
        waiting = [(oldest.due, lane) for lane in self._lanes if (oldest := lane.queue.oldest())]
        return min(waiting, key=lambda pair: pair[0])[1] if waiting else None

    def _wanted(self, now: float, claim: Claim) -> bool:
        """Whether somebody still waits; who waited too long is told."""
        if claim.abandoned:
            self._metrics.dropped.labels("cancelled").inc()
            return False
        if claim.deadline <= now:
            self._metrics.dropped.labels("expired").inc()
            claim.fail(DeadlineExceeded("expired in the queue"))
            return False
        return True

    async def _serve(self, lane: Lane, batch: Batch) -> None:
        backend = lane.backend if self._running or self._waits() else lane.alone
        self._running += 1
        self._running_tokens += batch.tokens
        self._batches[lane] += 1
        try:
            await self._run(lane, batch, backend)
        finally:
            self._running -= 1
            self._running_tokens -= batch.tokens
            self._batches[lane] -= 1
            self._progress.set()

    def _waits(self) -> bool:
        return any(len(lane.queue) for lane in self._lanes)

    async def _run(self, lane: Lane, batch: Batch, backend: Backend) -> None:
        wanted, started = batch.begin(), time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            run = partial(batch.run, backend, wanted)
            arrays = await loop.run_in_executor(self._threads, run)
            ended = time.monotonic()
            batch.write(arrays)  # the rows of who claimed meanwhile
        except Exception as error:
            logger.exception("a run failed", extra={"batch_id": batch.batch_id})
            await self._run_singly(lane, batch, backend, error)
            return
        batch.settle(started, ended)
        self._release(lane, batch)
        self._metrics.observe_batch(batch, started, ended - started)
        if backend is lane.backend:
            for observe in self._observers:
                observe(batch, started, ended - started)

    async def _run_singly(
        self, lane: Lane, batch: Batch, backend: Backend, error: Exception
    ) -> None:
        """Run a failed batch entry by entry, so that only the one to blame fails."""
        if len(batch.entries) > 1 or backend is not lane.backend:
            for entry in batch.entries:
                await self._run(lane, Batch([entry], lane.costs), lane.backend)
            return
        for claim in batch.entries[0].claims:
            known = error if isinstance(error, TriptychError) else Internal(UNRUN)
            claim.fail(known)
        self._release(lane, batch)

    @staticmethod
    def _release(lane: Lane, batch: Batch) -> None:
        for entry in batch.entries:
            lane.release(entry)
