"""Where a batch lies while it is on its way: memory taken once, for the largest there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import RaggedBatch, Result
from triptych_encoder.gpu.executor import Executor, Memory, Port, Region, Step
from triptych_encoder.gpu.packing import COUNTING, Place, input_places, pack, places
from triptych_encoder.gpu.shapes import Shape


@dataclass(frozen=True, slots=True)
class Counting:
    """The inputs that are 0, 1, 2, ..., in memory that all runs share."""

    memory: Memory
    names: Sequence[str]

    def regions(self, shape: Shape) -> dict[str, Region]:
        """As much of them as a run of this shape reads."""
        sizes = dict(zip(COUNTING, (shape.tokens, shape.width), strict=True))
        kind: np.dtype[np.generic] = np.dtype(np.int32)
        return {name: Region(self.memory.device, (sizes[name],), kind) for name in self.names}


class Slot:
    """Memory for one batch: what goes to the GPU and what comes back."""

    def __init__(self, executor: Executor, counting: Counting, limit: Shape) -> None:
        self._executor = executor
        self._counting = counting
        self._limit = limit
        source = input_places(executor.inputs, limit)
        target = output_places(executor.outputs, limit)
        self._source = executor.allocate(max(place.end for place in source.values()))
        self._target = executor.allocate(max(place.end for place in target.values()))

    def prepare(
        self, batch: RaggedBatch, shape: Shape, outputs: Sequence[str], graph: int = 0
    ) -> Step:
        """Pack a batch and say what is to be done. ValueError for one larger than the memory."""
        if not shape <= self._limit:
            raise ValueError(f"{shape} is more than there is memory for: {self._limit}")
        inputs = input_places(self._executor.inputs, shape)
        arrays = {name: place.of(self._source.host) for name, place in inputs.items()}
        pack(batch, shape, arrays, self._executor.padding_id)  # type: ignore[arg-type]
        results = output_places(self._executor.outputs, shape)
        return Step(
            self._source,
            max(place.end for place in inputs.values()),
            self._regions(self._source, inputs) | self._counting.regions(shape),
            self._regions(self._target, results),
            self._target,
            [self._span(batch, results[name], name) for name in outputs],
            graph,
        )

    def _span(self, batch: RaggedBatch, place: Place, name: str) -> tuple[int, int]:
        """The bytes of a batch's own rows; a bucket has more."""
        count = _rows(batch, self._executor.outputs[name])
        return place.start, place.start + count * place.shape[1] * place.dtype.itemsize

    @staticmethod
    def _regions(memory: Memory, found: Mapping[str, Place]) -> dict[str, Region]:
        return {
            name: Region(memory.device + place.start, place.shape, place.dtype)
            for name, place in found.items()
        }

    def read(self, batch: RaggedBatch, shape: Shape, outputs: Sequence[str]) -> list[Result]:
        """Copies of what a finished step gave, see Backend.run.

        FloatingPointError where a number was beyond the graph's type: of the sequences that share
        a run, what one makes infinite is in the means of all, as zero times infinity.
        """
        results = output_places(self._executor.outputs, shape)
        return [self._read(batch, results[name], name) for name in outputs]

    def _read(self, batch: RaggedBatch, place: Place, name: str) -> Result:
        port, values = self._executor.outputs[name], place.of(self._target.host)
        rows: NDArray[np.floating[Any]] = values[: _rows(batch, port)].copy()  # type: ignore[assignment]
        if port.axis == "tokens":
            return np.split(rows, np.cumsum(batch.lengths)[:-1])
        with np.errstate(over="ignore", invalid="ignore"):
            # it is finite if all are, and takes a fraction of the time that asking each does
            total = rows.sum()
        if not np.isfinite(total):
            raise FloatingPointError(f"{name} is not finite")
        return rows


def _rows(batch: RaggedBatch, port: Port) -> int:
    """How many rows of an output are a batch's."""
    if port.axis == "tokens":
        return len(batch.input_ids)
    return len(batch.lengths) + (0 if batch.ranges is None else len(batch.ranges))


def output_places(ports: Mapping[str, Port], shape: Shape) -> dict[str, Place]:
    """Where a run of this shape has its outputs."""
    counts = {"tokens": shape.tokens, "ranges": shape.ranges}
    return places(
        (name, (counts[port.axis], port.width), port.dtype) for name, port in ports.items()
    )
