"""A graph in onnxruntime while it is imported: its outputs, and what they are for some texts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import HIDDEN_OUTPUT, TOKEN_LOGITS_OUTPUT
from triptych_models.errors import UnsupportedModel

# The library's wheels report their use to its maker unless they are told not to before the import.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

Ids: TypeAlias = NDArray[np.int32]
Array: TypeAlias = NDArray[np.float32]
PER_TOKEN = (HIDDEN_OUTPUT, TOKEN_LOGITS_OUTPUT)
_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
_ONLY_ERRORS = 3


class ImportedSession:
    """One core: what is held here is numbers, not speed."""

    def __init__(self, model: bytes | Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = _ONLY_ERRORS
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own errors share no narrower class
            raise UnsupportedModel(f"onnxruntime cannot load the graph: {_line(error)}") from None
        self._inputs = {item.name: _TYPES[item.type] for item in self._session.get_inputs()}
        self.outputs = [item.name for item in self._session.get_outputs()]

    def run(self, sequences: Sequence[Ids], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Outputs by name for one batch, padded on the right to its longest sequence."""
        input_ids = np.zeros((len(sequences), max(map(len, sequences))), np.int32)
        mask = np.zeros_like(input_ids)
        for row, ids in enumerate(sequences):
            input_ids[row, : len(ids)], mask[row, : len(ids)] = ids, 1
        feed = {
            "input_ids": input_ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(input_ids),
        }
        fed = {name: feed[name].astype(kind, copy=False) for name, kind in self._inputs.items()}
        try:
            arrays = self._session.run(list(outputs), fed)
        except Exception as error:
            shape = f"{input_ids.shape[0]} texts of up to {input_ids.shape[1]} tokens"
            raise UnsupportedModel(f"the graph does not run {shape}: {_line(error)}") from None
        return dict(zip(outputs, arrays, strict=True))

    def rows(
        self, sequences: Sequence[Ids], outputs: Sequence[str], batch_size: int
    ) -> Mapping[str, Array]:
        """Outputs by name for N texts of T tokens in all, without padding: [N, width], [T, width].

        They run in batches of `batch_size`.
        """
        found: dict[str, list[Array]] = {name: [] for name in outputs}
        for start in range(0, len(sequences), batch_size):
            batch = sequences[start : start + batch_size]
            for name, array in self.run(batch, outputs).items():
                found[name] += _unpadded(name, array, batch)
        return {name: np.concatenate(parts) for name, parts in found.items()}


def _unpadded(name: str, array: Array, batch: Sequence[Ids]) -> list[Array]:
    if name not in PER_TOKEN:
        return [array]
    return [row[: len(ids)] for row, ids in zip(array, batch, strict=True)]


def _line(error: Exception) -> str:
    """The runtime's message in one line, without where it stands in the runtime's source."""
    return " ".join(str(error).split()).rpartition("onnxruntime::")[2][:300]
