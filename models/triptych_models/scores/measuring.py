"""What the graphs of a bundle score on labelled data, by onnxruntime."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych_bundles import (
    INT8_GRAPHS,
    TOKEN_LOGITS_OUTPUT,
    Bundle,
    Head,
    HeadBundle,
    forward,
    read_layers,
    sha256_file,
    verify_files,
)
from triptych_models.entities import score_entities
from triptych_models.errors import TrainingDataError, UnsupportedModel
from triptych_models.facts import CPU_GRAPH
from triptych_models.heads.examples import Columns, read_examples
from triptych_models.heads.scoring import score
from triptych_models.progress import Say
from triptych_models.runtime import PaddedGraph
from triptych_models.scores.inputs import encode_examples, read_tagged
from triptych_models.scores.running import run_rows
from triptych_models.tokenization import load_tokenizer
from triptych_models.words import word_tags

ACCURACY, ENTITY_F1 = "accuracy", "entity F1"
_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """CSV for whole inputs, CoNLL for tokens."""

    path: Path
    name: str
    """What the data is called in the bundle."""
    columns: Columns
    names: Mapping[str, str] | None
    """Labels by the values of the label column; None: the values are the labels."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Scores from 0 to 1 of one bundle on one file."""

    name: str
    metric: str
    sha256: str
    rows: int
    by_variant: Mapping[str, float]
    """By graph; CPU_GRAPH is among them."""

    @property
    def fp32(self) -> float:
        """In the precision that all others are held against."""
        return self.by_variant[CPU_GRAPH]

    @property
    def int8(self) -> float | None:
        """Of the worst graph in int8; None where there is none."""
        scores = [self.by_variant[one] for one in INT8_GRAPHS if one in self.by_variant]
        return min(scores, default=None)


def measure(
    bundle: Bundle, head: HeadBundle | None, data: LabelledFile, threads: int, say: Say
) -> Measured:
    """Score every CPU graph; repeated texts are left out.

    A bundle that tags reads CoNLL; any other reads CSV by `head`, or by its own. Raises
    BundleError for files that are not intact, TrainingDataError for the data, UnsupportedModel
    where there is no head or the head is another model's.
    """
    variants = [one for one in (CPU_GRAPH, *INT8_GRAPHS) if one in bundle.graphs]
    verify_files(bundle, [_TOKENIZER, *(bundle.graphs[one] for one in variants)])
    scored, rows = _scoring(bundle, head, data, threads)
    found = {}
    for variant in variants:
        found[variant] = scored(PaddedGraph(bundle.file(bundle.graphs[variant])))
        say(f"  {variant}: {found[variant]:.4f}")
    metric = ENTITY_F1 if head is None and bundle.token_labels else ACCURACY
    return Measured(data.name, metric, sha256_file(data.path), rows, found)


_Scored = Callable[[PaddedGraph], float]


def _scoring(
    bundle: Bundle, head: HeadBundle | None, data: LabelledFile, threads: int
) -> tuple[_Scored, int]:
    if head is None and bundle.token_labels:
        return _tagging(bundle, data, threads)
    if head is not None and not head.fits(bundle):
        raise UnsupportedModel(f"--head: {head.identity} was trained on other weights")
    folder: Bundle | HeadBundle = head or bundle
    owned = head.head if head else bundle.head
    if owned is None or not owned.layers:
        raise UnsupportedModel(f"{bundle.identity} has no head of its own: name one with --head")
    return _classifying(bundle, folder, owned, data, threads)


def _classifying(
    bundle: Bundle, folder: Bundle | HeadBundle, head: Head, data: LabelledFile, threads: int
) -> tuple[_Scored, int]:
    names = data.names or {label: label for label in head.labels}
    if tuple(names.values()) != head.labels:
        raise TrainingDataError("--label-names: must be the head's labels, in its order")
    examples = read_examples(data.path, data.columns, names, least=0)
    tokenizer = load_tokenizer(bundle.file(_TOKENIZER), bundle.max_length)
    inputs, layers = encode_examples(tokenizer, examples), read_layers(folder, head)

    def scored(graph: PaddedGraph) -> float:
        vectors = np.stack(run_rows(graph, inputs, head.input, threads))
        return score(forward(layers, vectors, head.normalized), examples.classes).accuracy

    return scored, len(examples.texts)


def _tagging(bundle: Bundle, data: LabelledFile, threads: int) -> tuple[_Scored, int]:
    tokenizer = load_tokenizer(bundle.file(_TOKENIZER), bundle.max_length)
    tagged = read_tagged(data.path, tokenizer)
    gold = [sentence.tags for sentence in tagged.sentences]

    def scored(graph: PaddedGraph) -> float:
        rows = run_rows(graph, tagged.inputs, TOKEN_LOGITS_OUTPUT, threads)
        pairs = zip(tagged.sentences, tagged.worded, rows, strict=True)
        found = [
            word_tags(sentence, worded, logits.argmax(axis=1), bundle.token_labels)
            for sentence, worded, logits in pairs
        ]
        return score_entities(gold, found).f1

    return scored, len(gold)
