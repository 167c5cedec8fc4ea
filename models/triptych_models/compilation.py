"""From a source to a bundle in the repository, verified before anybody can see it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from triptych_bundles import (
    Bundle,
    BundleError,
    BundleNotFound,
    Repository,
    read_model,
    verify_files,
)
from triptych_models.errors import BundleExists
from triptych_models.golden import MIN_COSINE, GoldenFiles, computed, reference_texts
from triptych_models.graph import OUTPUTS, padded_graph
from triptych_models.manifest import write_manifest
from triptych_models.plan import Plan
from triptych_models.progress import Say
from triptych_models.reference import ReferenceEncoder, pooled_vectors
from triptych_models.sources.folder import CARD, WEIGHTS
from triptych_models.staging import install, staging
from triptych_models.tokenization import check_tokenizer, encode, load_tokenizer, plain_tokenizer
from triptych_models.verification import verify_bundle
from triptych_models.weights import Tensors, bert_weights, read_tensors

GRAPH = "model.onnx"
TEXTS = "golden-texts.json"
VECTORS = "golden-vectors.safetensors"
TOKENIZER = "tokenizer.json"
# the card keeps its authors' terms and limits with the weights
_COPIED = {"config.json": "config.json", CARD: "model-card.md", "LICENSE": "LICENSE"}


def compile_bundle(plan: Plan, repository: Path, replace: bool, say: Say) -> Bundle:
    """Compile a plan, unless the repository already holds its outcome.

    Raises BundleExists where the version holds other, intact content and `replace` is false, and
    ModelError or BundleError where the model is unsupported or the outcome fails verification.
    """
    existing = _existing(plan, repository, say)
    if existing is not None and existing.recipe == plan.recipe():
        say(f"{plan.name}@{plan.version} is up to date: {existing.digest[:12]}")
        return existing
    if existing is not None and not replace:
        reason = "holds other content: choose another version, or replace it with --replace"
        raise BundleExists(f"{plan.name}@{plan.version} {reason}")
    return _build(plan, repository, say)


def _existing(plan: Plan, repository: Path, say: Say) -> Bundle | None:
    """The intact bundle in the plan's place; a broken one counts as none."""
    try:
        bundle = Repository(repository).find_model(plan.name, plan.version)
        verify_files(bundle)
    except BundleNotFound:
        return None
    except BundleError as error:
        say(f"compiling again, since {error}")
        return None
    return bundle


def _build(plan: Plan, repository: Path, say: Say) -> Bundle:
    with staging(repository) as staged:
        folder = staged / plan.name / plan.version
        folder.mkdir(parents=True)
        say(f"compiling {plan.name}@{plan.version} from {plan.source.origin}")
        _write(plan, folder, say)
        say("verifying against the golden vectors")
        verify_bundle(read_model(folder), say)
        target = repository / plan.name / plan.version
        install(folder, target)
    return read_model(target)


def _write(plan: Plan, folder: Path, say: Say) -> None:
    for name, copied in _COPIED.items():
        if name in plan.source_files:
            shutil.copyfile(plan.source.path / name, folder / copied)
    (folder / TOKENIZER).write_bytes(plain_tokenizer(plan.source.path / TOKENIZER))
    tensors = read_tensors(plan.source.path / WEIGHTS)
    graph = padded_graph(bert_weights(tensors, plan.config), plan.config)
    (folder / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))
    golden = _golden(plan, folder, tensors, say)
    (folder / TEXTS).write_bytes(golden.texts)
    (folder / VECTORS).write_bytes(golden.vectors)
    write_manifest(folder, _facts(plan, golden.source))


def _golden(plan: Plan, folder: Path, tensors: Tensors, say: Say) -> GoldenFiles:
    tokenizer = load_tokenizer(folder / TOKENIZER, plan.settings.max_length)
    check_tokenizer(tokenizer, plan.config, plan.settings)
    if plan.golden is not None:
        return plan.golden
    texts = reference_texts()
    say(f"computing golden vectors of {len(texts)} texts in float64")
    sequences = encode(tokenizer, texts)
    pooled = pooled_vectors(ReferenceEncoder(tensors, plan.config), sequences)
    return computed(texts, sequences, pooled)


def _facts(plan: Plan, golden_source: str) -> Mapping[str, object]:
    settings, source = plan.settings, plan.source
    return {
        "name": plan.name,
        "version": plan.version,
        "task": "embed",
        "architecture": "bert",
        "created": source.created,
        "pooling": settings.pooling,
        "normalize": settings.normalize,
        "max_length": settings.max_length,
        "hidden_size": plan.config.hidden_size,
        "vocab_size": plan.config.vocab_size,
        "prompts": dict(settings.prompts),
        "outputs": list(OUTPUTS),
        "graphs": {"cpu-fp32": GRAPH},
        "base": {
            "origin": source.origin,
            "licence": source.licence,
            "weights_sha256": plan.weights_sha256,
        },
        "golden": {
            "vectors": VECTORS,
            "texts": TEXTS,
            "source": golden_source,
            "min_cosine": MIN_COSINE,
        },
        "recipe": plan.recipe(),
    }
