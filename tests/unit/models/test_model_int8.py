"""Graphs in int8: of every architecture, near fp32, independent of batch mates, or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.parity.tiny_models import write_model as write_tiny
from triptych_bundles import Bundle, read_golden, read_model
from triptych_models.architectures import ARCHITECTURES
from triptych_models.compilation import compile_bundle
from triptych_models.errors import ImpreciseModel
from triptych_models.golden import COMMITTED_MAX_LENGTH, COMMITTED_WEIGHTS, committed
from triptych_models.plan import make_plan
from triptych_models.quantization import calibration_texts
from triptych_models.quantization.calibration import Activations
from triptych_models.quantization.recipes import quantize
from triptych_models.runtime import PaddedGraph
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.weights import Linear

WriteModel = Callable[..., Path]
# random weights have no slack: what trained ones keep within 0.003 they may miss by this much
TINY_FLOOR = 0.9


def silent(line: str) -> None:
    """Progress that nobody reads."""


def compiled(folder: Path, repository: Path, floor: float = TINY_FLOOR) -> Bundle:
    source = fetch(str(folder), folder / "cache", "http://localhost", silent)
    plan = replace(make_plan(source, "tiny", "1", Choices()), int8_min_cosine=floor)
    return compile_bundle(plan, repository, False, silent)


@pytest.mark.parametrize("task", ["embed", "tag"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_both_graphs(tmp_path: Path, architecture: str, task: str) -> None:
    bundle = compiled(write_tiny(tmp_path, architecture, task), tmp_path / "repository")
    record = bundle.precisions["int8"]
    assert set(bundle.graphs) == {"cpu-fp32", "cpu-int8", "cpu-int8-static"}
    assert TINY_FLOOR <= record.worst_cosine < record.mean_cosine < 1
    assert record.batch_cosine > 0.99999
    assert set(record.scores) == ({"golden-tokens"} if task == "tag" else set())
    golden = read_golden(bundle)
    outputs = [
        PaddedGraph(bundle.file(bundle.graphs[variant])).run_all(
            golden.sequences(), list(golden.outputs), 4
        )
        for variant in ("cpu-int8", "cpu-int8-static")
    ]
    for name in golden.outputs:
        np.testing.assert_allclose(outputs[0][name], outputs[1][name], atol=0.02)


def test_below_the_floor_nothing_is_written(write_model: WriteModel, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    with pytest.raises(ImpreciseModel, match=r"tiny@1 in int8: .* less than 0\.999999 \(--min-cos"):
        compiled(write_model(), repository, 0.999999)
    assert list(repository.iterdir()) == []


def test_the_same_input_gives_the_same_digest(write_model: WriteModel, tmp_path: Path) -> None:
    folder = write_model()
    first, second = (compiled(folder, tmp_path / name) for name in ("one", "two"))
    assert first.digest == second.digest
    assert read_model(first.path).precisions["int8"].min_cosine == TINY_FLOOR


def test_nothing_is_judged_by_what_it_was_calibrated_with() -> None:
    calibrated = set(calibration_texts(["[CLS]", "[MASK]"]))
    assert len(calibrated) > 200
    golden = committed(COMMITTED_WEIGHTS, COMMITTED_MAX_LENGTH)
    assert golden is not None
    assert not calibrated & set(json.loads(golden.texts))


def test_a_channel_far_above_the_rest_costs_them_nothing() -> None:
    numbers = np.random.default_rng(5)
    rows = numbers.normal(0, 1, (64, 96)).astype("f4")
    rows[:, 7] *= 500
    linear = Linear(numbers.normal(0, 1, (96, 8)).astype("f4"), np.zeros(8, "f4"))
    made = quantize(linear, Activations(rows.min(0), rows.max(0), rows))
    assert 7 in made.outliers
    rest = rows.copy()
    rest[:, 7] = 0
    assert made.error(linear, rows) < 0.001 * np.square(rest @ linear.kernel).mean()
