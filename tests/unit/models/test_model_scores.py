"""`score`: what a bundle holds afterwards, and what cannot be scored."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.parity.tiny_models import write_model
from triptych_bundles import Bundle, Repository, forward, read_layers
from triptych_models.__main__ import main
from triptych_models.compilation import compile_bundle
from triptych_models.plan import make_plan
from triptych_models.runtime import PaddedGraph
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.tokenization import encode, load_tokenizer
from triptych_models.verification import verify_bundle

Output = pytest.CaptureFixture[str]
TEXTS = [f"{first} {second} the end" for first in "abcdefg" for second in ("one", "two", "on in")]
SECONDS = [f"not {text[::-1]}" for text in TEXTS]
# random weights have no slack
FLOOR = 0.9


def silent(line: str) -> None:
    """Progress that nobody reads."""


def compiled(folder: Path, task: str, int8: bool = True) -> Bundle:
    source = fetch(str(write_model(folder, "bert", task)), folder, "http://localhost", silent)
    plan = make_plan(source, "tiny", "1", Choices())
    plan = replace(plan, int8_min_cosine=FLOOR if int8 else None)
    return compile_bundle(plan, folder / "models", False, silent)


def answers(bundle: Bundle, pairs: bool = False) -> list[str]:
    """What the graph in fp32 says of TEXTS, alone or each with its second text."""
    assert bundle.head is not None
    tokenizer = load_tokenizer(bundle.file("tokenizer.json"), bundle.max_length)
    inputs = list(zip(TEXTS, SECONDS, strict=True)) if pairs else TEXTS
    encodings = tokenizer.encode_batch(inputs)
    ids = [np.array(one.ids, np.int32) for one in encodings]
    types = [np.array(one.type_ids, np.int32) for one in encodings]
    graph = PaddedGraph(bundle.file("model.onnx"))
    vectors = graph.run_all(ids, [bundle.head.input], 1, types)[bundle.head.input]
    logits = forward(read_layers(bundle, bundle.head), vectors, bundle.head.normalized)
    return [bundle.head.labels[at] for at in logits.argmax(axis=1)]


def write_csv(folder: Path, labels: list[str]) -> Path:
    lines = zip(TEXTS, SECONDS, labels, strict=True)
    rows = "".join(f"{text},{second},{label}\n" for text, second, label in lines)
    path = folder / "held.csv"
    path.write_text(f"text,second,label\n{rows}")
    return path


def score(folder: Path, data: Path, *options: str) -> int:
    command = ["score", "tiny", "--data", str(data), "--repository", str(folder / "models")]
    return main([*command, *options])


def test_scores_stand_in_the_manifest_and_in_the_card(tmp_path: Path, capsys: Output) -> None:
    bundle = compiled(tmp_path, "classify")
    labels = answers(bundle)
    assert bundle.head is not None
    wrong = next(label for label in bundle.head.labels if label != labels[0])
    data = write_csv(tmp_path, [wrong, *labels[1:]])
    assert score(tmp_path, data, "--data-name", "held out") == 0
    expected = (len(TEXTS) - 1) / len(TEXTS)
    assert f"tiny@1 cpu-fp32 accuracy {expected:.4f}" in capsys.readouterr().out
    found = Repository(tmp_path / "models").find_model("tiny")
    pair = found.precisions["int8"].scores["held out"]
    assert pair.metric == "accuracy"
    assert pair.fp32 == pytest.approx(expected, abs=1e-6)
    assert 0 <= pair.own <= 1
    assert found.recipe == bundle.recipe
    assert found.digest != bundle.digest
    row = f"| `held out` | `{'[0-9a-f]'}{{12}}…` | {len(TEXTS)} | accuracy | {expected:.4f} |"
    card = found.file("model-card.md").read_text()
    assert re.search(row.replace("|", r"\|"), card)
    verify_bundle(found, silent)


def test_scores_of_the_same_data_are_replaced_and_of_other_data_added(tmp_path: Path) -> None:
    bundle = compiled(tmp_path, "classify")
    data = write_csv(tmp_path, answers(bundle))
    for name in ("first", "second", "first"):
        assert score(tmp_path, data, "--data-name", name) == 0
    found = Repository(tmp_path / "models").find_model("tiny")
    assert sorted(found.precisions["int8"].scores) == ["first", "second"]
    card = found.file("model-card.md").read_text()
    assert (card.count("`first`"), card.count("`second`")) == (1, 1)
    assert card.count("## Scores by precision") == 1


def test_a_tagger_is_scored_by_whole_entities(tmp_path: Path, capsys: Output) -> None:
    bundle = compiled(tmp_path, "tag")
    tokenizer = load_tokenizer(bundle.file("tokenizer.json"), bundle.max_length)
    graph = PaddedGraph(bundle.file("model.onnx"))
    words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    ids = encode(tokenizer, [" ".join(words)])
    logits = graph.run(ids, ["token_logits"])["token_logits"][0]
    tags = [bundle.token_labels[at] for at in logits[1:-1].argmax(axis=1)]
    # every label of the tiny model but MISC is of the scheme; what it says is right by definition
    lines = [
        f"{word} {tag if tag != 'MISC' else 'O'}" for word, tag in zip(words, tags, strict=True)
    ]
    data = tmp_path / "held.conll"
    data.write_text("\n".join(lines) + "\n")
    assert score(tmp_path, data) == 0
    assert "cpu-fp32 entity F1" in capsys.readouterr().out
    found = Repository(tmp_path / "models").find_model("tiny")
    assert set(found.precisions["int8"].scores) == {"golden-tokens", "held"}
    if "MISC" not in tags:
        assert found.precisions["int8"].scores["held"].fp32 == 1.0


def test_pairs_are_read_as_pairs(tmp_path: Path, capsys: Output) -> None:
    bundle = compiled(tmp_path, "classify", int8=False)
    alone, paired = answers(bundle), answers(bundle, pairs=True)
    same = sum(map(str.__eq__, alone, paired))
    assert same < len(TEXTS)
    data = write_csv(tmp_path, paired)
    assert score(tmp_path, data, "--pair-column", "second", "--data-name", "pairs") == 0
    assert "tiny@1 cpu-fp32 accuracy 1.0000" in capsys.readouterr().out
    card = Repository(tmp_path / "models").find_model("tiny").file("model-card.md").read_text()
    assert re.search(rf"\| `pairs` \| .* \| {len(TEXTS)} \| accuracy \| 1\.0000 \|", card)
    # the same rows without their second texts
    assert score(tmp_path, data) == 0
    assert f"tiny@1 cpu-fp32 accuracy {same / len(TEXTS):.4f}" in capsys.readouterr().out


def test_a_row_without_its_second_text_is_named(tmp_path: Path, capsys: Output) -> None:
    compiled(tmp_path, "classify", int8=False)
    data = tmp_path / "held.csv"
    data.write_text("text,second,label\nthe end,,negative\n")
    assert score(tmp_path, data, "--pair-column", "second") == 1
    assert "--pair-column: is empty on line 2" in capsys.readouterr().err


def test_a_bundle_in_fp32_alone_has_its_scores_in_the_card(tmp_path: Path) -> None:
    bundle = compiled(tmp_path, "classify", int8=False)
    assert score(tmp_path, write_csv(tmp_path, answers(bundle))) == 0
    found = Repository(tmp_path / "models").find_model("tiny")
    assert not found.precisions
    assert "| accuracy | 1.0000 |  |  |" in found.file("model-card.md").read_text()


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        ("embed", [], "tiny@1 has no head of its own: name one with --head"),
        ("embed", ["--head", "tiny"], "--head: tiny@1 is a model, not a head"),
        ("classify", ["--text-column", "body"], "--text-column: the header must name 'body' once"),
        ("classify", ["--pair-column", "b"], "--pair-column: the header must name 'b' once"),
        ("classify", ["--label-names", "a=b"], "--label-names: must be the head's labels"),
    ],
)
def test_what_cannot_be_scored(
    tmp_path: Path, capsys: Output, task: str, options: list[str], reason: str
) -> None:
    bundle = compiled(tmp_path, task, int8=False)
    data = write_csv(tmp_path, ["negative"] * len(TEXTS))
    assert score(tmp_path, data, *options) == 1
    assert reason in capsys.readouterr().err
    assert Repository(tmp_path / "models").find_model("tiny").digest == bundle.digest


def test_a_head_over_the_mean_is_read_as_its_config_says(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "roberta", "classify")
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", '{"classifier_pooling": "mean",', 1))
    tensors = load_file(folder / "model.safetensors")
    width = tensors["classifier.dense.bias"].shape[0]
    kernel = np.linspace(-1, 1, 3 * width, dtype=np.float32).reshape(3, width)
    save_file(
        tensors | {"classifier.weight": kernel, "classifier.bias": np.ones(3, np.float32)},
        folder / "model.safetensors",
    )
    source = fetch(str(folder), tmp_path, "http://localhost", silent)
    bundle = compile_bundle(
        make_plan(source, "tiny", "1", Choices()), tmp_path / "models", False, silent
    )
    assert bundle.head is not None
    assert (bundle.head.input, len(bundle.head.layers)) == ("pooled.mean", 1)
    kernels = read_layers(bundle, bundle.head)
    np.testing.assert_array_equal(kernels[0].kernel, kernel.T)
