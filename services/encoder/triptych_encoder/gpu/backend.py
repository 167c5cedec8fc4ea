"""The backend that packs: see Backend. Nothing in it knows which runtime owns the GPU."""

import queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np

from triptych_encoder.backend import RaggedBatch, Result
from triptych_encoder.cost import PackedCostModel
from triptych_encoder.gpu.executor import Executor, Step
from triptych_encoder.gpu.packing import COUNTING
from triptych_encoder.gpu.shapes import Shape, buckets, fit, full, largest, shape_of
from triptych_encoder.gpu.slots import Counting, Slot
from triptych_encoder.gpu.thread import GpuThread

TOKEN_TYPES: Final = "token_type_ids"  # noqa: S105 (no secret)


class PackedBackend:
    """One model on the GPU, with `slots` batches on their way at the same time.

    While one is being computed the next is packed, copied and queued behind it. Up to `max_tokens`
    share a run; with `record`, small runs replay what is recorded here, before anybody calls.
    """

    cost_model = PackedCostModel

    def __init__(
        self,
        open_executor: Callable[[], Executor],
        thread: GpuThread,
        max_tokens: int,
        slots: int = 2,
        record: bool = True,
    ) -> None:
        self._thread = thread
        # what is measured when a model is loaded has to fit too
        self._max_tokens = max(max_tokens, PackedCostModel.batch_tokens)
        self._buckets: Sequence[Shape] = ()
        self._idle: queue.SimpleQueue[tuple[int, Slot]] = queue.SimpleQueue()
        thread.open(partial(self._open, open_executor, slots, record))
        for numbered in enumerate(self._slots):
            self._idle.put(numbered)
        self.description = self._executor.description
        self.ports = self._executor.outputs
        self.outputs = tuple(self.ports)
        self.reads_token_types = TOKEN_TYPES in self._executor.inputs
        self.max_segments = self._limit.ranges - 1

    def _open(self, open_executor: Callable[[], Executor], slots: int, record: bool) -> None:
        """All that takes long, beside the GPU's thread; of which it asks only one run at a time."""
        self._executor = open_executor()
        try:
            length = self._executor.max_length
            self._limit = largest(self._max_tokens, PackedCostModel.batch_ranges, length)
            self._slots = self._allocate(slots)
            self._warm_up(record)
        except BaseException:
            self.close()
            raise

    def _allocate(self, count: int) -> list[Slot]:
        numbers = np.arange(max(self._limit.tokens, self._limit.width), dtype=np.int32)
        memory = self._executor.allocate(numbers.nbytes)
        memory.host[:] = numbers.view(np.uint8)
        names = [name for name in COUNTING if name in self._executor.inputs]
        counting = Counting(memory, names)
        slots = [Slot(self._executor, counting, self._limit) for _ in range(count)]
        upload = Step(memory, numbers.nbytes, {}, {}, memory, ())
        self._thread.call(partial(self._executor.launch, upload))
        self._executor.wait(upload)
        return slots

    def _warm_up(self, record: bool) -> None:
        """Run the largest batch, for which the runtime takes its memory; record the buckets."""
        rows = -(-self._limit.tokens // self._limit.longest)
        widest = Shape(self._limit.tokens, rows, rows, self._limit.longest)
        for number, slot in enumerate(self._slots):
            self._run(slot, full(widest), widest, (), 0)
            for place, bucket in enumerate(buckets(self._executor.max_length, self._limit)):
                if record:
                    self._run(slot, full(bucket), bucket, (), self._graph(place, number))
        if record:
            self._buckets = buckets(self._executor.max_length, self._limit)

    def _graph(self, place: int, slot: int) -> int:
        """A number of its own for what is recorded of a bucket in a slot; 0 is none."""
        return 1 + place * len(self._slots) + slot

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[Result]:
        """See Backend.run."""
        number, slot = self._idle.get()
        try:
            shape, graph = self._shape(batch, number)
            return self._run(slot, batch, shape, outputs, graph)
        finally:
            self._idle.put((number, slot))

    def _shape(self, batch: RaggedBatch, slot: int) -> tuple[Shape, int]:
        """The sizes of a run, and the number of what is recorded of them."""
        own = shape_of(batch)
        bucket = fit(own, self._buckets)
        if bucket is None:
            return own, 0
        return bucket, self._graph(self._buckets.index(bucket), slot)

    def _run(
        self, slot: Slot, batch: RaggedBatch, shape: Shape, outputs: Sequence[str], graph: int
    ) -> list[Result]:
        step = slot.prepare(batch, shape, outputs, graph)
        try:
            self._thread.call(partial(self._executor.launch, step))
            self._executor.wait(step)
        except Exception:
            # asked there, where nothing is being recorded: that would read as a failure. Afterwards
            # nothing reads or writes the slot any more
            if not self._thread.failure and (reason := self._thread.call(self._executor.failure)):
                self._thread.fail(reason)
            raise
        return slot.read(batch, shape, outputs)

    def close(self) -> None:
        """Release the graph, unless the GPU has failed: then nothing can be."""
        if not self._thread.failure:
            self._thread.call(self._executor.close)
