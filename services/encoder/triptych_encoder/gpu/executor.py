"""The seam to the runtime that owns a GPU: memory seen from both sides, and work in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Port:
    """An output of the graph: rows of `width` numbers, one for each token or each range."""

    axis: Literal["tokens", "ranges"]
    width: int
    dtype: np.dtype[np.generic]


class Region(NamedTuple):
    """An array in the GPU's memory."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class Memory(Protocol):
    """A block in the GPU's memory and its counterpart on the host, between which the GPU copies.

    Both stay where they are until the executor is closed.
    """

    @property
    def host(self) -> NDArray[np.uint8]: ...
    @property
    def device(self) -> int:
        """The address of the first byte on the GPU."""


@dataclass(frozen=True, slots=True)
class Step:
    """One run: what goes in first, and what comes out after.

    `upload` bytes of `source` are copied to the GPU; the graph reads `inputs` and writes `outputs`;
    the spans `download` of `target` are copied back. Steps of the same `graph` other than 0 have
    the same regions, so that what is recorded once can be replayed.
    """

    source: Memory
    upload: int
    inputs: Mapping[str, Region]
    outputs: Mapping[str, Region]
    target: Memory
    download: Sequence[tuple[int, int]]
    graph: int = 0


class Executor(Protocol):
    """One model on the GPU of this process.

    `launch`, `failure` and `close` are called from one thread, `wait` from any. It is made, and
    memory allocated, in a third, which ends before anything is run but to warm up.
    """

    @property
    def description(self) -> str:
        """The runtime, its version, its precision, the card."""

    @property
    def inputs(self) -> frozenset[str]:
        """What the graph reads."""

    @property
    def outputs(self) -> Mapping[str, Port]:
        """What the graph gives."""

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence that the graph has positions for."""

    @property
    def padding_id(self) -> int | None:
        """The id that positions are counted from; None: they begin at 0."""

    def allocate(self, size: int) -> Memory:
        """A block of this many bytes, of zeros on the host."""

    def launch(self, step: Step) -> None:
        """Begin a step after those before it; its copies may overlap with their runs."""

    def wait(self, step: Step) -> None:
        """Return when a step has been done. Raises what it failed with."""

    def failure(self) -> str:
        """Why the GPU is of no use to this process any more; empty while it is sound.

        Waits for what has been launched.
        """

    def close(self) -> None:
        """Release the graph and all memory."""
