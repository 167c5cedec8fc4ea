"""What the bundle.yaml of an import says."""

from collections.abc import Mapping

from triptych_bundles import (
    HIDDEN_OUTPUT,
    LOGITS_OUTPUT,
    POOLINGS,
    TOKEN_LOGITS_OUTPUT,
    pooled_output,
)
from triptych_models.classes import read_labels, read_problem_type
from triptych_models.errors import UnsupportedModel
from triptych_models.facts import GRAPH, TEXTS, VECTORS
from triptych_models.golden import MIN_COSINE
from triptych_models.importing.outputs import GraphOutputs
from triptych_models.importing.plan import ImportPlan

# what the same graph may give on another machine: kernels for other processors add up in another
# order, and a foreign graph's logits may be large
MAX_LOGIT_ERROR = 1e-3


def served_outputs(outputs: GraphOutputs) -> list[str]:
    """Names of the outputs that the bundle's graph has, pooled ones first."""
    pooled = list(map(pooled_output, POOLINGS)) if HIDDEN_OUTPUT in outputs.sources else []
    return [*pooled, *outputs.sources]


def bundle_facts(plan: ImportPlan, outputs: GraphOutputs, golden: str) -> Mapping[str, object]:
    """All but the files; `golden` says what the golden numbers are."""
    settings, source = plan.settings, plan.source
    means = _meanings(plan, outputs)
    return {
        "name": plan.name,
        "version": plan.version,
        "task": _task(means),
        "architecture": str(plan.config.get("model_type") or "unknown"),
        "created": 0,
        "pooling": settings.pooling,
        "normalize": settings.normalize,
        "max_length": settings.max_length,
        "hidden_size": _hidden_size(plan, outputs),
        "vocab_size": plan.vocab_size,
        "prompts": dict(settings.prompts),
        "outputs": served_outputs(outputs),
        "graphs": {"cpu-fp32": GRAPH},
        "base": {
            "origin": source.origin,
            "licence": source.licence,
            "weights_sha256": plan.weights_sha256,
        },
        "golden": {
            "vectors": VECTORS,
            "texts": TEXTS,
            "source": golden,
            "min_cosine": MIN_COSINE,
            "max_logit_error": MAX_LOGIT_ERROR,
        },
        "recipe": plan.recipe(),
        **means,
    }


def _meanings(plan: ImportPlan, outputs: GraphOutputs) -> dict[str, object]:
    """The head's section, the labels of tokens, or neither."""
    found: dict[str, object] = {}
    if LOGITS_OUTPUT in outputs.sources:
        labels = _labels(plan, outputs.widths[LOGITS_OUTPUT])
        found["head"] = {
            "input": LOGITS_OUTPUT,
            "normalized": False,
            "layers": [],
            "labels": list(labels),
            "problem_type": read_problem_type(plan.source.folder, plan.config, labels),
        }
    if TOKEN_LOGITS_OUTPUT in outputs.sources:
        found["token_labels"] = list(_labels(plan, outputs.widths[TOKEN_LOGITS_OUTPUT]))
    return found


def _labels(plan: ImportPlan, width: int) -> tuple[str, ...]:
    """As many as there are logits."""
    labels = read_labels(plan.config)
    if len(labels) != width:
        reason = f"config.json names {len(labels)} classes, the graph gives {width} logits"
        raise UnsupportedModel(reason)
    return labels


def _task(means: Mapping[str, object]) -> str:
    head = means.get("head")
    if isinstance(head, dict):
        one = len(head["labels"]) == 1 and head["problem_type"] != "multi_label_classification"
        return "rank" if one else "classify"
    return "tag" if "token_labels" in means else "embed"


def _hidden_size(plan: ImportPlan, outputs: GraphOutputs) -> int:
    """The width of the states; a graph without them has none to tell, only its config may."""
    stated = plan.config.get("hidden_size")
    fallback = stated if isinstance(stated, int) and stated > 0 else 1
    return outputs.widths.get(HIDDEN_OUTPUT, fallback)
