"""What a model is for and what its logits mean, from the files that it comes with."""

import json
from pathlib import Path
from typing import Any

import pytest

from triptych_models.classes import Classes, Task, read_classes
from triptych_models.errors import UnsupportedModel

SEQUENCE, TOKENS = "BertForSequenceClassification", "BertForTokenClassification"
NAMES = {"0": "no", "1": "yes"}
ONE = {"architectures": [SEQUENCE], "id2label": {"0": "LABEL_0"}}


def classes(
    folder: Path,
    config: dict[str, Any],
    task: Task | None = None,
    sentence: dict[str, str] | None = None,
) -> Classes | None:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(sentence or {}))
    return read_classes(folder, task)


@pytest.mark.parametrize(
    "architectures", [None, [], ["BertModel"], ["RobertaForMaskedLM"], ["ElectraForPreTraining"]]
)
def test_encoders_only_embed(tmp_path: Path, architectures: object) -> None:
    assert classes(tmp_path, {"architectures": architectures, "id2label": NAMES}) is None


@pytest.mark.parametrize(("architecture", "task"), [(SEQUENCE, "classify"), (TOKENS, "tag")])
def test_labels_are_in_the_order_of_their_ids(
    tmp_path: Path, architecture: str, task: Task
) -> None:
    names = {str(index): f"class {index}" for index in (10, 2, 0, 1, *range(3, 10))}
    found = classes(tmp_path, {"architectures": [architecture], "id2label": names})
    labels = tuple(f"class {index}" for index in range(11))
    assert found == Classes(task, labels, "single_label_classification")


@pytest.mark.parametrize(("config", "count"), [({}, 2), ({"num_labels": 3}, 3)])
def test_labels_without_names(tmp_path: Path, config: dict[str, Any], count: int) -> None:
    found = classes(tmp_path, {"architectures": [SEQUENCE]} | config)
    assert found is not None
    assert found.labels == tuple(f"LABEL_{index}" for index in range(count))


@pytest.mark.parametrize(
    ("config", "task", "kind"),
    [
        ({}, "rank", "single_label_classification"),
        ({"problem_type": "single_label_classification"}, "rank", "single_label_classification"),
        ({"problem_type": "regression"}, "rank", "regression"),
        ({"problem_type": "multi_label_classification"}, "classify", "multi_label_classification"),
    ],
)
def test_one_label_ranks_unless_it_is_one_of_several(
    tmp_path: Path, config: dict[str, Any], task: str, kind: str
) -> None:
    found = classes(tmp_path, ONE | config)
    assert found is not None
    assert (found.task, found.problem_type) == (task, kind)


@pytest.mark.parametrize("place", ["own file", "config", "older config"])
@pytest.mark.parametrize(
    ("function", "kind"), [("Identity", "regression"), ("Sigmoid", "single_label_classification")]
)
def test_a_cross_encoders_own_function_stands_above_the_problem_type(
    tmp_path: Path, place: str, function: str, kind: str
) -> None:
    stated = f"torch.nn.modules.activation.{function}"
    places: dict[str, dict[str, Any]] = {
        "own file": {},
        "config": {"sentence_transformers": {"activation_fn": stated}},
        "older config": {"sbert_ce_default_activation_function": stated},
    }
    sentence = {"activation_fn": stated} if place == "own file" else {}
    config = ONE | {"problem_type": "regression"} | places[place]
    found = classes(tmp_path, config, sentence=sentence)
    assert found is not None
    assert (found.task, found.problem_type) == ("rank", kind)


def test_a_chosen_task_decides(tmp_path: Path) -> None:
    several = {"architectures": ["BertForQuestionAnswering"], "id2label": NAMES}
    assert classes(tmp_path, several, "embed") is None
    tags = classes(tmp_path, several, "tag")
    assert tags == Classes("tag", ("no", "yes"), "single_label_classification")
    one = classes(tmp_path, ONE, "classify")
    assert one is not None
    assert one.task == "classify"


@pytest.mark.parametrize(
    ("config", "task", "reason"),
    [
        (
            {"architectures": ["BertForQuestionAnswering"]},
            None,
            "'BertForQuestionAnswering' is not",
        ),
        ({"architectures": ["BertForQuestionAnswering"]}, None, "--task says what to compile it"),
        ({"id2label": {"0": "a", "2": "b"}}, None, "must name every class from 0 on"),
        ({"id2label": {}}, None, "must name every class from 0 on"),
        ({"num_labels": 0}, None, "must name every class from 0 on"),
        ({"id2label": {"0": "a", "1": "a"}}, None, "gives two classes the same name"),
        ({"problem_type": "ranking"}, None, "problem_type 'ranking' is not supported"),
        ({"id2label": NAMES}, "rank", "task rank needs a model with one label, this has 2"),
        (
            ONE | {"sbert_ce_default_activation_function": "torch.nn.Softplus"},
            None,
            "activation_fn 'torch.nn.Softplus' is not supported, only: Identity, Sigmoid",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, config: dict[str, Any], task: Task | None, reason: str
) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        classes(tmp_path, {"architectures": [SEQUENCE]} | config, task)
