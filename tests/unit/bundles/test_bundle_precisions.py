"""The section `precisions` of a bundle.yaml."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych_bundles import (
    BundleError,
    PrecisionRecord,
    ScorePair,
    disagreement,
    min_cosine,
    read_golden,
    read_model,
)

WriteBundle = Callable[..., Path]
Facts = dict[str, Any]


def measured(**changes: object) -> Facts:
    return {
        "min_cosine": 0.997,
        "worst_cosine": 0.9978,
        "mean_cosine": 0.9985,
        "texts": 103,
        "batch_cosine": 0.9991,
        "scores": {"banking77": {"metric": "accuracy", "fp32": 0.93, "own": 0.92}},
    } | changes


def with_int8(facts: Facts, **changes: object) -> None:
    facts["schema"] = 2
    facts["graphs"]["cpu-int8"] = "model.onnx"
    facts["precisions"] = {"int8": measured(**changes)}


def test_every_figure_is_read(write_bundle: WriteBundle) -> None:
    bundle = read_model(write_bundle(spoil=with_int8))
    score = ScorePair("accuracy", 0.93, 0.92)
    expected = PrecisionRecord(0.997, 0.9978, 0.9985, 103, 0.9991, {"banking77": score})
    assert bundle.precisions == {"int8": expected}


@pytest.mark.parametrize("schema", [1, 2])
def test_a_bundle_of_either_schema_may_have_none(write_bundle: WriteBundle, schema: int) -> None:
    bundle = read_model(write_bundle(spoil=lambda facts: facts.update(schema=schema)))
    assert bundle.precisions == {}


def test_bf16_runs_the_graph_of_fp32(write_bundle: WriteBundle) -> None:
    facts = {"schema": 2, "precisions": {"bf16": measured(scores={})}}
    bundle = read_model(write_bundle(spoil=lambda manifest: manifest.update(facts)))
    assert bundle.precisions["bf16"].scores == {}


SPOILT: list[tuple[Callable[[Facts], object], str]] = [
    (lambda facts: facts.update(schema=1), "precisions: needs schema 2"),
    (lambda facts: facts.update(precisions=[]), "precisions: must be a mapping"),
    (
        lambda facts: facts.update(precisions={"int4": measured()}),
        "precisions.int4: is not one of bf16, int8",
    ),
    (
        lambda facts: facts.update(graphs={"cpu-fp32": "model.onnx"}),
        "precisions.int8: needs one of the graphs cpu-int8, cpu-int8-static",
    ),
    (
        lambda facts: with_int8(facts, min_cosine=0.999),
        "precisions.int8.worst_cosine: is below min_cosine",
    ),
    (
        lambda facts: with_int8(facts, batch_cosine=1.5),
        "precisions.int8.batch_cosine: must be between 0 and 1",
    ),
    (lambda facts: with_int8(facts, texts=0), "precisions.int8.texts: must be at least 1"),
    (lambda facts: with_int8(facts, speed=2), "precisions.int8.speed: unknown field"),
    (
        lambda facts: with_int8(facts, scores={"mood": {"metric": "accuracy", "fp32": 0.5}}),
        "precisions.int8.scores.mood.own: is missing",
    ),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILT, ids=[reason for _, reason in SPOILT])
def test_refuses_and_names_field_and_reason(
    write_bundle: WriteBundle, spoil: Callable[[Facts], object], reason: str
) -> None:
    def both(facts: Facts) -> None:
        with_int8(facts)
        spoil(facts)

    folder = write_bundle(spoil=both)
    with pytest.raises(BundleError) as refusal:
        read_model(folder)
    assert str(refusal.value) == f"{folder / 'bundle.yaml'}: {reason}"


def test_each_precision_has_a_floor_of_its_own(write_bundle: WriteBundle) -> None:
    bundle = read_model(write_bundle(spoil=with_int8))
    golden = read_golden(bundle)
    vectors = golden.outputs["pooled.mean"].copy()
    # at right angles to the first row, so the cosine is 1 / sqrt(1 + 0.07²)
    vectors[0] += 0.07 * np.linalg.norm(vectors[0]) * np.array([2, -1, 0, 0]) / np.sqrt(5)
    near = disagreement(bundle, "pooled.mean", vectors, golden)
    assert near == "pooled.mean of text 0 comes out at cosine 0.997559 here, less than 0.99999"
    assert disagreement(bundle, "pooled.mean", vectors, golden, "int8") == ""
    vectors[1] = -vectors[1]
    far = disagreement(bundle, "pooled.mean", vectors, golden, "int8")
    assert far == "pooled.mean of text 1 comes out at cosine -1.000000 here, less than 0.997"


def test_a_precision_that_was_not_measured_has_no_floor(write_bundle: WriteBundle) -> None:
    bundle = read_model(write_bundle(spoil=with_int8))
    assert min_cosine(bundle) == 0.99999
    assert min_cosine(bundle, "int8") == 0.997
    with pytest.raises(BundleError, match=r"bundle\.yaml: precisions: says nothing of bf16"):
        min_cosine(bundle, "bf16")
