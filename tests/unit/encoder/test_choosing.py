"""What serves a bundle, once its golden numbers and its speed have been looked at."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from triptych_bundles import Bundle, BundleError, GoldenVectors, PrecisionRecord, Repository
from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import LOGITS, TOKEN_LOGITS, Backend, RaggedBatch
from triptych_encoder.choosing import MIN_SPEEDUP, Chosen, choose, open_beside
from triptych_encoder.gate import FLOORS, floor_of
from triptych_encoder.runtimes import BF16, FP32, INT8, Runtime

HIDDEN_SIZE, LABELS = 4, 3
LENGTHS = (1, 2, 3, 5)
RECORD = PrecisionRecord(0.99, 0.995, 0.998, 103, 0.98, MappingProxyType({}))


@pytest.fixture
def bundle(bundle_repository: Path) -> Bundle:
    """The default model's manifest; what runs in its place is arithmetic."""
    model = Repository(bundle_repository).find_model("all-minilm-l6-v2")
    return replace(model, outputs=(*model.outputs, LOGITS, TOKEN_LOGITS), max_length=16)


@pytest.fixture
def golden() -> GoldenVectors:
    """What arithmetic gives for texts of different lengths, each alone."""
    ids = np.arange(1, 1 + sum(LENGTHS), dtype=np.int32)
    names = ("pooled.mean", LOGITS, TOKEN_LOGITS)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for sequence in np.split(ids, np.cumsum(LENGTHS)[:-1]):
        given = RaggedBatch.of([sequence])
        for name, result in zip(names, arithmetic().run(given, names), strict=True):
            rows[name].append(result.reshape(-1, result.shape[-1]))
    outputs = {name: np.concatenate(parts).astype(np.float32) for name, parts in rows.items()}
    return GoldenVectors(("",) * len(LENGTHS), ids, np.array(LENGTHS, np.int32), outputs)


def arithmetic(seconds: float = 0.0) -> ArithmeticBackend:
    return ArithmeticBackend(HIDDEN_SIZE, seconds, labels=LABELS)


class Bent:
    """Arithmetic whose numbers are a little off: by `share` of the vector's first component."""

    def __init__(self, share: float) -> None:
        self._exact = arithmetic()
        self._share = share
        self.description, self.outputs = "bent", self._exact.outputs
        self.reads_token_types = self._exact.reads_token_types
        self.max_segments = self._exact.max_segments
        self.cost_model = self._exact.cost_model

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[np.ndarray]:
        bent = np.array([1 + self._share, *[1] * (HIDDEN_SIZE - 1)], np.float32)
        results = self._exact.run(batch, outputs)
        return [result * bent[: result.shape[-1]] for result in results]

    def close(self) -> None:
        self._exact.close()


def runtime(backend: Backend, precision: str = FP32) -> Runtime:
    return Runtime("arithmetic", precision, "cpu-fp32", lambda _: backend)


def chosen(bundle: Bundle, golden: GoldenVectors, *runtimes: Runtime) -> Chosen:
    return choose(bundle, golden, runtimes)


def test_the_faster_one_serves(bundle: Bundle, golden: GoldenVectors) -> None:
    slow, fast = runtime(arithmetic(0.004)), runtime(arithmetic(0.001), BF16)
    found = chosen(bundle, golden, slow, fast)
    assert found.runtime is fast
    assert found.speedup is not None
    assert found.speedup > MIN_SPEEDUP


def test_the_reference_serves_where_the_other_is_no_faster(
    bundle: Bundle, golden: GoldenVectors
) -> None:
    fast, slow = runtime(arithmetic(0.001)), runtime(arithmetic(0.004), BF16)
    found = chosen(bundle, golden, fast, slow)
    assert found.runtime is fast
    assert found.speedup is not None
    assert found.speedup < 1


def test_the_reference_serves_where_the_other_is_not_close_enough(
    bundle: Bundle, golden: GoldenVectors, caplog: pytest.LogCaptureFixture
) -> None:
    slow, wrong = runtime(arithmetic(0.004)), runtime(Bent(1.0), BF16)
    with caplog.at_level(logging.WARNING):
        found = chosen(bundle, golden, slow, wrong)
    assert (found.runtime, found.speedup) == (slow, None)
    assert "at cosine" in caplog.records[0].__dict__["reason"]


def test_a_precision_that_was_asked_for_has_no_fallback(
    bundle: Bundle, golden: GoldenVectors
) -> None:
    with pytest.raises(BundleError, match="at cosine"):
        chosen(bundle, golden, runtime(Bent(1.0), BF16))


@pytest.mark.parametrize(("precision", "passes"), [(FP32, False), (BF16, True)])
def test_each_precision_has_its_own_floor(
    bundle: Bundle, golden: GoldenVectors, precision: str, passes: bool
) -> None:
    """At a cosine of 0.9997 and logits that are 2.5 % off at most."""
    bent = runtime(Bent(0.025), precision)
    if passes:
        assert chosen(bundle, golden, bent).runtime is bent
    else:
        with pytest.raises(BundleError):
            chosen(bundle, golden, bent)


def test_logits_may_be_off_by_what_a_vector_at_the_floor_is(
    bundle: Bundle, golden: GoldenVectors
) -> None:
    """4.5 % of the largest at 0.999; here the vectors are right, and one logit is not."""
    largest = np.abs(golden.outputs[LOGITS]).max()
    for share, passes in ((0.04, True), (0.05, False)):
        moved = golden.outputs[LOGITS].copy()
        moved[0, 0] += share * largest
        other = replace(golden, outputs={**golden.outputs, LOGITS: moved})
        backend = runtime(arithmetic(), BF16)
        if passes:
            assert chosen(bundle, other, backend).runtime is backend
        else:
            with pytest.raises(BundleError, match="logits of row 0 is off"):
                chosen(bundle, other, backend)


def test_the_bundle_states_the_floors_where_it_was_measured(bundle: Bundle) -> None:
    assert floor_of(replace(bundle, precisions={}), BF16) == FLOORS[BF16]
    assert floor_of(bundle, FP32).golden == bundle.golden.min_cosine
    measured = replace(bundle, precisions={BF16: RECORD, INT8: RECORD})
    for precision in (BF16, INT8):
        floor = floor_of(measured, precision)
        assert floor.golden == RECORD.min_cosine
        assert floor.mates == pytest.approx(0.96), "twice as far from 1 as was seen"


def test_batch_mates_of_int8_may_do_what_they_do_in_bf16(bundle: Bundle) -> None:
    exact = replace(RECORD, batch_cosine=1.0)
    measured = replace(bundle, precisions={BF16: exact, INT8: exact})
    assert floor_of(measured, BF16).mates == 1
    assert floor_of(measured, INT8).mates == FLOORS[BF16].mates


def test_int8_needs_a_record(bundle: Bundle, golden: GoldenVectors) -> None:
    with pytest.raises(BundleError, match="precisions: does not say how close int8 comes"):
        chosen(replace(bundle, precisions={}), golden, runtime(arithmetic(), INT8))


def test_of_a_measured_precision_the_measured_output_is_held_and_no_other(
    bundle: Bundle, golden: GoldenVectors
) -> None:
    measured = replace(bundle, precisions=MappingProxyType({INT8: RECORD}))
    logits = 2 * golden.outputs[LOGITS]
    other = replace(golden, outputs={**golden.outputs, LOGITS: logits})
    served = runtime(arithmetic(), INT8)
    assert chosen(measured, other, served).runtime is served
    with pytest.raises(BundleError, match=r"pooled\.mean of text \d+ comes out"):
        chosen(measured, golden, runtime(Bent(1.0), INT8))


def test_a_graph_is_opened_again_for_runs_that_are_alone(
    bundle: Bundle, golden: GoldenVectors
) -> None:
    backend, alone = arithmetic(), arithmetic()
    both = replace(runtime(backend), open_alone=lambda _: alone)
    assert open_beside(bundle, golden, chosen(bundle, golden, both)) is alone
    assert alone.shapes, "it was not held against the other"
    assert open_beside(bundle, golden, chosen(bundle, golden, runtime(backend))) is None


def test_one_that_is_wrong_alone_is_not_used_there(
    bundle: Bundle, golden: GoldenVectors, caplog: pytest.LogCaptureFixture
) -> None:
    both = replace(runtime(arithmetic()), open_alone=lambda _: Bent(1.0))
    with caplog.at_level(logging.WARNING):
        assert open_beside(bundle, golden, chosen(bundle, golden, both)) is None
    assert "differently by several threads" in caplog.records[0].__dict__["reason"]
