"""What a model was trained to tell apart, from its config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard

from triptych_bundles import PROBLEM_TYPES, ProblemType
from triptych_models.documents import read_object, read_optional
from triptych_models.errors import UnsupportedModel

Task = Literal["embed", "classify", "tag", "rank"]
TASKS: tuple[Task, ...] = ("embed", "classify", "tag", "rank")
_MOST_LABELS = 1 << 16
# by how the class in `architectures` ends: encoders without a head, or with one that nobody asks
_BY_ARCHITECTURE: Mapping[str, Task] = {
    "ForSequenceClassification": "classify",
    "ForTokenClassification": "tag",
    "ForMaskedLM": "embed",
    "ForPreTraining": "embed",
    "Model": "embed",
}
# functions of a CrossEncoder with one label
_ACTIVATIONS: Mapping[str, ProblemType] = {
    "Identity": "regression",
    "Sigmoid": "single_label_classification",
}


@dataclass(frozen=True, slots=True)
class Classes:
    """The labels in the order of the logits."""

    task: Task
    """`classify` and `rank` are for whole inputs, `tag` is for tokens."""
    labels: tuple[str, ...]
    problem_type: ProblemType


def read_classes(folder: Path, task: Task | None) -> Classes | None:
    """The classes of a model's folder; None for `embed`, which needs none.

    A model for sequences with one label ranks, unless it says that several labels may hold at once.
    `task` decides where it is given. UnsupportedModel where the model has no such head.
    """
    values = read_object(folder / "config.json")
    chosen = task or _task(values)
    if chosen == "embed":
        return None
    labels = read_labels(values)
    kind = read_problem_type(folder, values, labels)
    if chosen == "rank" and len(labels) != 1:
        raise UnsupportedModel(f"task rank needs a model with one label, this has {len(labels)}")
    if task is None and chosen == "classify" and len(labels) == 1:
        chosen = "classify" if kind == "multi_label_classification" else "rank"
    return Classes(chosen, labels, kind)


def _task(values: Mapping[str, object]) -> Task:
    classes = values.get("architectures")
    if not isinstance(classes, list) or not classes:
        return "embed"
    for ending, task in _BY_ARCHITECTURE.items():
        if str(classes[0]).endswith(ending):
            return task
    listed = ", ".join(f"*{ending}" for ending in _BY_ARCHITECTURE)
    reason = f"architectures {classes[0]!r} is not supported, only: {listed}"
    raise UnsupportedModel(f"{reason}; --task says what to compile it for")


def read_labels(values: Mapping[str, object]) -> tuple[str, ...]:
    """`id2label`; without it LABEL_0 and so on, two unless `num_labels` says otherwise.

    Both as in transformers, PreTrainedConfig.
    """
    named = values.get("id2label")
    if not isinstance(named, dict):
        count = values.get("num_labels", 2)
        named = {str(at): f"LABEL_{at}" for at in range(count if _is_count(count) else 0)}
    labels = tuple(str(named.get(str(index))) for index in range(len(named)))
    if not labels or set(named) != {str(index) for index in range(len(named))}:
        raise UnsupportedModel("id2label in config.json must name every class from 0 on")
    if len(set(labels)) != len(labels):
        raise UnsupportedModel("id2label in config.json gives two classes the same name")
    return labels


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 1 <= value <= _MOST_LABELS


def read_problem_type(
    folder: Path, values: Mapping[str, object], labels: tuple[str, ...]
) -> ProblemType:
    """Which function makes scores of logits: none for regression, else sigmoid or softmax.

    As TextClassificationPipeline.postprocess of transformers 5.23: what `problem_type` says; where
    it says nothing, the sigmoid for one label (which readers of a bundle know by there being one)
    and the softmax for several. A CrossEncoder's own function for its one label stands above that
    (sentence-transformers 6.2, CrossEncoder.get_default_activation_fn).
    """
    function = _cross_encoder_function(folder, values) if len(labels) == 1 else ""
    if function:
        return _known_function(function)
    stated = values.get("problem_type")
    if stated is None:
        return "single_label_classification"
    for known in PROBLEM_TYPES:
        if stated == known:
            return known
    listed = ", ".join(PROBLEM_TYPES)
    raise UnsupportedModel(f"problem_type {stated!r} is not supported, only: {listed}")


def _known_function(function: str) -> ProblemType:
    kind = _ACTIVATIONS.get(function.rpartition(".")[2])
    if kind is None:
        listed = ", ".join(_ACTIVATIONS)
        raise UnsupportedModel(f"activation_fn {function!r} is not supported, only: {listed}")
    return kind


def _cross_encoder_function(folder: Path, values: Mapping[str, object]) -> str:
    """In one of the three places that its releases have written it to; empty where it is not."""
    own = values.get("sentence_transformers")
    sentence = read_optional(folder / "config_sentence_transformers.json")
    for stated in (
        sentence.get("activation_fn"),
        own.get("activation_fn") if isinstance(own, dict) else None,
        values.get("sbert_ce_default_activation_function"),
    ):
        if isinstance(stated, str) and stated:
            return stated
    return ""
