"""From an import's plan to a bundle in the repository, checked before anybody can see it."""

import shutil
from pathlib import Path

from triptych_bundles import Bundle
from triptych_models.facts import GRAPH, TEXTS, VECTORS
from triptych_models.importing.facts import bundle_facts, served_outputs
from triptych_models.importing.golden import graph_golden, longest
from triptych_models.importing.outputs import GraphOutputs, find_outputs
from triptych_models.importing.plan import ImportPlan
from triptych_models.importing.source import CONFIG, TOKENIZER
from triptych_models.importing.surgery import serving_graph
from triptych_models.importing.trial import run
from triptych_models.manifest import write_manifest
from triptych_models.progress import Say
from triptych_models.runtime import PaddedGraph
from triptych_models.sources.folder import CARD
from triptych_models.tokenization import check_tokenizer, load_tokenizer, plain_tokenizer
from triptych_models.versions import put_version

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
    return put_version(plan, lambda folder: _write(plan, folder, say), repository, replace, say)


def _write(plan: ImportPlan, folder: Path, say: Say) -> None:
    say(f"importing {plan.name}@{plan.version} from {plan.source.origin}")
    for name, copied in _COPIED.items():
        if (plan.source.folder / name).is_file():
            shutil.copyfile(plan.source.folder / name, folder / copied)
    shutil.copyfile(plan.source.config, folder / CONFIG)
    (folder / TOKENIZER).write_bytes(plain_tokenizer(plan.source.tokenizer))
    outputs = _write_graph(plan, folder)
    say(f"serving {', '.join(served_outputs(outputs))}")
    write_manifest(folder, bundle_facts(plan, outputs, _write_golden(plan, folder, outputs)))


def _write_graph(plan: ImportPlan, folder: Path) -> GraphOutputs:
    path = folder / GRAPH
    path.write_bytes(plan.model.SerializeToString())
    names = [output.name for output in plan.model.graph.output]
    original = PaddedGraph(path)
    outputs = find_outputs(original, names, plan.architecture)
    tried = longest(plan.settings.max_length, plan.vocab_size, _LONGEST_TRIED)
    run(original, tried, list(outputs.sources.values()))
    graph = serving_graph(plan.model, outputs.sources, outputs.widths)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return outputs


def _write_golden(plan: ImportPlan, folder: Path, outputs: GraphOutputs) -> str:
    """Write texts and vectors; what computed them."""
    tokenizer = load_tokenizer(folder / TOKENIZER, plan.settings.max_length)
    check_tokenizer(tokenizer, plan, plan.settings)
    golden = graph_golden(PaddedGraph(folder / GRAPH), served_outputs(outputs), tokenizer)
    (folder / TEXTS).write_bytes(golden.texts)
    (folder / VECTORS).write_bytes(golden.vectors)
    return golden.source
