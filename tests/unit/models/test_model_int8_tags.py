"""int8 of a tagger: its labels stay what they are in fp32, by layers that stay in fp32."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tests.parity.tiny_models import LAYERS, write_model
from triptych_bundles import INT8_GRAPHS, TOKEN_LOGITS_OUTPUT, Bundle, Repository
from triptych_models.__main__ import main
from triptych_models.config import EncoderConfig, read_config
from triptych_models.graph import padded_graph
from triptych_models.plan import make_plan
from triptych_models.quantization import int8_graphs
from triptych_models.reference import softmax
from triptych_models.runtime import Ids, PaddedGraph
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.tokenization import encode, load_tokenizer
from triptych_models.weights import (
    EncoderWeights,
    Linear,
    encoder_weights,
    read_tensors,
    token_classifier_weights,
)

Output = pytest.CaptureFixture[str]
SENTENCES = [f"the news from {place} was {one}" for place in ("zurich", "japan") for one in "abcd"]


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


def written(folder: Path, *options: str) -> Bundle:
    """What `compile` makes of a tiny tagger, in a version of its own."""
    version = str(len(list(folder.glob("models/tiny/*"))) + 1)
    command = ["compile", str(folder / "bert-tag"), "--name", "tiny", "--version", version]
    own = ["--precision", "int8", "--min-cosine", "0.5", "--repository", str(folder / "models")]
    assert main([*command, *own, *options]) == 0
    return Repository(folder / "models").find_model("tiny", version)


def layers_of(bundle: Bundle) -> list[set[int]]:
    return [in_int8(onnx.load(bundle.file(bundle.graphs[variant]))) for variant in INT8_GRAPHS]


def test_compile_chooses_by_the_words_of_a_file(tmp_path: Path, capsys: Output) -> None:
    model = write_model(tmp_path, "bert", "tag")
    words, lines = tmp_path / "own.conll", tmp_path / "own.txt"
    tagged = ("".join(f"{word}\tO\n" for word in text.split()) for text in SENTENCES)
    words.write_text("\n".join(tagged))
    lines.write_text("\n\n".join(SENTENCES))
    plain = written(tmp_path)
    assert "from layer" not in capsys.readouterr().err
    given = (("--samples", str(words)), ("--sample-texts", str(lines)))
    chosen = [written(tmp_path, *options) for options in given]
    assert "int8 from layer 0 on: labels shift by" in capsys.readouterr().err
    assert layers_of(plain) == [set(range(LAYERS))] * 2
    assert [layers_of(one) for one in chosen] == [[set(range(LAYERS // 2, LAYERS))] * 2] * 2
    source = fetch(str(model), tmp_path / "cache", "http://localhost", lambda line: None)
    for bundle in chosen:
        plan = make_plan(source, "tiny", bundle.version, Choices())
        tokenizer = load_tokenizer(model / "tokenizer.json", plan.settings.max_length)
        samples = encode(tokenizer, SENTENCES)
        assert bundle.recipe == replace(plan, int8_min_cosine=0.5, samples=samples).recipe()


@pytest.mark.parametrize(
    ("task", "options", "content", "reason"),
    [
        ("tag", ["--samples"], "a O\n", "choose nothing without --precision int8"),
        ("tag", ["--precision=int8", "--samples"], "a O\nb\n", "line 2 has a word without a tag"),
        ("tag", ["--precision=int8", "--samples"], "\n", "own.data: holds no sentence"),
        ("tag", ["--precision=int8", "--sample-texts"], " \n", "own.data: holds no text"),
        ("tag", ["--precision=int8", "--sample-texts"], "\xff", "own.data: is not UTF-8"),
        ("tag", ["--precision=int8", "--sample-texts"], None, "own.data: cannot be read"),
        ("classify", ["--precision=int8", "--samples"], "a O\n", "@1 does not tag"),
    ],
)
def test_what_nothing_can_be_chosen_by(
    tmp_path: Path, capsys: Output, task: str, options: list[str], content: str | None, reason: str
) -> None:
    file, model = tmp_path / "own.data", write_model(tmp_path, "bert", task)
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    command = ["compile", str(model), "--repository", str(tmp_path / "models")]
    assert main([*command, *options, str(file)]) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "models" / "bert-tag").exists()
