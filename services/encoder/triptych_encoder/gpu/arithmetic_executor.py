"""A GPU that is none: memory of its own, work in order on another thread, vectors by arithmetic.

For tests, and for measuring what everything around the runtime costs.
"""

import itertools
import math
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS
from triptych_encoder.gpu.executor import Port, Region, Step
from triptych_encoder.gpu.packing import COUNTING, PACKED

# Blocks lie so far apart that no address past one's end is another's.
SPACING: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Block:
    """Memory: see executor."""

    host: NDArray[np.uint8]
    device: int
    content: NDArray[np.uint8]
    """What the other side holds."""


class ArithmeticExecutor:
    """A token's vector is its id times 1, 2, ..., `hidden_size`; see ArithmeticBackend.

    An id equal to `poison` makes the step fail; one equal to `fatal` makes every step fail from
    then on. One equal to `infinite` has an infinite vector. What is `idle` copies and computes
    nothing. `steps` are the numbers of tokens, rows and graph of each that was launched, and
    `recorded` the graphs that have been recorded.
    """

    description = "arithmetic, packed"
    inputs = frozenset((*PACKED, *COUNTING))

    def __init__(
        self,
        hidden_size: int = 4,
        labels: int = 3,
        max_length: int = 512,
        padding_id: int | None = None,
        poison: int | None = None,
        fatal: int | None = None,
        infinite: int | None = None,
        idle: bool = False,
    ) -> None:
        single, half = np.dtype(np.float32), np.dtype(np.float16)
        pooled = ("pooled.cls", "pooled.mean", "pooled.last_token")
        self.outputs: Mapping[str, Port] = {
            **{name: Port("ranges", hidden_size, single) for name in pooled},
            LOGITS: Port("ranges", labels, single),
            HIDDEN: Port("tokens", hidden_size, half),
            TOKEN_LOGITS: Port("tokens", labels, single),
        }
        self.max_length = max_length
        self.padding_id = padding_id
        self.steps: list[tuple[int, int, int]] = []
        self.recorded: dict[int, tuple[Mapping[str, Region], Mapping[str, Region]]] = {}
        self._special = {"poison": poison, "fatal": fatal}
        self._infinite = infinite
        self._idle = idle
        self._failure = ""
        self._numbers = itertools.count(1)
        self._blocks: dict[int, Block] = {}
        self._owner: threading.Thread | None = None
        self._stream = ThreadPoolExecutor(1, thread_name_prefix="arithmetic-gpu")
        self._running: dict[int, Future[None]] = {}

    def allocate(self, size: int) -> Block:
        """See Executor."""
        block = Block(np.zeros(size, np.uint8), next(self._numbers) * SPACING, np.zeros(size, "u1"))
        self._blocks[block.device // SPACING] = block
        return block

    def launch(self, step: Step) -> None:
        """See Executor."""
        self._check_thread()
        if step.graph:
            regions = (step.inputs, step.outputs)
            if self.recorded.setdefault(step.graph, regions) != regions:
                raise RuntimeError("what was recorded has other regions")
        if step.inputs:
            tokens, rows = step.inputs["input_ids"].shape[0], step.inputs["token_offset"].shape[0]
            self.steps.append((tokens, rows, step.graph))
        if not self._idle:
            self._running[id(step)] = self._stream.submit(self._perform, step)

    def wait(self, step: Step) -> None:
        """See Executor."""
        if not self._idle:
            self._running.pop(id(step)).result()

    def failure(self) -> str:
        """See Executor."""
        self._check_thread()
        self._stream.submit(lambda: None).result()
        return self._failure

    def close(self) -> None:
        """See Executor."""
        self._check_thread()
        self._stream.shutdown()

    def _check_thread(self) -> None:
        current = threading.current_thread()
        self._owner = self._owner or current
        if self._owner is not current:
            raise RuntimeError("only one thread may give the GPU work")

    def _perform(self, step: Step) -> None:
        if self._failure:
            raise RuntimeError(self._failure)
        source, target = (self._blocks[one.device // SPACING] for one in (step.source, step.target))
        source.content[: step.upload] = source.host[: step.upload]
        if step.inputs:
            self._compute({name: self._array(one) for name, one in step.inputs.items()}, step)
        for start, end in step.download:
            target.host[start:end] = target.content[start:end]

    def _array(self, region: Region) -> NDArray[Any]:
        block, start = divmod(region.pointer, SPACING)
        size = math.prod(region.shape) * region.dtype.itemsize
        content = self._blocks[block].content[start : start + size]
        return content.view(region.dtype).reshape(region.shape)

    def _compute(self, inputs: Mapping[str, NDArray[Any]], step: Step) -> None:
        ids = inputs["input_ids"]
        for kind, special in self._special.items():
            if special is not None and (ids == special).any():
                self._failure = "fatal" if kind == "fatal" else ""
                raise RuntimeError(kind)
        numbers = ids.astype(np.float32)
        numbers[ids == self._infinite] = np.inf
        # zero times infinity is no number, there as here
        with np.errstate(invalid="ignore"):
            computed = self._outputs(numbers, inputs)
        for name, region in step.outputs.items():
            self._array(region)[...] = computed[name]

    def _outputs(
        self, ids: NDArray[np.float32], inputs: Mapping[str, NDArray[Any]]
    ) -> Mapping[str, NDArray[Any]]:
        scale = np.arange(1, self.outputs[HIDDEN].width + 1, dtype=np.float32)
        label_scale = -np.arange(1, self.outputs[LOGITS].width + 1, dtype=np.float32)
        hidden, logits = ids[:, None] * scale, ids[:, None] * label_scale
        first, last = inputs["first_tokens"], inputs["last_tokens"]
        index = inputs["token_index"]
        inside = ((index >= first[:, None]) & (index <= last[:, None])).astype(np.float32)
        return {
            HIDDEN: hidden,
            TOKEN_LOGITS: logits,
            LOGITS: inside @ logits,
            "pooled.cls": hidden[first],
            "pooled.last_token": hidden[last],
            "pooled.mean": inside @ hidden / inside.sum(axis=1, keepdims=True),
        }
