"""What benchmarks conclude from what they measure, and how they cut and schedule work."""

import numpy as np
import pytest

from benchmarks import open_loop, report
from benchmarks.bare import cut, pad
from benchmarks.cell import Cell
from benchmarks.report import Bar, Spread
from benchmarks.rows import Row

PLATFORM, BARE = ("platform", "fp32"), ("bare", "fp32")


def cell(system: str, number: int, tokens: int, seconds: float = 2.0) -> Cell:
    return Cell(system, "fp32", "short-1x8", number, seconds, tokens // 12, tokens)


def ids(*lengths: int) -> list[np.ndarray[tuple[int], np.dtype[np.int32]]]:
    return [np.arange(1, length + 1, dtype=np.int32) for length in lengths]


def test_a_ratio_is_the_median_over_rounds_not_of_medians() -> None:
    cells = [cell("platform", number, tokens) for number, tokens in enumerate((100, 400, 300))]
    cells += [cell("bare", number, tokens) for number, tokens in enumerate((200, 500, 1000))]
    assert report.ratio(cells, "short-1x8", PLATFORM, BARE) == Spread(0.5, 0.3, 0.8)


def test_a_ratio_leaves_out_rounds_that_one_of_them_lacks() -> None:
    cells = [cell("platform", 0, 100), cell("platform", 1, 900), cell("bare", 0, 200)]
    assert report.ratio(cells, "short-1x8", PLATFORM, BARE) == Spread(0.5, 0.5, 0.5)
    assert report.ratio(cells, "mixed-1x8", PLATFORM, BARE) is None


def test_a_machine_that_is_not_alone_shows_in_the_bare_runtime() -> None:
    cells = [cell("platform", 0, 100), cell("platform", 1, 900)]
    assert report.unrest(cells, "bare") == 1.0
    cells += [cell("bare", 0, 200), cell("bare", 1, 500)]
    assert report.unrest(cells, "bare") == 2.5


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar("over bare", 0.85, 0.85), True),
        (Bar("over bare", 0.849, 0.85), False),
        (Bar("ms over bare", 1.9, 2.0, at_least=False), True),
        (Bar("ms over bare", 2.1, 2.0, at_least=False), False),
    ],
)
def test_a_bar_is_met_on_its_own_side_of_the_limit(bar: Bar, met: bool) -> None:
    assert bar.met is met


def test_sorted_texts_are_cut_where_padding_would_leave_the_budget() -> None:
    batches = cut(ids(3, 10, 4, 20, 9), budget=20)
    assert [[len(text) for text in batch] for batch in batches] == [[20], [10, 9], [4, 3]]


def test_a_text_beyond_the_budget_is_a_batch_of_its_own() -> None:
    assert [len(batch) for batch in cut(ids(30, 30), budget=20)] == [1, 1]


def test_padding_is_masked() -> None:
    feeds = pad(ids(3, 1))
    assert feeds["input_ids"].tolist() == [[1, 2, 3], [1, 0, 0]]
    assert feeds["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_arrivals_are_those_of_a_poisson_process() -> None:
    times = open_loop.schedule(200, 100, np.random.default_rng(3))
    gaps = np.diff(times)
    assert times[0] >= 0
    assert times[-1] < 100
    assert (gaps >= 0).all()
    assert len(times) == pytest.approx(20_000, rel=0.03)
    # of an exponential distribution the deviation equals the mean
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_a_row_is_its_name() -> None:
    assert Row.parse("mixed-32x8") == Row("mixed", 32, 8)
    assert Row.parse("mixed-32x8").name == "mixed-32x8"


@pytest.mark.parametrize("name", ["odd-1x8", "short-1", "short-1x8x9", ""])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no row"):
        Row.parse(name)
