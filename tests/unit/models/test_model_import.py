"""Bundles from ready ONNX files: outputs found, pooling added, numbers pinned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.unit.models.foreign_graphs import HIDDEN, LABELS, Foreign, write
from triptych_bundles import Bundle, Repository, read_golden
from triptych_models.__main__ import main
from triptych_models.runtime import PaddedGraph

WriteModel = Callable[..., Path]
Output = pytest.CaptureFixture[str]


def bring_in(source: Path, *more: str, root: Path | None = None) -> Bundle:
    root = root or source.parent / "repository"
    assert main(["import", str(source), "--repository", str(root), *more]) == 0
    return Repository(root).find_model("foreign-model")


def rows(bundle: Bundle, texts: list[list[int]], outputs: list[str]) -> dict[str, Any]:
    graph = PaddedGraph(bundle.file("model.onnx"))
    return dict(graph.run_all([np.array(ids, np.int32) for ids in texts], outputs, len(texts)))


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 28])
def test_states_are_pooled_as_in_numpy(write_model: WriteModel, opset: int) -> None:
    folder, foreign = write(write_model, opset=opset, ir_version=3 if opset < 14 else 8)
    bundle, texts = bring_in(folder), [[2, 4, 5, 6, 3], [2, 3], [7]]
    states = [foreign.states(ids) for ids in texts]
    names = ["pooled.cls", "pooled.mean", "pooled.last_token", "last_hidden_state"]
    assert list(bundle.outputs) == names
    found = rows(bundle, texts, names)
    for name, expected in (
        ("pooled.cls", [rows_[0] for rows_ in states]),
        ("pooled.mean", [rows_.mean(axis=0) for rows_ in states]),
        ("pooled.last_token", [rows_[-1] for rows_ in states]),
        ("last_hidden_state", np.concatenate(states)),
    ):
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_the_manifest_says_what_was_imported(write_model: WriteModel) -> None:
    folder, _ = write(write_model, config={"max_position_embeddings": 32})
    prompts = {"query": "query: "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    bundle = bring_in(folder, "--origin", "org/Foreign Model", "--pooling", "cls")
    assert (bundle.task, bundle.architecture, bundle.pooling) == ("embed", "modernbert", "cls")
    assert (bundle.hidden_size, bundle.max_length, bundle.prompts) == (HIDDEN, 32, prompts)
    assert (bundle.base.origin, bundle.base.licence) == ("org/Foreign Model", "mit")
    assert "consistency, not parity" in bundle.golden.source
    assert bundle.head is None
    golden = read_golden(bundle)
    assert set(golden.outputs) == {"pooled.cls", "pooled.mean", "pooled.last_token"}
    assert golden.lengths.max() <= 32


@pytest.mark.parametrize(
    ("outputs", "config"),
    [
        ({"logits": "classes"}, {}),
        ({"scores": "classes"}, {"architectures": ["DebertaV2ForSequenceClassification"]}),
    ],
)
def test_logits_become_a_head(
    write_model: WriteModel, outputs: dict[str, str], config: dict[str, object]
) -> None:
    config |= {"problem_type": "multi_label_classification"}
    folder, foreign = write(write_model, outputs=outputs, config=config)
    bundle = bring_in(folder)
    assert (bundle.task, list(bundle.outputs)) == ("classify", ["logits"])
    assert bundle.head is not None
    assert (bundle.head.input, bundle.head.layers) == ("logits", ())
    assert bundle.head.labels == ("person", "place", "thing")
    assert bundle.head.problem_type == "multi_label_classification"
    found = rows(bundle, [[2, 4, 3], [2, 5, 6, 7, 3]], ["logits"])["logits"]
    means = foreign.table()[[2, 4, 3]].mean(axis=0), foreign.table()[[2, 5, 6, 7, 3]].mean(axis=0)
    np.testing.assert_allclose(found, np.stack(means) @ foreign.kernel(), atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "config"),
    [
        ({"logits": "tags"}, {}),
        ({"predictions": "tags"}, {"architectures": ["ModernBertForTokenClassification"]}),
    ],
)
def test_logits_of_tokens_get_labels(
    write_model: WriteModel, outputs: dict[str, str], config: dict[str, object]
) -> None:
    folder, foreign = write(write_model, outputs=outputs, config=config)
    bundle, texts = bring_in(folder), [[2, 4, 3], [2, 5, 6, 7, 3]]
    assert (bundle.task, list(bundle.outputs)) == ("tag", ["token_logits"])
    assert bundle.token_labels == ("person", "place", "thing")
    found = rows(bundle, texts, ["token_logits"])["token_logits"]
    states = np.concatenate([foreign.states(ids) for ids in texts])
    np.testing.assert_allclose(found, states @ foreign.kernel(), atol=1e-4)


def test_states_and_logits_are_both_served(write_model: WriteModel) -> None:
    outputs = {"token_embeddings": "states", "logits": "classes"}
    bundle = bring_in(write(write_model, outputs=outputs)[0])
    pooled = ["pooled.cls", "pooled.mean", "pooled.last_token"]
    assert list(bundle.outputs) == [*pooled, "last_hidden_state", "logits"]
    assert bundle.head is not None
    assert bundle.task == "classify"


def test_one_label_ranks_as_its_cross_encoder_says(write_model: WriteModel) -> None:
    folder, _ = write(
        write_model,
        outputs={"logits": "classes"},
        config={"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
    )
    model = onnx.load(str(folder / "model.onnx"))
    one = np.ones((HIDDEN, 1), np.float32)
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "kernel")
    kernel.CopyFrom(onnx.numpy_helper.from_array(one, "kernel"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, str(folder / "model.onnx"))
    config = json.loads((folder / "config.json").read_text()) | {"id2label": {"0": "LABEL_0"}}
    (folder / "config.json").write_text(json.dumps(config))
    bundle = bring_in(folder)
    assert bundle.task == "rank"
    assert bundle.head is not None
    assert bundle.head.problem_type == "regression"


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT32, onnx.TensorProto.INT64])
def test_all_three_inputs_of_either_width(write_model: WriteModel, kind: int) -> None:
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    bundle = bring_in(write(write_model, inputs=inputs, input_type=kind)[0])
    assert bundle.task == "embed"


def test_weights_beside_the_graph_are_taken_in(write_model: WriteModel) -> None:
    folder, foreign = write(write_model)
    onnx.save(
        foreign.model(),
        str(folder / "model.onnx"),
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=0,
    )
    bundle = bring_in(folder)
    assert "model.onnx_data" not in bundle.files
    found = rows(bundle, [[2, 4, 3]], ["pooled.cls"])["pooled.cls"]
    np.testing.assert_allclose(found, foreign.states([2, 4, 3])[:1], atol=1e-5)


def test_a_graph_in_its_own_folder_and_files_named_one_by_one(
    write_model: WriteModel, tmp_path: Path
) -> None:
    folder, _ = write(write_model, where="onnx/model.onnx")
    by_folder = bring_in(folder)
    by_file = bring_in(folder / "onnx" / "model.onnx", root=tmp_path / "other")
    assert by_file.digest == by_folder.digest
    config, tokens = tmp_path / "c.json", tmp_path / "t.json"
    (folder / "config.json").rename(config)
    (folder / "tokenizer.json").rename(tokens)
    named = ["--config", str(config), "--tokenizer", str(tokens), "--version", "2"]
    root = folder.parent / "repository"
    graph = str(folder / "onnx" / "model.onnx")
    assert main(["import", graph, "--repository", str(root), "--name", "x", *named]) == 0
    assert Repository(root).find_model("x", "2").hidden_size == HIDDEN


def test_a_second_import_changes_nothing(write_model: WriteModel, capsys: Output) -> None:
    folder, foreign = write(write_model)
    first, again = bring_in(folder), bring_in(folder)
    assert first.digest == again.digest
    assert "is up to date" in capsys.readouterr().err
    onnx.save(Foreign(foreign.vocab_size, opset=18).model(), str(folder / "model.onnx"))
    root = str(folder.parent / "repository")
    assert main(["import", str(folder), "--repository", root]) == 1
    assert "replace it with --replace" in capsys.readouterr().err
    assert bring_in(folder, "--replace").digest != first.digest


def test_labels_default_as_in_transformers(write_model: WriteModel) -> None:
    folder, _ = write(
        write_model, outputs={"logits": "classes"}, config={"id2label": None, "num_labels": 3}
    )
    bundle = bring_in(folder)
    assert bundle.head is not None
    assert bundle.head.labels == tuple(f"LABEL_{index}" for index in range(LABELS))


def test_positions_behind_the_padding_are_not_counted(write_model: WriteModel) -> None:
    config = {"model_type": "xlm-roberta", "max_position_embeddings": 34, "pad_token_id": 1}
    assert bring_in(write(write_model, config=config)[0]).max_length == 32
