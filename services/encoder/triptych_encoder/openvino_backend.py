"""OpenVINO on the CPU: bf16 where the processor has it, and graphs that were quantised for it."""

import functools
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray

from triptych_encoder.backend import RaggedBatch
from triptych_encoder.cost import CostModel
from triptych_encoder.padding import PaddedBatch, pad

DEVICE: Final = "CPU"
BF16: Final = "BF16"
_TYPES: Final[dict[str, type[np.integer[Any]]]] = {"i32": np.int32, "i64": np.int64}
_INPUTS: Final = frozenset(field.name for field in fields(PaddedBatch))
# Kernels that a stream keeps for the shapes it has met. With the library's 5,000, 2,000 runs of 900
# shapes took 1.6 GB and memory still grew. With these it stays level at 0.35 GB, for 3 % of the
# speed where shapes hardly ever come back.
KERNELS_KEPT: Final = 128


@functools.cache
def _core() -> openvino.Core:
    return openvino.Core()


def capabilities() -> frozenset[str]:
    """What this processor computes with natively, in the library's words, such as BF16."""
    return frozenset(_core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"))


class OpenVinoBackend:
    """One compiled graph of as many streams as there are workers, `threads` cores each.

    `hint` is the type that it may compute with, `bf16` or `f32`; inputs and outputs keep theirs.
    """

    max_segments = 0
    cost_model = CostModel

    def __init__(self, graph: Path, workers: int, hint: str, threads: int = 1) -> None:
        options = _options(workers, hint, threads)
        self._compiled = _core().compile_model(graph, DEVICE, options)
        _check_hint(self._compiled, hint)
        self._inputs = {item.any_name: _input_type(item) for item in self._compiled.inputs}
        self._outputs = {item.any_name: item for item in self._compiled.outputs}
        self._idle: list[openvino.InferRequest] = []
        self.description = f"openvino {_release()} {hint}"
        self.outputs = tuple(self._outputs)
        self.reads_token_types = "token_type_ids" in self._inputs

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        """See Backend.run. Inputs that the graph does not have are left out."""
        padded = pad(batch)
        feeds = {
            name: getattr(padded, name).astype(dtype, copy=False)
            for name, dtype in self._inputs.items()
        }
        request = self._take()
        try:
            request.infer(feeds, share_inputs=True, share_outputs=True)
            # what the request holds is overwritten by its next run
            return [request.get_tensor(self._outputs[name]).data.copy() for name in outputs]
        finally:
            self._idle.append(request)

    def _take(self) -> openvino.InferRequest:
        """A request that nobody runs; so there come to be as many as threads that run at once."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._compiled.create_infer_request()

    def close(self) -> None:
        """Let go of the graph; its memory is freed with it."""
        self._idle.clear()
        del self._outputs, self._compiled


def _release() -> str:
    """The library's version without its build."""
    return str(openvino.__version__).partition("-")[0]


def _options(workers: int, hint: str, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": hint,
        # by count, since the library sees the machine's cores and not the container's quota
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
        # several processes would pin their threads to the same cores
        "ENABLE_CPU_PINNING": False,
        "CPU_RUNTIME_CACHE_CAPACITY": KERNELS_KEPT,
    }


def _check_hint(compiled: openvino.CompiledModel, hint: str) -> None:
    """The library may fall back without a word."""
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != hint:
        raise ValueError(f"it would be computed in {used}, not in {hint}")


def _input_type(item: openvino.ConstOutput) -> type[np.integer[Any]]:
    name, kind = item.any_name, item.element_type.to_string()
    if name not in _INPUTS or kind not in _TYPES:
        raise ValueError(f"its input {name!r} of {kind} is not one that the encoder feeds")
    return _TYPES[kind]
