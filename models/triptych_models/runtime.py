"""A bundle's graph in onnxruntime, for verification: what is held here is numbers, not speed."""

import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import HIDDEN_OUTPUT, TOKEN_LOGITS_OUTPUT
from triptych_models.errors import ModelError

# The library's wheels report their use to its maker unless they are told not to before the import.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

Ids: TypeAlias = NDArray[np.int32]
Outputs: TypeAlias = Mapping[str, NDArray[np.float32]]
PER_TOKEN = (HIDDEN_OUTPUT, TOKEN_LOGITS_OUTPUT)
_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}


class PaddedGraph:
    """A session on one core, of a file or of a model's bytes."""

    def __init__(self, model: Path | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Without VNNI, products of int8 are added in 16 bits and overflow; this adds them in 32, so
        # that the record of an int8 graph is the same wherever it is made.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # the runtime's own errors share no narrower class
            named = "a graph" if isinstance(model, bytes) else model
            raise ModelError(f"{named}: onnxruntime cannot load it: {error}") from error
        self._inputs = {item.name: _TYPES[item.type] for item in self._session.get_inputs()}

    def run(
        self,
        sequences: Sequence[Ids],
        outputs: Sequence[str],
        token_types: Sequence[Ids] | None = None,
    ) -> Outputs:
        """Outputs by name for one batch, padded to its longest sequence.

        Token types are 0 where none are given, and left out where the graph does not read them.
        """
        feed = {
            "input_ids": _padded(sequences),
            "attention_mask": _padded([np.ones_like(ids) for ids in sequences]),
            "token_type_ids": _padded(token_types or [np.zeros_like(ids) for ids in sequences]),
        }
        fed = {name: feed[name].astype(kind, copy=False) for name, kind in self._inputs.items()}
        return dict(zip(outputs, self._session.run(list(outputs), fed), strict=True))

    def run_all(
        self,
        sequences: Sequence[Ids],
        outputs: Sequence[str],
        batch_size: int,
        token_types: Sequence[Ids] | None = None,
    ) -> Outputs:
        """Outputs by name for N sequences in batches of `batch_size`: float32[N, ...].

        Those of tokens come without padding, the sequences one after the other: float32[T, ...].
        """
        parts = [slice(at, at + batch_size) for at in range(0, len(sequences), batch_size)]
        batches = [
            self.run(sequences[part], outputs, token_types[part] if token_types else None)
            for part in parts
        ]
        lengths = [[len(ids) for ids in sequences[part]] for part in parts]
        return {
            name: _joined(name, [batch[name] for batch in batches], lengths) for name in outputs
        }


def _joined(
    name: str, batches: Sequence[NDArray[np.float32]], lengths: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    if name not in PER_TOKEN:
        return np.concatenate(batches)
    rows = chain.from_iterable(batches)
    return np.concatenate(
        [row[:length] for row, length in zip(rows, chain.from_iterable(lengths), strict=True)]
    )


def _padded(rows: Sequence[Ids]) -> Ids:
    """[N, longest], filled up with 0."""
    padded = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
