"""From an import's plan to a bundle in the repository, checked before anybody can see it."""

import shutil
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
from triptych_models.importing.facts import GRAPH, TEXTS, VECTORS, bundle_facts, served_outputs
from triptych_models.importing.golden import check_bundle, graph_golden, longest
from triptych_models.importing.outputs import GraphOutputs, find_outputs
from triptych_models.importing.plan import ImportPlan
from triptych_models.importing.session import ImportedSession
from triptych_models.importing.source import CONFIG, TOKENIZER
from triptych_models.importing.surgery import serving_graph
from triptych_models.manifest import write_manifest
from triptych_models.progress import Say
from triptych_models.sources.folder import CARD
from triptych_models.staging import install, staging
from triptych_models.tokenization import check_tokenizer, load_tokenizer, plain_tokenizer

# the card keeps its authors' terms and limits with the weights
_COPIED = {CARD: "model-card.md", "LICENSE": "LICENSE"}
# attention takes memory by the square of the length: longer texts are not tried out
_LONGEST_TRIED = 1024


def import_bundle(plan: ImportPlan, repository: Path, replace: bool, say: Say) -> Bundle:
    """Import a plan, unless the repository already holds its outcome.

    Raises BundleExists where the version holds other, intact content and `replace` is false,
    UnsupportedModel where the graph cannot be served, and GoldenMismatch where texts of a batch
    disturb each other.
    """
    existing = _existing(plan, repository, say)
    if existing is not None and existing.recipe == plan.recipe():
        say(f"{plan.name}@{plan.version} is up to date: {existing.digest[:12]}")
        return existing
    if existing is not None and not replace:
        reason = "holds other content: choose another version, or replace it with --replace"
        raise BundleExists(f"{plan.name}@{plan.version} {reason}")
    with staging(repository) as staged:
        folder = staged / plan.name / plan.version
        folder.mkdir(parents=True)
        say(f"importing {plan.name}@{plan.version} from {plan.source.origin}")
        _write(plan, folder, say)
        say("checking that texts of a batch do not disturb each other")
        check_bundle(read_model(folder))
        target = repository / plan.name / plan.version
        install(folder, target)
    return read_model(target)


def _existing(plan: ImportPlan, repository: Path, say: Say) -> Bundle | None:
    """The intact bundle in the plan's place; a broken one counts as none."""
    try:
        bundle = Repository(repository).find_model(plan.name, plan.version)
        verify_files(bundle)
    except BundleNotFound:
        return None
    except BundleError as error:
        say(f"importing again, since {error}")
        return None
    return bundle


def _write(plan: ImportPlan, folder: Path, say: Say) -> None:
    for name, copied in _COPIED.items():
        if (plan.source.folder / name).is_file():
            shutil.copyfile(plan.source.folder / name, folder / copied)
    shutil.copyfile(plan.source.config, folder / CONFIG)
    (folder / TOKENIZER).write_bytes(plain_tokenizer(plan.source.tokenizer))
    outputs = _write_graph(plan, folder)
    say(f"serving {', '.join(served_outputs(outputs))}")
    write_manifest(folder, bundle_facts(plan, outputs, _write_golden(plan, folder, outputs)))


def _write_graph(plan: ImportPlan, folder: Path) -> GraphOutputs:
    session = ImportedSession(plan.model.SerializeToString())
    outputs = find_outputs(session, plan.architecture)
    tried = longest(plan.settings.max_length, plan.vocab_size, _LONGEST_TRIED)
    session.run(tried, list(outputs.sources.values()))
    graph = serving_graph(plan.model, outputs.sources, outputs.widths)
    (folder / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))
    return outputs


def _write_golden(plan: ImportPlan, folder: Path, outputs: GraphOutputs) -> str:
    """Write texts and vectors; what computed them."""
    tokenizer = load_tokenizer(folder / TOKENIZER, plan.settings.max_length)
    check_tokenizer(tokenizer, plan, plan.settings)
    golden = graph_golden(ImportedSession(folder / GRAPH), served_outputs(outputs), tokenizer)
    (folder / TEXTS).write_bytes(golden.texts)
    (folder / VECTORS).write_bytes(golden.vectors)
    return golden.source
