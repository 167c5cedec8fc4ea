"""The backend that packs, on an executor whose numbers are known."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS, RaggedBatch
from triptych_encoder.gpu.arithmetic_executor import ArithmeticExecutor
from triptych_encoder.gpu.backend import PackedBackend
from triptych_encoder.gpu.executor import Step
from triptych_encoder.gpu.shapes import BUCKETS
from triptych_encoder.gpu.thread import GpuThread
from triptych_servicekit.errors import Unavailable

POOLED = ("pooled.cls", "pooled.mean", "pooled.last_token")
OUTPUTS = (*POOLED, LOGITS, HIDDEN, TOKEN_LOGITS)
MAX_LENGTH = 64
POISON, FATAL, INFINITE = 13, 17, 19
PATIENCE = 30.0

sequences_strategy = st.lists(
    st.lists(st.integers(0, 12), min_size=1, max_size=MAX_LENGTH), min_size=1, max_size=30
)


class Opened:
    """A backend, its executor and its thread."""

    def __init__(self, record: bool = True, slots: int = 2) -> None:
        self.executor = ArithmeticExecutor(
            max_length=MAX_LENGTH, poison=POISON, fatal=FATAL, infinite=INFINITE
        )
        self.thread = GpuThread()
        self.backend = PackedBackend(lambda: self.executor, self.thread, 8192, slots, record)
        self.warm = len(self.executor.steps)

    def close(self) -> None:
        self.backend.close()
        self.thread.close()

    @property
    def steps(self) -> Sequence[tuple[int, int, int]]:
        """Those since the start."""
        return self.executor.steps[self.warm :]


@pytest.fixture(scope="module")
def shared() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    opened.close()


@pytest.fixture
def own() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    opened.close()


@given(sequences_strategy)
def test_results_are_those_of_the_padded_backend(
    shared: Opened, sequences: list[list[int]]
) -> None:
    batch = RaggedBatch.of(sequences)
    actual = shared.backend.run(batch, OUTPUTS)
    expected = ArithmeticBackend().run(batch, OUTPUTS)
    for name, ours, theirs in zip(OUTPUTS, actual, expected, strict=True):
        assert len(ours) == len(sequences)
        for row, ids in enumerate(sequences):
            rows = theirs[row][: len(ids)] if name in (HIDDEN, TOKEN_LOGITS) else theirs[row]
            np.testing.assert_allclose(ours[row], rows, rtol=1e-5)


def test_small_runs_replay_what_was_recorded_before(own: Opened) -> None:
    recorded = dict(own.executor.recorded)
    assert len(recorded) == 2 * len(BUCKETS), "each bucket in each slot"
    own.backend.run(RaggedBatch.of([[1] * 60] * 10), ["pooled.mean"])
    (step,) = own.steps
    assert step[:2] == (768, 96)
    assert step[2] in recorded
    assert own.executor.recorded == recorded


def test_large_runs_have_their_own_size(own: Opened) -> None:
    own.backend.run(RaggedBatch.of([[1] * 60] * 100), ["pooled.mean"])
    assert own.steps == [(6000, 100, 0)]


def test_nothing_is_recorded_unless_it_is_asked_for() -> None:
    opened = Opened(record=False)
    opened.backend.run(RaggedBatch.of([[1, 2, 3]]), ["pooled.mean"])
    assert opened.steps == [(3, 1, 0)]
    assert not opened.executor.recorded
    opened.close()


def test_the_largest_batch_runs_before_anything_is_recorded(own: Opened) -> None:
    assert own.executor.steps[0] == (16_384, 256, 0)
    assert all(graph for *_, graph in own.executor.steps[1 : 1 + len(BUCKETS)])


def test_a_batch_beyond_the_memory_is_refused(own: Opened) -> None:
    with pytest.raises(ValueError, match="more than there is memory for"):
        own.backend.run(RaggedBatch.of([[1] * 64] * 300), ["pooled.mean"])
    assert own.backend.run(RaggedBatch.of([[1]]), ["pooled.cls"])[0][0][0] == 1


def test_many_threads_share_the_slots(own: Opened) -> None:
    """Each gets its own numbers, though memory is used again and again."""

    def run(number: int) -> bool:
        rows = [[number % 11 + 1] * (number % MAX_LENGTH + 1)] * (number % 7 + 1)
        (mean, hidden) = own.backend.run(RaggedBatch.of(rows), ["pooled.mean", HIDDEN])
        return bool((mean[0] == hidden[0][0]).all() and mean[0][0] == number % 11 + 1)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(400)))


def test_a_run_that_fails_leaves_the_others_alone(own: Opened) -> None:
    with pytest.raises(RuntimeError, match="poison"):
        own.backend.run(RaggedBatch.of([[POISON]]), ["pooled.mean"])
    assert not own.thread.failure
    assert own.backend.run(RaggedBatch.of([[3]]), ["pooled.cls"])[0][0][0] == 3


def test_a_gpu_that_has_failed_is_asked_nothing_more(own: Opened) -> None:
    with pytest.raises(RuntimeError, match="fatal"):
        own.backend.run(RaggedBatch.of([[FATAL]]), ["pooled.mean"])
    assert own.thread.failure == "fatal"
    launched = len(own.steps)
    for _ in range(3):
        with pytest.raises(Unavailable, match="the encoder's device has failed"):
            own.backend.run(RaggedBatch.of([[3]]), ["pooled.cls"])
    assert len(own.steps) == launched


def test_numbers_beyond_the_type_fail_their_run(own: Opened) -> None:
    """One sequence's infinity would be in the means of all; alone, the others are sound."""
    with pytest.raises(FloatingPointError, match=r"pooled.mean is not finite"):
        own.backend.run(RaggedBatch.of([[1, 2], [INFINITE, 3]]), ["pooled.mean"])
    assert own.backend.run(RaggedBatch.of([[1, 2]]), ["pooled.mean"])[0][0][0] == 1.5
    assert not own.thread.failure


def opened_beside(own: Opened, make: Callable[[], ArithmeticExecutor]) -> PackedBackend:
    return PackedBackend(make, own.thread, 8192)


def test_a_model_that_is_being_opened_delays_nobody(own: Opened) -> None:
    """Reading a file and copying weights takes seconds; runs take their turns meanwhile."""
    read = threading.Event()

    def open_slowly() -> ArithmeticExecutor:
        assert read.wait(PATIENCE)
        return ArithmeticExecutor(max_length=MAX_LENGTH)

    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(opened_beside, own, open_slowly)
        for number in range(1, 12):
            (vectors,) = own.backend.run(RaggedBatch.of([[number]]), ["pooled.cls"])
            assert vectors[0][0] == number
        assert not opening.done()
        read.set()
        second = opening.result(PATIENCE)
    assert second.run(RaggedBatch.of([[4]]), ["pooled.cls"])[0][0][0] == 4
    second.close()


def test_others_run_between_any_two_steps_of_a_warm_up(own: Opened) -> None:
    class Interrupted(ArithmeticExecutor):
        """Before each of its steps is over, another model has a run."""

        def wait(self, step: Step) -> None:
            own.backend.run(RaggedBatch.of([[3]]), ["pooled.cls"])
            super().wait(step)

    executor = Interrupted(max_length=MAX_LENGTH)
    second = opened_beside(own, lambda: executor)
    assert len(own.steps) == len(executor.steps) + 1, "the numbers are uploaded by one more"
    assert len(executor.recorded) == 2 * len(BUCKETS)
    second.close()


def test_one_model_is_opened_at_a_time(own: Opened) -> None:
    """While one records its graphs, what another's opening asks of a GPU is an error."""
    order: list[str] = []

    class Listed(ArithmeticExecutor):
        """Opening begins where it is made, and ends with the last of its steps."""

        def __init__(self, name: str) -> None:
            super().__init__(max_length=MAX_LENGTH)
            self._name = name
            order.append(name)

        def wait(self, step: Step) -> None:
            super().wait(step)
            order.append(self._name)

    with ThreadPoolExecutor(3) as pool:
        opening = [pool.submit(opened_beside, own, partial(Listed, name)) for name in "abc"]
        for each in opening:
            each.result(PATIENCE).close()
    runs = [name for name, _ in itertools.groupby(order)]
    assert sorted(runs) == ["a", "b", "c"]


def test_a_second_model_shares_the_thread() -> None:
    first = Opened()
    executor = ArithmeticExecutor(max_length=MAX_LENGTH)
    second = PackedBackend(lambda: executor, first.thread, 8192)
    assert second.run(RaggedBatch.of([[4]]), ["pooled.cls"])[0][0][0] == 4
    second.close()
    assert first.backend.run(RaggedBatch.of([[5]]), ["pooled.cls"])[0][0][0] == 5
    first.close()
