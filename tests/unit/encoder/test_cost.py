"""Costs of runs: fitted, measured, told and remembered."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_bundles.repository import Repository
from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import RaggedBatch
from triptych_encoder.calibration import measure
from triptych_encoder.cost import CostModel
from triptych_encoder.costing import Costing
from triptych_encoder.settings import Batching

POOLED = ("pooled.mean",)
SHAPES = CostModel.shapes
MIN_CALL_TOKENS, MAX_CALL_TOKENS = CostModel.bounds


class TimedBackend(ArithmeticBackend):
    """Its runs take `call` seconds and `token` more for each token of the area."""

    def __init__(self, call: float, token: float) -> None:
        super().__init__()
        self._call, self._token = call, token

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        time.sleep(self._call + self._token * int(batch.lengths.sum()))
        return super().run(batch, outputs)


@given(st.floats(MIN_CALL_TOKENS, MAX_CALL_TOKENS), st.floats(1e-6, 1e-2))
def test_exact_measurements_give_the_exact_model(call_tokens: float, token: float) -> None:
    truth = CostModel(call_tokens, token)
    fitted = CostModel.fit({shape: truth.seconds(*shape) for shape in SHAPES})
    assert fitted.call_tokens == pytest.approx(call_tokens, rel=1e-6)
    assert fitted.seconds_per_token == pytest.approx(token, rel=1e-6)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(lambda area: 1e-3 * area, MIN_CALL_TOKENS, id="calls cost nothing"),
        pytest.param(lambda area: 1.0 + 1e-6 * area, MAX_CALL_TOKENS, id="only calls cost"),
        pytest.param(lambda area: 1.0 / area, MIN_CALL_TOKENS, id="more work takes less"),
    ],
)
def test_disturbed_measurements_stay_within_bounds(seconds: Any, expected: float) -> None:
    fitted = CostModel.fit({(rows, width): seconds(rows * width) for rows, width in SHAPES})
    assert fitted.call_tokens == pytest.approx(expected)
    assert fitted.seconds_per_token > 0


def test_a_measurement_finds_what_a_call_and_a_token_cost() -> None:
    costs = measure(TimedBackend(0.002, 0.0001), POOLED, workers=2, longest=256, highest_id=99)
    assert costs.seconds_per_token == pytest.approx(0.0001, rel=0.3)
    assert costs.call_tokens == pytest.approx(20, rel=0.5)


def test_a_measurement_stays_within_what_the_model_takes() -> None:
    backend = ArithmeticBackend()
    measure(backend, POOLED, workers=1, longest=16, highest_id=3)
    assert max(width for _, width in backend.shapes) == 16


@pytest.fixture
def bundle(bundle_repository: Path) -> Bundle:
    return Repository(bundle_repository).find_model("all-minilm-l6-v2")


def find(bundle: Bundle, batching: Batching, workers: int = 1) -> tuple[CostModel, int]:
    """The costs, and how many runs it took to find them."""
    backend = ArithmeticBackend()
    costs = Costing(batching, workers)(bundle, "model.onnx", backend)
    return costs, len(backend.shapes)


def test_a_setting_overrides_the_measurement(bundle: Bundle) -> None:
    assert find(bundle, Batching(run_overhead_tokens=40)) == (CostModel(40), 0)


def test_costs_are_measured_once_and_kept(bundle: Bundle, tmp_path: Path) -> None:
    batching = Batching(cost_cache=str(tmp_path / "costs"))
    first, runs = find(bundle, batching)
    assert runs > len(SHAPES)
    assert find(bundle, batching) == (first, 0)
    other, runs = find(bundle, batching, workers=2)
    assert runs > len(SHAPES), "another number of workers is another measurement"
    assert len(list((tmp_path / "costs").iterdir())) == 2
    assert other.seconds_per_token > 0


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"costs": {"call_tokens": "x"}})])
def test_a_spoilt_record_is_measured_again(bundle: Bundle, tmp_path: Path, content: str) -> None:
    batching = Batching(cost_cache=str(tmp_path))
    first, _ = find(bundle, batching)
    (record,) = tmp_path.iterdir()
    record.write_text(content)
    again, runs = find(bundle, batching)
    assert runs > len(SHAPES)
    assert json.loads(record.read_text())["costs"]["call_tokens"] == again.call_tokens
    assert first.seconds_per_token > 0


def test_a_folder_that_cannot_be_written_does_not_hinder(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with caplog.at_level(logging.WARNING):
        costs, _ = find(bundle, Batching(cost_cache=str(blocked / "costs")))
    assert np.isfinite(costs.call_tokens)
    assert "the next start measures again" in caplog.text
