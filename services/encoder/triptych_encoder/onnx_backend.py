"""The reference backend: onnxruntime on the CPU."""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import RaggedBatch
from triptych_encoder.cost import CostModel
from triptych_encoder.padding import PaddedBatch, pad

# The library's wheels report their use to its maker unless they are told not to before the import.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

_FATAL: Final = 4
PROVIDER: Final = "CPUExecutionProvider"
_TYPES: Final[dict[str, type[np.integer[Any]]]] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
_INPUTS: Final = frozenset(field.name for field in fields(PaddedBatch))


class OnnxBackend:
    """One session, run by as many threads as there are workers, one core each.

    Several runs of one thread beat one run of several threads for all but a lone run, for which a
    session may have more `threads`. `precision` is what the graph was made for.
    """

    max_segments = 0
    cost_model = CostModel

    def __init__(self, graph: Path, precision: str = "fp32", threads: int = 1) -> None:
        options = _options(threads)
        self._session = onnxruntime.InferenceSession(graph, options, providers=[PROVIDER])
        self._inputs = {item.name: _input_type(item) for item in self._session.get_inputs()}
        self.description = f"onnxruntime {onnxruntime.__version__} {precision}"
        self.outputs = tuple(item.name for item in self._session.get_outputs())
        self.reads_token_types = "token_type_ids" in self._inputs

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        """See Backend.run. Inputs that the graph does not have are left out."""
        padded = pad(batch)
        feeds = {
            name: getattr(padded, name).astype(dtype, copy=False)
            for name, dtype in self._inputs.items()
        }
        results: list[NDArray[Any]] = self._session.run(list(outputs), feeds)
        return results

    def close(self) -> None:
        """Let go of the session; its memory is freed with it."""
        del self._session


def _input_type(item: onnxruntime.NodeArg) -> type[np.integer[Any]]:
    if item.name not in _INPUTS or item.type not in _TYPES:
        raise ValueError(
            f"its input {item.name!r} of {item.type} is not one that the encoder feeds"
        )
    return _TYPES[item.type]


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its errors come as exceptions; lines that it writes itself would break up ours.
    options.log_severity_level = _FATAL
    # Threads of one session wait for each other between two products, for microseconds, and spin as
    # long as its run lasts; those of several sessions would take the cores from each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Without VNNI, products of int8 are added in 16 bits and overflow; this adds them in 32 there,
    # slower and right, and changes nothing where a processor has it.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options
