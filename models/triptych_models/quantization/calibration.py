"""What goes into each matrix product, seen over texts that nothing else is judged by.

T tokens, K channels of a product's input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from triptych_models.config import EncoderConfig
from triptych_models.graph import GraphBuilder, add_linear, padded_graph
from triptych_models.runtime import Ids, PaddedGraph
from triptych_models.weights import EncoderWeights, Linear

Array = NDArray[np.float32]
# long texts are joined of every eighth line, so that each mixes languages and subjects
_JOINED = 8
# some words and signs are said over and over: attention is then sharper than in any prose
_REPEATED_EVERY = 4
_REPEATS = 128
_PUNCTUATION = tuple(".,:;!?-_*#~=+/|()[]'\"")
# rows of each text that recipes are tried on: one token of so many
_SAMPLE_EVERY = 24


def calibration_texts(special: Sequence[str]) -> list[str]:
    """Prose in many languages, business, code and noise, short, long and repeated.

    `special` are the tokenizer's own tokens, which a text may spell out and which activate channels
    that no word does.
    """
    content = (files(__package__) / "calibration.txt").read_text(encoding="utf-8")
    lines = content.splitlines()
    words = sorted({line.split()[0] for line in lines})[::_REPEATED_EVERY]
    joined = [" ".join(lines[start::_JOINED]) for start in range(_JOINED)]
    repeated = [" ".join([word] * _REPEATS) for word in (*words, *_PUNCTUATION, *special)]
    signs = [separator.join(_PUNCTUATION) for separator in (" ", "")]
    within = [f"{token} and {token}, or {token}" for token in special]
    return [*lines, *joined, *repeated, *signs, *within, " ".join(reversed(special))]


@dataclass(frozen=True, slots=True)
class Activations:
    """The input of a product: least and largest by channel, [K] each, and some rows, [T, K]."""

    least: Array
    largest: Array
    sample: Array


class Recorder:
    """A Product in fp32 that notes which value each product reads, and its weights."""

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}
        self.linears: dict[str, Linear] = {}

    def __call__(self, graph: GraphBuilder, name: str, linear: Linear, value: str) -> str:
        """Add the product."""
        self.inputs[name], self.linears[name] = value, linear
        return add_linear(graph, name, linear, value)


def calibrate(
    weights: EncoderWeights, config: EncoderConfig, recorder: Recorder, sequences: Sequence[Ids]
) -> Mapping[str, Activations]:
    """Run the texts in fp32, one by one; activations by the product's name."""
    model = padded_graph(weights, config, product=recorder)
    values = sorted(set(recorder.inputs.values()))
    for value in values:
        model.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
    graph = PaddedGraph(model.SerializeToString())
    seen = {value: _Running() for value in values}
    for ids in sequences:
        for value, array in graph.run([ids], values).items():
            seen[value].add(array.reshape(-1, array.shape[-1]))
    return {name: seen[value].result() for name, value in recorder.inputs.items()}


class _Running:
    """Activations so far; of the rows only a share is kept."""

    def __init__(self) -> None:
        self._extremes: list[Array] = []
        self._rows: list[Array] = []

    def add(self, rows: Array) -> None:
        self._extremes += [rows.min(0), rows.max(0)]
        self._rows.append(rows[::_SAMPLE_EVERY].copy())

    def result(self) -> Activations:
        extremes = np.stack(self._extremes)
        return Activations(extremes.min(0), extremes.max(0), np.concatenate(self._rows))
