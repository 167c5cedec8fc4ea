"""Whole trainings of small models: scores, resuming, early stopping, parity of the graph."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from triptych_bundles import Bundle, Repository, forward, read_layers
from triptych_models.__main__ import main as compile_again
from triptych_models.config import read_config
from triptych_models.runtime import PaddedGraph
from triptych_models.scores.inputs import Inputs
from triptych_models.scores.running import run_rows
from triptych_models.tokenization import load_tokenizer
from triptych_models.verification import verify_bundle
from triptych_train.__main__ import main
from triptych_train.checkpoints import FILE
from triptych_train.devices import Device
from triptych_train.network import Network, build
from triptych_train.parts import Part
from triptych_train.predicting import predict
from triptych_train.recipe import read_recipe

ARCHITECTURES = ("bert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
WriteRecipe = Callable[..., Path]
Output = pytest.CaptureFixture[str]
# the tests' own rule: a graph in fp32 against torch in fp32
MAX_LOGIT_ERROR = 1e-3


def command(recipe: Path, data: Path, *options: str) -> list[str]:
    folder = data.parent
    places = ["--repository", str(folder / "models"), "--work", str(folder / "work")]
    fixed = ["--device", "cpu", "--precision", "fp32", "--threads", "1"]
    return [str(recipe), "--data", str(data), *places, *fixed, *options]


def bundle(folder: Path, name: str) -> Bundle:
    return Repository(folder / "models").find_model(name)


def work(folder: Path, name: str) -> Path:
    """Where a training of version 1 keeps its checkpoints."""
    return folder / "work" / name / "1"


def silent(line: str) -> None:
    """Progress that nobody reads."""


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_bundle_comes_of_it_with_its_scores(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path, task: str, capsys: Output
) -> None:
    assert main(command(write_recipe(task, epochs=20, patience=0, smoothing=0.0), data)) == 0
    # layers are chosen for a tagger, by its validation part
    assert ("int8 from layer 0 on" in capsys.readouterr().err) == (task == "tag")
    made = bundle(tmp_path, f"tiny-{task}")
    verify_bundle(made, silent)
    scores = made.precisions["int8"].scores["test"]
    assert scores.fp32 > 0.9
    card = made.file("model-card.md").read_text()
    assert "| `test` |" in card
    assert f"**{scores.fp32:.4f}**" in card
    assert made.base.licence == "not stated"


def test_what_is_scored_was_not_fitted_on(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path
) -> None:
    assert main(command(write_recipe(), data)) == 0
    held = (work(tmp_path, "tiny-classify") / "test.csv").read_text().splitlines()[1:]
    assert len(held) == 45
    card = bundle(tmp_path, "tiny-classify").file("model-card.md").read_text()
    assert "| training, validation, test | 360, 45, 45 |" in card


def test_compile_chooses_by_a_file_what_training_chose_by_its_validation_part(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path, capsys: Output
) -> None:
    sentences = (data / "topics.conll").read_text().split("\n\n")
    held = data / "held.conll"
    held.write_text("\n\n".join(sentences[::9]) + "\n")
    assert main(command(write_recipe("tag"), data, "--set", "data.validation=held.conll")) == 0
    trained = chosen(capsys)
    again = ["compile", str(work(tmp_path, "tiny-tag") / "model"), "--name", "again"]
    options = ["--precision", "int8", "--min-cosine", "0.5", "--samples", str(held)]
    assert compile_again([*again, *options, "--repository", str(tmp_path / "models")]) == 0
    assert chosen(capsys) == trained != []
    graphs = [bundle(tmp_path, name).file("model-cpu-int8.onnx") for name in ("tiny-tag", "again")]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()


def chosen(capsys: Output) -> list[str]:
    """What was said of each number of layers that was tried."""
    return re.findall("int8 from layer .*", capsys.readouterr().err)


@pytest.mark.parametrize("task", ["classify", "tag", "pair"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_graph_says_what_torch_said(
    write_recipe: WriteRecipe,
    data: Path,
    tmp_path: Path,
    device: Device,
    architecture: str,
    task: str,
) -> None:
    recipe_path = write_recipe("tag" if task == "tag" else "classify", architecture, epochs=1)
    options = ["--set", "data.pair_column=other"] if task == "pair" else []
    assert main(command(recipe_path, data, *options, "--set", "int8_min_cosine=0")) == 0
    made = bundle(tmp_path, "tiny-tag" if task == "tag" else "tiny-classify")
    tokenizer = load_tokenizer(made.file("tokenizer.json"), made.max_length)
    texts = ["the bank", "japan and the deck, from zürich", "a"]
    encodings = tokenizer.encode_batch(
        [(text, "not fine") for text in texts] if task == "pair" else texts
    )
    inputs = Inputs(
        [np.array(one.ids, np.int32) for one in encodings],
        [np.array(one.type_ids, np.int32) for one in encodings],
    )
    said = predict(exported(recipe_path, tmp_path, made), part(inputs, task == "tag"), device)
    for actual, expected in zip(answers(made, inputs), said, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=MAX_LOGIT_ERROR)


def part(inputs: Inputs, per_token: bool) -> Part:
    targets = [np.zeros(len(ids) if per_token else 1, np.int64) for ids in inputs.input_ids]
    return Part(inputs, targets, per_token, score=lambda logits: 0.0, write=lambda path: None)


def exported(recipe_path: Path, folder: Path, made: Bundle) -> Network:
    """The network of the weights that were handed over."""
    recipe, model = read_recipe(recipe_path), work(folder, made.name) / "model"
    config = read_config(model / "config.json")
    labels = len(made.head.labels if made.head else made.token_labels)
    network = build(recipe, Path(recipe.trunk), config, labels)
    tensors = load_file(model / "model.safetensors")
    network.load_state_dict(
        {
            name if name.startswith("classifier.") else f"trunk.{name}": one
            for name, one in tensors.items()
        }
    )
    return network


def answers(made: Bundle, inputs: Inputs) -> list[np.ndarray]:
    graph = PaddedGraph(made.file("model.onnx"))
    if made.head is None:
        return run_rows(graph, inputs, "token_logits", 1)
    vectors = np.stack(run_rows(graph, inputs, made.head.input, 1))
    return list(forward(read_layers(made, made.head), vectors, made.head.normalized))


def test_killed_half_way_it_ends_with_the_same_weights(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(epochs=3, patience=0)
    options = command(recipe, data, "--checkpoint-steps", "5")
    assert main([*options, "--set", "name=whole"]) == 0
    # the same recipe but for its name: the weights do not depend on that
    changed = [*options, "--set", "name=killed"]
    folders = [work(tmp_path, name) for name in ("whole", "killed")]
    kill_after_a_checkpoint(changed, folders[1] / "run-0" / FILE)
    assert not (folders[1] / "model").exists()
    assert main(changed) == 0
    files = [folder / "model" / "model.safetensors" for folder in folders]
    assert files[0].read_bytes() == files[1].read_bytes()
    scores = [
        bundle(tmp_path, name).precisions["int8"].scores["test"] for name in ("whole", "killed")
    ]
    assert scores[0] == scores[1]


def kill_after_a_checkpoint(options: list[str], checkpoint: Path) -> None:
    """Start it as a user would, and end it without notice while it trains."""
    process = subprocess.Popen([sys.executable, "-m", "triptych_train", *options])
    while not checkpoint.is_file():
        assert process.poll() is None, "it ended before its first checkpoint"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    state = torch.load(checkpoint, weights_only=True)
    assert 0 < state["course"][0] < 3 * 45


def test_runs_are_averaged_and_resumed_one_by_one(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(epochs=2, patience=0, runs=2)
    assert main(command(recipe, data)) == 0
    folder = work(tmp_path, "tiny-classify")
    weights = [best_of(folder / f"run-{run}") for run in range(2)]
    made = load_file(folder / "model" / "model.safetensors")
    assert not torch.equal(weights[0]["classifier.weight"], weights[1]["classifier.weight"])
    for name, one in weights[0].items():
        mean = (one + weights[1][name]) / 2
        torch.testing.assert_close(made[name.removeprefix("trunk.")], mean, rtol=0, atol=1e-6)
    # both runs are over: nothing is trained again, and the same comes of it
    assert main(command(recipe, data, "--replace")) == 0
    again = load_file(folder / "model" / "model.safetensors")
    assert all(torch.equal(made[name], again[name]) for name in made)
    assert "mean of 2 runs" in bundle(tmp_path, "tiny-classify").file("model-card.md").read_text()


def best_of(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / FILE, weights_only=True)
    found: dict[str, torch.Tensor] = state["best"]
    return found


def test_it_stops_when_nothing_gets_better_and_keeps_the_best(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path
) -> None:
    # rates that move nothing: every epoch scores what the first did
    recipe = write_recipe(epochs=20, patience=2, learning_rate=1e-12, head_learning_rate=1e-12)
    assert main(command(recipe, data)) == 0
    card = bundle(tmp_path, "tiny-classify").file("model-card.md").read_text()
    assert "| 1 | 1 (kept) |" in card
    assert "| 1 | 3 | " in card
    assert "| 1 | 4 | " not in card


def test_another_trainings_checkpoint_is_refused(
    write_recipe: WriteRecipe, data: Path, capsys: Output
) -> None:
    recipe = write_recipe()
    assert main(command(recipe, data)) == 0
    again = command(recipe, data, "--set", "seed=1", "--replace")
    assert main(again) == 1
    assert "--work: its checkpoint is of another recipe" in capsys.readouterr().err
    assert main([*again, "--fresh"]) == 0
    # another version is another training, in the same folder
    assert main(command(recipe, data, "--set", "version=2", "--set", "seed=2")) == 0


def test_a_version_that_is_there_is_kept(
    write_recipe: WriteRecipe, data: Path, capsys: Output
) -> None:
    recipe = write_recipe()
    assert main(command(recipe, data)) == 0
    assert main(command(recipe, data)) == 1
    assert "tiny-classify@1 is there already" in capsys.readouterr().err


def test_the_validation_part_is_fitted_on_where_it_is_told(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path
) -> None:
    assert main(command(write_recipe(epochs=12, fit_validation=True), data)) == 0
    made = bundle(tmp_path, "tiny-classify")
    card = made.file("model-card.md").read_text()
    assert "fitted on training and validation" in card
    assert "(kept)" not in card
    assert made.precisions["int8"].scores["test"].fp32 > 0.9


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("topic,text\nmoney\n", "--data: line 2 has 1 cells only"),
        ("topic,text\nmoney,\n", "--text-column: is empty on line 2"),
        ("topic,body\nmoney,tea\n", "--text-column: the header must name 'text' once"),
        ("topic,text\nmoney,tea\n", "--label-column: holds 1 labels, at least 2 are needed"),
    ],
)
def test_a_bad_row_is_named(
    write_recipe: WriteRecipe, data: Path, capsys: Output, content: str, reason: str
) -> None:
    (data / "topics.csv").write_text(content)
    assert main(command(write_recipe(), data)) == 1
    assert reason in capsys.readouterr().err


def test_a_bad_word_is_named(write_recipe: WriteRecipe, data: Path, capsys: Output) -> None:
    (data / "topics.conll").write_text("the O\nferry travel\n")
    assert main(command(write_recipe("tag"), data)) == 1
    assert "topics.conll: line 2 has the tag 'travel'" in capsys.readouterr().err


def test_a_text_of_a_file_that_is_tested_with_is_not_fitted_on(
    write_recipe: WriteRecipe, data: Path, tmp_path: Path
) -> None:
    header, *rows = (data / "topics.csv").read_text().splitlines()
    (data / "held.csv").write_text("\n".join([header, *rows[::4]]) + "\n")
    assert main(command(write_recipe(), data, "--set", "data.test=held.csv")) == 0
    card = bundle(tmp_path, "tiny-classify").file("model-card.md").read_text()
    # of 450 a tenth is to choose by, a quarter is the test's, and some are both
    fitted, _, tested = card.split("training, validation, test | ")[1].split(" |")[0].split(", ")
    assert tested == "113"
    assert 450 - 113 - 45 <= int(fitted) <= 450 - 113
