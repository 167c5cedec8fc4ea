"""From a source to a bundle in the repository, verified before anybody can see it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from triptych_bundles import INT8_GRAPHS, Bundle, pooled_output
from triptych_models.config import EncoderConfig
from triptych_models.facts import (
    CPU_GRAPH,
    GRAPHS,
    PACKED_GRAPH,
    PADDED_GPU_GRAPH,
    SEQUENCE_TASKS,
    TEXTS,
    VECTORS,
    bundle_facts,
)
from triptych_models.golden import GoldenFiles, computed, reference_texts
from triptych_models.graph import packed_graph, padded_gpu_graph, padded_graph
from triptych_models.head import write_head, write_head_golden
from triptych_models.manifest import write_manifest
from triptych_models.plan import Plan
from triptych_models.progress import Say
from triptych_models.quantization import calibration_texts, int8_graphs, measure_int8
from triptych_models.reference import ReferenceEncoder, reference_outputs
from triptych_models.sources.folder import CARD, WEIGHTS
from triptych_models.tokenization import (
    check_tokenizer,
    encode,
    load_tokenizer,
    plain_tokenizer,
    special_tokens,
)
from triptych_models.versions import put_version
from triptych_models.weights import (
    EncoderWeights,
    Linear,
    Tensors,
    classifier_weights,
    encoder_weights,
    read_tensors,
    token_classifier_weights,
)

TOKENIZER = "tokenizer.json"
_Build = Callable[[EncoderWeights, EncoderConfig, Linear | None], onnx.ModelProto]
_BUILDERS: Mapping[str, _Build] = {
    CPU_GRAPH: padded_graph,
    PACKED_GRAPH: packed_graph,
    PADDED_GPU_GRAPH: padded_gpu_graph,
}
# the card keeps its authors' terms and limits with the weights
_COPIED = {"config.json": "config.json", CARD: "model-card.md", "LICENSE": "LICENSE"}


def compile_bundle(plan: Plan, repository: Path, replace: bool, say: Say) -> Bundle:
    """Compile a plan, unless the repository already holds its outcome.

    Raises BundleExists where the version holds other, intact content and `replace` is false, and
    ModelError or BundleError where the model is unsupported or the outcome fails verification.
    """
    return put_version(plan, lambda folder: _write(plan, folder, say), repository, replace, say)


def _write(plan: Plan, folder: Path, say: Say) -> None:
    say(f"compiling {plan.name}@{plan.version} from {plan.source.origin}")
    for name, copied in _COPIED.items():
        if name in plan.source_files:
            shutil.copyfile(plan.source.path / name, folder / copied)
    (folder / TOKENIZER).write_bytes(plain_tokenizer(plan.source.path / TOKENIZER))
    tensors = read_tensors(plan.source.path / WEIGHTS, plan.config)
    _write_graphs(plan, folder, tensors)
    golden = _golden(plan, folder, tensors, say)
    (folder / TEXTS).write_bytes(golden.texts)
    (folder / VECTORS).write_bytes(golden.vectors)
    measured: Mapping[str, object] = {}
    if plan.int8_min_cosine is not None:
        measured = _quantize(plan, folder, tensors, golden, say)
    write_manifest(folder, {**bundle_facts(plan, golden.source), **measured})


def _write_graphs(plan: Plan, folder: Path, tensors: Tensors) -> None:
    weights, classifier = encoder_weights(tensors, plan.config), _token_classifier(plan, tensors)
    for variant, file in GRAPHS[plan.target].items():
        graph = _BUILDERS[variant](weights, plan.config, classifier)
        (folder / file).write_bytes(graph.SerializeToString(deterministic=True))


def _token_classifier(plan: Plan, tensors: Tensors) -> Linear | None:
    if plan.task != "tag":
        return None
    return token_classifier_weights(tensors, plan.config, len(plan.labels))


def _quantize(
    plan: Plan, folder: Path, tensors: Tensors, golden: GoldenFiles, say: Say
) -> Mapping[str, object]:
    """Write the graphs in int8; what bundle.yaml says of them and of their precision."""
    tokenizer = load_tokenizer(folder / TOKENIZER, plan.settings.max_length)
    sequences = encode(tokenizer, calibration_texts(special_tokens(tokenizer)))
    say(f"quantizing to int8, calibrated on {len(sequences)} texts")
    classifier = _token_classifier(plan, tensors)
    weights = encoder_weights(tensors, plan.config)
    graphs = dict(GRAPHS[plan.target])
    made = int8_graphs(weights, plan.config, classifier, sequences, plan.samples, say)
    for variant, model in made.items():
        graphs[variant] = f"model-{variant}.onnx"
        (folder / graphs[variant]).write_bytes(model.SerializeToString(deterministic=True))
    paths = [folder / graphs[variant] for variant in INT8_GRAPHS]
    record = measure_int8(plan, paths, golden, say)
    return {"graphs": graphs, "precisions": {"int8": record}}


def _golden(plan: Plan, folder: Path, tensors: Tensors, say: Say) -> GoldenFiles:
    """The golden files, written with a head's where there is one."""
    tokenizer = load_tokenizer(folder / TOKENIZER, plan.settings.max_length)
    check_tokenizer(tokenizer, plan.config, plan.settings)
    if plan.golden is not None:
        return plan.golden
    texts = reference_texts()
    say(f"computing golden vectors of {len(texts)} texts in float64")
    sequences = encode(tokenizer, texts)
    encoder = ReferenceEncoder(tensors, plan.config)
    outputs = reference_outputs(encoder, sequences, tokens=plan.task == "tag")
    if plan.task in SEQUENCE_TASKS:
        weights = classifier_weights(tensors, plan.config, len(plan.labels))
        write_head(folder, plan.config.classifier, weights)
        write_head_golden(folder, encoder, outputs[pooled_output(plan.config.classifier_input)])
    return computed(texts, sequences, outputs)
