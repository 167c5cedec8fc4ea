"""What the logits of an imported graph mean, from its config.json."""

from collections.abc import Mapping
from pathlib import Path

from triptych_bundles import PROBLEM_TYPES
from triptych_models.documents import read_optional
from triptych_models.errors import UnsupportedModel

# functions of a CrossEncoder with one label
_ACTIVATIONS = {"Identity": "regression", "Sigmoid": "single_label_classification"}


def read_labels(config: Mapping[str, object], width: int) -> tuple[str, ...]:
    """`id2label`, which must name as many classes as there are logits.

    Without it LABEL_0 and so on, as in transformers, PreTrainedConfig.
    """
    named = config.get("id2label")
    if not isinstance(named, dict):
        return tuple(f"LABEL_{index}" for index in range(width))
    labels = [named.get(str(index)) for index in range(len(named))]
    texts = tuple(label for label in labels if isinstance(label, str) and label)
    if len(texts) != len(labels) or len(set(texts)) != len(texts):
        raise UnsupportedModel("id2label in config.json must name every class from 0 on, each once")
    if len(texts) != width:
        reason = f"id2label in config.json has {len(texts)} classes"
        raise UnsupportedModel(f"{reason}, the graph gives {width} logits")
    return texts


def read_problem_type(folder: Path, config: Mapping[str, object], labels: int) -> str:
    """What `problem_type` says, else one class an input, as TextClassificationPipeline decides.

    A CrossEncoder's own function for its one label stands above that.
    """
    function = _cross_encoder_function(folder, config) if labels == 1 else ""
    if function:
        known = _ACTIVATIONS.get(function.rpartition(".")[2])
        if known is None:
            listed = ", ".join(_ACTIVATIONS)
            reason = f"activation_fn {function[:128]!r} is not supported"
            raise UnsupportedModel(f"{reason}, only: {listed}")
        return known
    stated = config.get("problem_type") or "single_label_classification"
    if stated not in PROBLEM_TYPES:
        listed = ", ".join(PROBLEM_TYPES)
        raise UnsupportedModel(f"problem_type {stated!r} is not supported, only: {listed}")
    return str(stated)


def _cross_encoder_function(folder: Path, config: Mapping[str, object]) -> str:
    """In one of the places that releases of sentence-transformers have written it to."""
    own = config.get("sentence_transformers")
    for stated in (
        read_optional(folder / "config_sentence_transformers.json").get("activation_fn"),
        own.get("activation_fn") if isinstance(own, dict) else None,
        config.get("sbert_ce_default_activation_function"),
    ):
        if isinstance(stated, str) and stated:
            return stated
    return ""
