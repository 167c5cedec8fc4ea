"""int8 of a tagger: its labels stay what they are in fp32, by layers that stay in fp32."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.parity.tiny_models import LAYERS, write_model
from triptych_bundles import INT8_GRAPHS, TOKEN_LOGITS_OUTPUT
from triptych_models.config import EncoderConfig, read_config
from triptych_models.graph import padded_graph
from triptych_models.plan import make_plan
from triptych_models.quantization import int8_graphs
from triptych_models.reference import softmax
from triptych_models.runtime import Ids, PaddedGraph
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.weights import (
    EncoderWeights,
    Linear,
    encoder_weights,
    read_tensors,
    token_classifier_weights,
)


@dataclass(frozen=True)
class Tagger:
    config: EncoderConfig
    weights: EncoderWeights
    classifier: Linear

    def int8(self, calibrated: Sequence[Ids], samples: Sequence[Ids]) -> list[onnx.ModelProto]:
        made = int8_graphs(
            self.weights, self.config, self.classifier, calibrated, samples, lambda line: None
        )
        return [made[variant] for variant in INT8_GRAPHS]

    def shift(self, model: onnx.ModelProto, samples: Sequence[Ids]) -> float:
        """Of the probabilities of labels, against fp32; mean over tokens."""
        exact = padded_graph(self.weights, self.config, self.classifier)
        return float(np.abs(labels(model, samples) - labels(exact, samples)).mean())


@pytest.fixture
def tagger(tmp_path: Path) -> Tagger:
    folder = write_model(tmp_path, "bert", "tag")
    config = read_config(folder / "config.json")
    tensors = read_tensors(folder / "model.safetensors", config)
    classifier = token_classifier_weights(tensors, config, 8)
    return Tagger(config, encoder_weights(tensors, config), classifier)


def inputs(tagger: Tagger, seed: int) -> list[Ids]:
    numbers = np.random.default_rng(seed)
    lengths = numbers.integers(4, 20, 40)
    return [numbers.integers(0, tagger.config.vocab_size, n, np.int32) for n in lengths]


def labels(model: onnx.ModelProto, samples: Sequence[Ids]) -> NDArray[np.float64]:
    graph = PaddedGraph(model.SerializeToString())
    logits = graph.run_all(samples, [TOKEN_LOGITS_OUTPUT], 4)[TOKEN_LOGITS_OUTPUT]
    return softmax(logits.astype(np.float64))


def in_int8(model: onnx.ModelProto) -> set[int]:
    """The layers that have a product in int8."""
    kernels = [one for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8]
    names = [one.name.split(".") for one in kernels if one.name.endswith(".kernel")]
    return {int(index) for kind, index, *_ in names if kind == "layer"}


def test_layers_stay_in_fp32_where_labels_would_shift(tagger: Tagger) -> None:
    calibrated, samples, others = (inputs(tagger, seed) for seed in range(3))
    plain, kept = tagger.int8(calibrated, []), tagger.int8(calibrated, samples)
    assert [in_int8(model) for model in plain] == [set(range(LAYERS))] * 2
    assert [in_int8(model) for model in kept] == [set(range(LAYERS // 2, LAYERS))] * 2
    for before, after in zip(plain, kept, strict=True):
        assert tagger.shift(after, others) < 0.8 * tagger.shift(before, others)


def test_every_layer_is_in_int8_where_labels_stay(tagger: Tagger) -> None:
    """A classifier that says the same of every token."""
    calibrated, samples = inputs(tagger, 0), inputs(tagger, 1)
    indifferent = Linear(np.zeros_like(tagger.classifier.kernel), tagger.classifier.bias)
    made = replace(tagger, classifier=indifferent).int8(calibrated, samples)
    assert [in_int8(model) for model in made] == [set(range(LAYERS))] * 2


def test_the_recipe_of_a_bundle_names_the_samples(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "bert", "tag")
    source = fetch(str(folder), tmp_path / "cache", "http://localhost", lambda line: None)
    plan = replace(make_plan(source, "tiny", "1", Choices()), int8_min_cosine=0.9)
    ids = np.array([1, 2, 3], np.int32)
    recipes = [replace(plan, samples=samples).recipe() for samples in ([], [ids], [ids[::-1]])]
    assert len(set(recipes)) == 3
    assert recipes[0] == plan.recipe()
