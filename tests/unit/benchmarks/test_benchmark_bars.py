"""Bars judged from results, and peers' settings chosen from trials."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bars import REPLICATED, bars, best_peer
from benchmarks.cell import Cell
from benchmarks.closed_loop import LoadError
from benchmarks.machine import describe
from benchmarks.peers.peer import BATCH_SIZES, Setting
from benchmarks.peers.tuning import Best, Tuning
from benchmarks.results import OpenLoop, Results
from benchmarks.rows import LEVEL, Row
from benchmarks.runtimes import Vectors
from benchmarks.single import Single
from benchmarks.table import render
from benchmarks.texts import KINDS, Text

SHORT = "short-1x64"


def cell(system: str, precision: str, rate: int, row: str = SHORT, number: int = 0) -> Cell:
    return Cell(system, precision, row, number, 1.0, rate // 12, rate)


def results(*cells: Cell) -> Results:
    return Results(describe(), cells=list(cells))


def verdicts(found: Results) -> dict[str, tuple[float, bool]]:
    return {bar.what: (round(bar.value, 6), bar.met) for bar in bars(found)}


def test_each_precision_is_held_against_bare_and_our_own_fp32() -> None:
    found = results(
        *(cell("platform", "fp32", 800), cell("bare", "fp32", 1000)),
        *(cell("platform", "int8", 1700), cell("bare", "int8", 2000)),
    )
    assert verdicts(found) == {
        f"{SHORT} fp32 over bare": (0.8, False),
        f"{SHORT} int8 over bare": (0.85, True),
        f"{SHORT} int8 over fp32": (2.125, True),
    }


def test_a_lower_precision_meets_peers_at_their_best_precision() -> None:
    found = results(
        *(cell("platform", "fp32", 800), cell("platform", "int8", 1700)),
        *(cell("slow", "fp32", 400), cell("slow", "bf16", 1000), cell("quick", "fp32", 500)),
    )
    assert best_peer(found, SHORT, "fp32") == ("quick", "fp32")
    assert best_peer(found, SHORT, "int8") == ("slow", "bf16")
    assert verdicts(found)[f"{SHORT} int8 over slow bf16"] == (1.7, True)


def test_replicas_are_no_peers() -> None:
    found = results(cell("platform", "fp32", 800), cell(REPLICATED, "fp32", 900))
    assert best_peer(found, SHORT, "fp32") is None


def test_one_text_alone_is_judged_by_medians_of_the_repetitions() -> None:
    found = results()
    for served, bare in ((0.006, 0.004), (0.005, 0.0035), (0.009, 0.004)):
        found.singles.append(Single("platform", "fp32", "short", served, bare))
        found.singles.append(Single("peer", "fp32", "short", 0.005, bare))
    said = verdicts(found)
    assert said["short, one text alone, fp32: ms over bare"] == (2.0, True)
    assert said["short, one text alone, fp32: p50 over the best peer's"] == (1.2, False)


def test_the_tail_is_judged_at_the_load_of_the_bar_only() -> None:
    found = results()
    for share, p99 in ((0.4, 0.1), (0.7, 0.03), (0.9, 0.5)):
        found.open_loops.append(
            OpenLoop("platform", "fp32", "mixed", share, 0, 100.0, 400, 0.01, 0.02, p99)
        )
    what = "mixed fp32, p99 over p50 at 70% of saturation"
    assert verdicts(found) == {what: (3.0, True)}


def test_throughput_is_level_where_the_least_is() -> None:
    rates = dict(zip(LEVEL, (1000, 900, 1100, 1000), strict=True))
    found = results(*(cell("platform", "fp32", rate, row.name) for row, rate in rates.items()))
    assert (0.9, False) in verdicts(found).values()


def test_the_table_tells_bars_and_what_was_left_out() -> None:
    found = results(cell("platform", "fp32", 900), cell("bare", "fp32", 1000))
    found.left_out["bf16"] = "openvino is not installed"
    text = render(found)
    assert f"| {SHORT} fp32 over bare | 0.900 | ≥ 0.85 | met |" in text
    assert "left out: bf16: openvino is not installed" in text


class Pretended:
    """A system whose speed follows from its setting: small batches suit mixed texts."""

    name, precision, kinds = "pretended", "fp32", KINDS

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def embed(self, texts: Sequence[Text]) -> Vectors:
        """One direction for all texts."""
        return np.ones((len(texts), 2), np.float32)

    def measure(self, row: Row, number: int, seconds: float) -> Cell:
        size, workers = self._setting.batch_size, self._setting.workers
        rate = 100 * size if row.kind == "short" else 3200 // size
        return cell("pretended", "fp32", rate * workers, row.name, number)


def test_a_peer_is_tuned_by_kind_of_text_and_only_once(tmp_path: Path) -> None:
    started: list[Setting] = []

    @contextmanager
    def start(setting: Setting) -> Iterator[Pretended]:
        started.append(setting)
        yield Pretended(setting)

    expected = [
        Best(Setting(32, 2, 1), ("short",), {"short": 6400, "mixed": 200, "long": 200}),
        Best(Setting(4, 2, 1), ("mixed", "long"), {"short": 800, "mixed": 1600, "long": 1600}),
    ]
    layouts = [(1, 2), (2, 1)]
    assert Tuning(tmp_path / "t.json").best("pretended", layouts, start) == expected
    assert len(started) == len(BATCH_SIZES) + 2
    assert Tuning(tmp_path / "t.json").best("pretended", layouts, start) == expected
    assert len(started) == len(BATCH_SIZES) + 2


def test_a_peer_that_never_works_is_left_out(tmp_path: Path) -> None:
    @contextmanager
    def start(setting: Setting) -> Iterator[Pretended]:
        if setting.batch_size:
            raise LoadError("it did not start")
        yield Pretended(setting)

    with pytest.raises(LoadError, match="no setting"):
        Tuning(tmp_path / "t.json").best("pretended", [(1, 2)], start)
