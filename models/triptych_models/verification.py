"""Whether a bundle gives its golden numbers on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import (
    INT8_GRAPHS,
    LOGITS_OUTPUT,
    TOKEN_LOGITS_OUTPUT,
    Bundle,
    GoldenRecord,
    GoldenVectors,
    check_cosine,
    forward,
    min_cosine,
    pooled_output,
    read_golden,
    read_head_golden,
    read_layers,
    verify_files,
)
from triptych_models.errors import GoldenMismatch
from triptych_models.progress import Say
from triptych_models.runtime import PaddedGraph
from triptych_models.tokenization import encode, load_tokenizer

Array = NDArray[np.float32]
# texts in their written order: short and long ones share a batch, so padding is tested
MIXED_BATCH = 8
_CPU = "cpu-"


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near an output comes to its golden numbers, in the row where it is farthest.

    Vectors are held against each other by cosine; logits, whose sizes matter, by difference.
    """

    name: str
    """The pooling, or the output of logits."""
    measure: Literal["worst cosine", "largest error"]
    figure: float
    row: int
    passed: bool

    @property
    def error(self) -> float:
        """0 where nothing differs."""
        return 1 - self.figure if self.measure == "worst cosine" else self.figure

    def __str__(self) -> str:
        return f"{self.name} {self.measure} {self.figure:.9f}"


def verify_bundle(bundle: Bundle, say: Say) -> Sequence[Closeness]:
    """Hashes, token ids, every CPU graph's outputs, the head; how near each comes at worst.

    Raises BundleError for files, GoldenMismatch for ids or numbers, ModelError for a graph that
    does not load.
    """
    verify_files(bundle)
    golden = read_golden(bundle)
    check_ids(bundle, golden)
    found = [*_check_graphs(bundle, golden, say), *_check_head(bundle, say)]
    worst: dict[str, Closeness] = {}
    for one in found:
        worst[one.name] = max(one, worst.get(one.name, one), key=lambda each: each.error)
    return list(worst.values())


def check_ids(bundle: Bundle, golden: GoldenVectors) -> None:
    """The bundle's tokenizer must give the golden ids, to the last one."""
    tokenizer = load_tokenizer(bundle.file("tokenizer.json"), bundle.max_length)
    for index, (ids, expected) in enumerate(
        zip(encode(tokenizer, golden.texts), golden.sequences(), strict=True)
    ):
        if not np.array_equal(ids, expected):
            raise GoldenMismatch(f"golden text {index} is tokenized into other ids")


def compare(output: str, actual: Array, expected: Array, record: GoldenRecord) -> Closeness:
    """Hold float[N, width] against its golden numbers; anything not finite is as far as can be."""
    name = output.removeprefix("pooled.")
    if output not in (LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT):
        cosine = check_cosine(actual, expected, record.min_cosine)
        return Closeness(name, "worst cosine", cosine.worst, cosine.index, cosine.passed)
    errors = np.abs(actual.astype(np.float64) - expected).max(axis=1)
    errors[~np.isfinite(errors)] = np.inf
    row = int(errors.argmax())
    largest = float(errors[row])
    return Closeness(name, "largest error", largest, row, largest <= record.max_logit_error)


def _check_graphs(bundle: Bundle, golden: GoldenVectors, say: Say) -> Iterator[Closeness]:
    for variant, file in bundle.graphs.items():
        if variant in INT8_GRAPHS:
            yield from _check_int8(bundle, variant, golden, say)
            continue
        if not variant.startswith(_CPU):
            continue
        graph = PaddedGraph(bundle.file(file))
        for batch_size, manner in ((1, "alone"), (MIXED_BATCH, "in mixed batches")):
            outputs = graph.run_all(golden.sequences(), list(golden.outputs), batch_size)
            for output, expected in golden.outputs.items():
                found = compare(output, outputs[output], expected, bundle.golden)
                yield _passed(bundle, f"{variant} {found.name} {manner}", found, say)


def _check_int8(
    bundle: Bundle, variant: str, golden: GoldenVectors, say: Say
) -> Iterator[Closeness]:
    """The model's own pooling alone has a floor in int8.

    onnxruntime runs both variants; that for OpenVINO only shows there what OpenVINO itself adds.
    """
    output = pooled_output(bundle.pooling)
    if output not in golden.outputs:
        return
    if variant == INT8_GRAPHS[1]:
        say(f"  {variant}: by onnxruntime; OpenVINO is what the encoder checks it with")
    graph = PaddedGraph(bundle.file(bundle.graphs[variant]))
    for batch_size, manner in ((1, "alone"), (MIXED_BATCH, "in mixed batches")):
        vectors = graph.run_all(golden.sequences(), [output], batch_size)[output]
        cosine = check_cosine(vectors, golden.outputs[output], min_cosine(bundle, "int8"))
        name = f"int8 {bundle.pooling}"
        found = Closeness(name, "worst cosine", cosine.worst, cosine.index, cosine.passed)
        yield _passed(bundle, f"{variant} {bundle.pooling} {manner}", found, say)


def _check_head(bundle: Bundle, say: Say) -> Iterator[Closeness]:
    if bundle.head is None or not bundle.head.layers:
        return
    golden = read_head_golden(bundle, bundle.head)
    layers = read_layers(bundle, bundle.head)
    logits = forward(layers, golden.inputs, bundle.head.normalized)
    found = compare(LOGITS_OUTPUT, logits, golden.logits, bundle.golden)
    yield _passed(bundle, f"head {found.name}", found, say)


def _passed(bundle: Bundle, what: str, found: Closeness, say: Say) -> Closeness:
    detail = f"{what}: {found.measure} {found.figure:.9f}"
    say(f"  {detail} (row {found.row})")
    if not found.passed:
        raise GoldenMismatch(f"{bundle.identity} {detail}")
    return found
