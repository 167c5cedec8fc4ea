"""Inputs in windows, on their way through stages in memory: characters are tokens."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.gathering.memory_stages import array
from tests.unit.gathering.test_pipeline import CLASSIFY, MODEL, Platform, code, entities, origin
from triptych.v1 import encoder_service_pb2 as enc
from triptych.v1 import postprocess_service_pb2 as post
from triptych.v1 import tokenizer_service_pb2 as tok
from triptych_bundles.manifest import HIDDEN_OUTPUT
from triptych_gateway.settings import Gathering
from triptych_gateway.tasks import (
    Classes,
    EmbedOptions,
    TagOptions,
    Task,
    TextOptions,
    WindowOptions,
)
from triptych_servicekit.errors import InvalidArgument

LATE = replace(MODEL, outputs=(*MODEL.outputs, HIDDEN_OUTPUT))
DIGITS = "".join(str(number % 10) for number in range(10))
SMALL = Gathering(call_tokens=64)


def text(stride: int | None = 0, length: int = 10, **limits: int) -> TextOptions:
    return TextOptions(max_length=length, windows=WindowOptions(stride, **limits))


async def analyze(
    platform: Platform, inputs: Sequence[Any], options: TextOptions, *tasks: Task
) -> Any:
    return await platform.pipeline.analyze(MODEL, inputs, options, tasks, origin())


async def test_windows_are_one_input_again() -> None:
    platform = Platform()
    inputs = ["a1" * 25, "b", "c" * 11]
    tasks = (EmbedOptions(), TagOptions(), CLASSIFY)
    found = await analyze(platform, inputs, text(), *tasks)
    embedded, tags, classes = found.results
    assert embedded[:, 0].tolist() == [code(one) for one in inputs]
    assert isinstance(classes, Classes)
    assert classes.scores[:, 0].tolist() == [code(one) for one in inputs]
    assert entities(tags) == [(0, place, place + 1) for place in range(1, 50, 2)]
    (sent,) = platform.stages.of(post.PostprocessServiceAnalyzeRequest)
    assert array(sent.sequences.item_index).tolist() == [0] * 5 + [1, 2, 2]
    assert array(sent.sequences.window_start).tolist() == [0, 10, 20, 30, 40, 0, 0, 10]
    assert [context.item_count for context in sent.contexts] == [3]


async def test_what_windows_share_is_paid_twice() -> None:
    platform = Platform()
    found = await analyze(platform, ["x" * 26, "y"], text(stride=2), EmbedOptions())
    assert found.usage.total_tokens.tolist() == [26, 1]
    assert found.usage.kept_tokens.tolist() == [30, 1]
    assert not found.usage.truncated.any()


@pytest.mark.parametrize("length", [10, 100])
async def test_no_call_exceeds_its_limits(length: int) -> None:
    platform = Platform(SMALL)
    inputs = ["x" * 3000, "y" * 40, "z" * 500]
    found = await analyze(platform, inputs, text(length=length), EmbedOptions())
    assert found.results[0][:, 0].tolist() == [code(one) for one in inputs]
    sizes = [array(sent.sequences.lengths) for sent in platform.stages.of(enc.EncodeRequest)]
    assert sum(size.sum() for size in sizes) == 3540
    # the two portions that are on their way share a call, since only one call is allowed here
    assert max(size.sum() for size in sizes) <= 2 * max(32, length)


async def test_an_input_fails_with_any_of_its_windows_and_alone() -> None:
    platform = Platform(SMALL)
    inputs = ["1" * 25, "2" * 95 + "!" + "2" * 50, "3" * 30, "!"]
    found = await analyze(platform, inputs, text(), EmbedOptions(), TagOptions())
    assert sorted(found.errors) == [1, 3]
    embedded, tags = found.results
    assert embedded[:, 0].tolist() == [code(inputs[0]), code(inputs[2])]
    assert {item for item, _, _ in entities(tags)} == {0, 2}
    assert found.usage.kept_tokens.tolist() == [25, 0, 30, 0]


async def test_inputs_that_need_too_many_windows_fail_alone() -> None:
    platform = Platform()
    options = text(max_windows=3)
    found = await analyze(platform, ["x" * 31, "1" * 30], options, TagOptions())
    assert list(found.errors) == [0]
    assert len(entities(found.results[0])) == 30
    (sent,) = platform.stages.of(tok.TokenizeRequest)
    assert sent.options.max_windows == 3


async def test_the_windows_of_a_request_are_bounded() -> None:
    options = text(max_request_windows=9)
    inputs = ["x" * 50, "y" * 40]
    assert not (await analyze(Platform(), inputs, options, EmbedOptions())).errors
    with pytest.raises(InvalidArgument, match="more than 9 windows"):
        await analyze(Platform(), [*inputs, "z"], options, EmbedOptions())


async def test_all_may_fail() -> None:
    found = await analyze(Platform(), ["!", "!" * 99], text(), EmbedOptions(), CLASSIFY)
    assert sorted(found.errors) == [0, 1]
    assert found.results[0].shape == (0, 2)


async def test_documents_share_calls_with_each_other() -> None:
    platform = Platform()
    answers = await asyncio.gather(
        *(analyze(platform, [f"{n}" * 35, "b"], text(), EmbedOptions()) for n in range(4))
    )
    for number, found in enumerate(answers):
        assert found.results[0][:, 0].tolist() == [code(f"{number}" * 35), code("b")]
    for kind in (tok.TokenizeRequest, enc.EncodeRequest, post.PostprocessServiceAnalyzeRequest):
        assert len(platform.stages.of(kind)) < 4


async def test_the_windows_are_an_eighth_apart_where_nothing_else_is_said() -> None:
    platform = Platform()
    await analyze(platform, ["x"], TextOptions(windows=WindowOptions()), EmbedOptions())
    (sent,) = platform.stages.of(tok.TokenizeRequest)
    assert (sent.options.max_length, sent.options.stride) == (100, 12)
    assert sent.options.truncation == tok.TRUNCATION_WINDOW


async def pieces(platform: Platform, inputs: Sequence[str], late: bool, stride: int = 0) -> Any:
    return await platform.pipeline.pieces(
        LATE, inputs, text(stride), EmbedOptions(), late, origin()
    )


@pytest.mark.parametrize("late", [False, True])
async def test_pieces_of_texts(late: bool) -> None:
    platform = Platform(SMALL)
    inputs = ["abcdefghijklm", "n", "x" * 101, DIGITS * 10]
    found = await pieces(platform, inputs, late, stride=3)
    made = found.pieces
    table = list(zip(made.item_index.tolist(), made.start.tolist(), made.end.tolist(), strict=True))
    expected = [
        (item, start, min(start + 10, len(one)))
        for item, one in enumerate(inputs)
        for start in range(0, max(1, len(one) - 3), 7)
    ]
    assert table == expected
    assert found.embeddings[:, 0].tolist() == [code(inputs[i][at:to]) for i, at, to in expected]
    # a text of more than 100 characters is not read as a whole
    assert made.late.tolist() == [late and item != 2 for item, _, _ in expected]
    passes = [sum(to - at for i, at, to in expected if i == item) for item in range(4)]
    if late:
        passes = [13, 1, passes[2], 100]
    assert found.usage.kept_tokens.tolist() == passes


@pytest.mark.parametrize("late", [False, True])
async def test_pieces_fail_with_their_text(late: bool) -> None:
    inputs = ["a" * 15, "b" * 15 + "!", "c" * 12 + "?" + "c" * 9, "d", "!" * 200]
    found = await pieces(Platform(SMALL), inputs, late)
    assert sorted(found.errors) == [1, 2, 4]
    assert found.pieces.item_index.tolist() == [0, 0, 3]
    assert found.embeddings[:, 0].tolist() == [code("a" * 10), code("a" * 5), code("d")]
    assert found.usage.kept_tokens.tolist() == [15, 0, 0, 1, 0]


@pytest.mark.parametrize("late", [False, True])
async def test_of_texts_that_fail_there_are_no_pieces(late: bool) -> None:
    found = await pieces(Platform(), ["!", "?"], late)
    assert sorted(found.errors) == [0, 1]
    assert len(found.embeddings) == len(found.pieces.item_index) == 0


async def test_late_pieces_need_vectors_of_tokens() -> None:
    found = await Platform().pipeline.pieces(
        MODEL, ["a" * 15], text(), EmbedOptions(), True, origin()
    )
    assert found.pieces.late.tolist() == [False, False]


async def test_a_stride_without_room_is_refused_for_late_pieces_too() -> None:
    with pytest.raises(InvalidArgument, match="stride must be below 10"):
        await pieces(Platform(), ["a" * 15], True, stride=10)
