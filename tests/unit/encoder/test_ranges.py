"""Segments that a backend pools in its runs, beside the sequences they are of."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.encoder.dispatching import HIDDEN_SIZE, joined, submit, until
from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_encoder.backend import HIDDEN, RaggedBatch
from triptych_encoder.batcher import Batcher
from triptych_encoder.cost import PackedCostModel
from triptych_encoder.dispatcher import Dispatcher, Lane
from triptych_encoder.entry import Submission
from triptych_encoder.gpu.arithmetic_executor import ArithmeticExecutor
from triptych_encoder.gpu.backend import PackedBackend
from triptych_encoder.gpu.executor import Region, Step
from triptych_encoder.gpu.thread import GpuThread
from triptych_encoder.model import EncoderModel
from triptych_encoder.outputs import Output, RangeRows, SegmentRows, SequenceRows, pool_segments
from triptych_encoder.runtime_metrics import Serving
from triptych_encoder.specs import read_outputs
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.tensors import to_tensor

MAX_LENGTH = 32
POOLINGS = ("cls", "mean", "last_token")
FLOAT32 = np.dtype(np.float32)
MOST = PackedCostModel.batch_ranges - 1


class GatedExecutor(ArithmeticExecutor):
    """Steps that are launched while the gate is shut wait for it."""

    def __init__(self) -> None:
        super().__init__(HIDDEN_SIZE, max_length=MAX_LENGTH)
        self.gate = threading.Event()
        self.gate.set()
        self.ranges: list[NDArray[np.int32]] = []

    def _compute(self, inputs: Mapping[str, NDArray[np.int32]], step: Step) -> None:
        self.gate.wait()
        first, last = inputs["first_tokens"], inputs["last_tokens"]
        self.ranges.append(np.stack([first, last], axis=1))
        super()._compute(inputs, step)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[GatedExecutor, Dispatcher, Lane]]:
    """One worker, since what is tested is what shares a run."""
    executor, thread = GatedExecutor(), GpuThread()
    backend = PackedBackend(lambda: executor, thread, 0, record=False)
    dispatcher = Dispatcher(Batcher(0), 1, EncoderMetrics())
    lane = Lane(backend, MAX_LENGTH, PackedCostModel(16))
    dispatcher.add(lane)
    dispatcher.start()
    executor.ranges.clear()
    try:
        yield executor, dispatcher, lane
    finally:
        executor.gate.set()
        await dispatcher.stop()
        backend.close()
        thread.close()


def work(
    sequences: Sequence[Sequence[int]],
    *wanted: tuple[str, Sequence[tuple[int, int, int]]],
) -> Submission:
    """A call that asks for segments by a pooling, for one pooling after the other."""
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    outputs = [
        Output(
            f"pooled.{pooling}",
            RangeRows(np.array(segments, np.int32).reshape(-1, 3), len(lengths)),
            HIDDEN_SIZE,
            FLOAT32,
        )
        for pooling, segments in wanted
    ]
    own = Output("pooled.cls", SequenceRows(len(lengths)), HIDDEN_SIZE, FLOAT32)
    return Submission(joined(sequences), None, lengths, [own, *outputs], time.monotonic())


segments_strategy = st.lists(
    st.lists(st.integers(1, 12), min_size=1, max_size=MAX_LENGTH), min_size=1, max_size=8
).flatmap(
    lambda sequences: st.tuples(
        st.just(sequences),
        st.lists(
            st.tuples(st.integers(0, len(sequences) - 1), st.integers(0, 99), st.integers(0, 99)),
            max_size=20,
        ),
    )
)


@given(segments_strategy)
def test_pooled_in_the_run_is_as_pooled_from_hidden_states(
    drawn: tuple[list[list[int]], list[tuple[int, int, int]]],
) -> None:
    sequences, numbers = drawn
    segments = []
    for sequence, one, other in numbers:
        places = sorted((one % len(sequences[sequence]), other % len(sequences[sequence])))
        segments.append((sequence, places[0], places[1] + 1))

    async def encode() -> Submission:
        async with serving() as (_, dispatcher, lane):
            done = submit(
                dispatcher, lane, work(sequences, *((each, segments) for each in POOLINGS))
            )
            await done.done
            return done

    done = asyncio.run(encode())
    assert done.results[0][:, 0].tolist() == [ids[0] for ids in sequences]
    for pooling, result in zip(POOLINGS, done.results[1:], strict=True):
        for (sequence, first, end), row in zip(segments, result, strict=True):
            hidden = np.array(sequences[sequence], np.float32)[:, None] * np.arange(
                1, HIDDEN_SIZE + 1, dtype=np.float32
            )
            expected = pool_segments(hidden, np.array([first]), np.array([end]), pooling)
            np.testing.assert_allclose(row, expected[0], rtol=1e-6)


async def test_equal_sequences_share_a_run_and_each_gets_its_own_segments() -> None:
    async with serving() as (executor, dispatcher, lane):
        executor.gate.clear()
        first = submit(dispatcher, lane, work([[9] * 4], ("mean", [])))
        await until(lambda: lane.queue.tokens == 0)
        ids = [1, 2, 3, 4]
        second = submit(dispatcher, lane, work([ids], ("mean", [(0, 0, 2)])))
        third = submit(dispatcher, lane, work([[7], ids], ("cls", [(1, 2, 4)])))
        assert lane.queue.tokens == 5
        executor.gate.set()
        await asyncio.gather(first.done, second.done, third.done)
    assert second.results[1][:, 0].tolist() == [1.5]
    assert third.results[1][:, 0].tolist() == [3]
    assert len(executor.ranges) == 2
    # the two sequences, and the ranges of both calls in the one they share
    assert executor.ranges[1].tolist() == [[0, 3], [4, 4], [0, 1], [2, 3]]


async def test_a_run_that_has_begun_is_not_joined_for_segments() -> None:
    async with serving() as (executor, dispatcher, lane):
        executor.gate.clear()
        early = submit(dispatcher, lane, work([[1, 2, 3]], ("mean", [(0, 0, 2)])))
        await until(lambda: lane.queue.tokens == 0)
        late = submit(dispatcher, lane, work([[1, 2, 3]], ("mean", [(0, 1, 3)])))
        plain = submit(dispatcher, lane, work([[1, 2, 3]]))
        executor.gate.set()
        await asyncio.gather(early.done, late.done, plain.done)
    assert early.results[1][0, 0] == 1.5
    assert late.results[1][0, 0] == 2.5
    assert len(executor.ranges) == 2


async def test_what_a_run_pools_is_bounded() -> None:
    """However many segments come, in one sequence or in many that are equal or not."""
    half = [(0, 0, 1)] * (MOST // 2 + 1)
    async with serving() as (executor, dispatcher, lane):
        executor.gate.clear()
        works = [submit(dispatcher, lane, work([[5]]))]
        await until(lambda: lane.queue.tokens == 0)
        equal, other = [[1, 2]], [[3, 4]]
        works += [
            submit(dispatcher, lane, work(ids, ("mean", half))) for ids in (equal, equal, other)
        ]
        executor.gate.set()
        await asyncio.gather(*(each.done for each in works))
    assert [len(each.results[1]) for each in works[1:]] == [len(half)] * 3
    sizes = [len(ranges) for ranges in executor.ranges]
    assert sizes == [1, *[1 + len(half)] * 3]
    assert max(sizes) <= PackedCostModel.batch_ranges


async def test_items_that_fail_leave_the_segments_of_the_others() -> None:
    async with serving() as (executor, dispatcher, lane):
        poisoned = work([[1, 2], [99, 1], [3, 4]], ("mean", [(2, 0, 1), (1, 0, 1), (0, 1, 2)]))
        executor._special["poison"] = 99
        submit(dispatcher, lane, poisoned)
        await poisoned.done
    assert list(poisoned.errors) == [1]
    assert poisoned.results[1][[0, 2], 0].tolist() == [3, 2]


def spec(pooling: "types.Pooling.ValueType", count: int) -> pb.OutputSpec:
    array = np.tile(np.array([0, 0, 2], np.int32), (count, 1))
    return pb.OutputSpec(kind=pb.OUTPUT_KIND_SEGMENTS, pooling=pooling, segments=to_tensor(array))


@pytest.mark.parametrize(
    ("counts", "in_the_run"),
    [((1,), 1), ((MOST,), 1), ((MOST + 1,), 0), ((MOST, 1), 1), ((1, MOST, MOST - 1), 2)],
)
async def test_the_backend_says_how_many_it_pools(counts: Sequence[int], in_the_run: int) -> None:
    """What is beyond comes from hidden states; all outputs of a call count together."""
    async with serving() as (_, _, lane):
        widths = {"pooled.mean": 4, HIDDEN: 4}
        serves = Serving("toy@1", "arithmetic", "fp16")
        model = EncoderModel("toy", lane, MAX_LENGTH, widths, 100, 2, "mean", serves)
        specs = [spec(types.POOLING_MEAN, count) for count in counts]
        outputs = read_outputs(specs, model, np.array([2], np.int32), 1 << 14)
    kinds = {RangeRows: "pooled.mean", SegmentRows: HIDDEN}
    assert all(kinds[type(each.rows)] == each.source for each in outputs)
    assert sum(isinstance(each.rows, RangeRows) for each in outputs) == in_the_run


def test_a_backend_gives_ranges_after_the_sequences() -> None:
    executor, thread = GatedExecutor(), GpuThread()
    backend = PackedBackend(lambda: executor, thread, 0)
    batch = RaggedBatch(
        np.array([1, 2, 3, 4, 5], np.int32),
        None,
        np.array([2, 3], np.int32),
        np.array([[1, 1], [2, 4], [3, 4]], np.int32),
    )
    (mean,) = backend.run(batch, ["pooled.mean"])
    assert np.asarray(mean)[:, 0].tolist() == [1.5, 4, 2, 4, 4.5]
    backend.close()
    thread.close()


def test_regions_of_a_replay_are_those_recorded_whatever_is_pooled() -> None:
    """Ranges fill a bucket's; with more of them a batch takes a larger one."""
    executor, thread = GatedExecutor(), GpuThread()
    backend = PackedBackend(lambda: executor, thread, 0, slots=1)
    recorded: dict[int, tuple[Mapping[str, Region], Mapping[str, Region]]] = dict(executor.recorded)
    for count in (0, 31, 32, 500):
        ranges = np.zeros((count, 2), np.int32)
        batch = RaggedBatch(np.ones(4, np.int32), None, np.array([4], np.int32), ranges)
        (cls,) = backend.run(batch, ["pooled.cls"])
        assert np.asarray(cls)[:, 0].tolist() == [1] * (count + 1)
    assert [tokens for tokens, _, _ in executor.steps[-4:]] == [256, 256, 512, 4096]
    assert executor.recorded == recorded
    backend.close()
    thread.close()
