"""What a bundle.yaml says of a compiled plan."""

from collections.abc import Mapping

from triptych_bundles import TOKEN_LOGITS_OUTPUT
from triptych_models.golden import MAX_LOGIT_ERROR, MIN_COSINE
from triptych_models.graph import OUTPUTS
from triptych_models.head import head_facts
from triptych_models.plan import Plan, Target

CPU_GRAPH, PACKED_GRAPH, PADDED_GPU_GRAPH = "cpu-fp32", "gpu-fp16-packed", "gpu-fp16-padded"
"""Variants of the graph. The last serves nobody: the one before it is measured against it."""
GRAPH = "model.onnx"
GRAPHS: Mapping[Target, Mapping[str, str]] = {
    "cpu": {CPU_GRAPH: GRAPH},
    "gpu": {
        CPU_GRAPH: GRAPH,
        PACKED_GRAPH: "model.gpu-fp16-packed.onnx",
        PADDED_GPU_GRAPH: "model.gpu-fp16-padded.onnx",
    },
}
"""File by variant."""
TEXTS = "golden-texts.json"
VECTORS = "golden-vectors.safetensors"
# whole inputs are classified by a head in the bundle, tokens by an output of the graph
SEQUENCE_TASKS = ("classify", "rank")


def bundle_facts(plan: Plan, golden_source: str) -> Mapping[str, object]:
    """All but the files; what belongs to a head is there only where there is one."""
    settings, config = plan.settings, plan.config
    return {
        "name": plan.name,
        "version": plan.version,
        "task": plan.task,
        "architecture": config.model_type,
        "created": plan.source.created,
        "pooling": settings.pooling,
        "normalize": settings.normalize,
        "max_length": settings.max_length,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "prompts": dict(settings.prompts),
        "outputs": [*OUTPUTS, *([TOKEN_LOGITS_OUTPUT] if plan.task == "tag" else [])],
        "graphs": dict(GRAPHS[plan.target]),
        "base": _base(plan),
        "golden": _golden(plan, golden_source),
        "recipe": plan.recipe(),
        **_classes(plan),
    }


def _base(plan: Plan) -> Mapping[str, object]:
    source = plan.source
    return {
        "origin": source.origin,
        "licence": source.licence,
        "weights_sha256": plan.weights_sha256,
    }


def _golden(plan: Plan, source: str) -> Mapping[str, object]:
    facts = {"vectors": VECTORS, "texts": TEXTS, "source": source, "min_cosine": MIN_COSINE}
    return facts | ({"max_logit_error": MAX_LOGIT_ERROR} if plan.classes else {})


def _classes(plan: Plan) -> Mapping[str, object]:
    if plan.classes is None:
        return {}
    if plan.task in SEQUENCE_TASKS:
        return {"head": head_facts(plan.classes, plan.config)}
    return {"token_labels": list(plan.classes.labels)}
