import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pytest

from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.guard import Guard
from triptych_gateway.local_bundles import (
    local_bundle,
    local_cross_encoder,
    local_head,
    local_tagger,
)
from triptych_gateway.local_platform import LocalPlatform
from triptych_gateway.models.router import Router
from triptych_gateway.models.target import Target
from triptych_gateway.pairs import distinct_texts
from triptych_gateway.tasks import (
    ClassifyOptions,
    EmbedOptions,
    Origin,
    Pair,
    Ranking,
    RankOptions,
    TagOptions,
    TaskOptions,
    TextOptions,
    TokenIds,
)
from triptych_servicekit.errors import InvalidArgument, Unavailable

T = TypeVar("T")
MODEL = local_bundle(dimensions=8)
TARGET = Target(MODEL)
INPUTS = Names("inputs[{}]")
ORIGIN = Origin(time.monotonic() + 600, "test")
STRICT = TextOptions("error", max_length=6)


@dataclass(frozen=True, slots=True)
class Elsewhere(Router):
    """Has another target answer, as when a stage does not hold the one that was meant."""

    other: Target

    async def run(self, target: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        return await ask(self.other)


@pytest.fixture
def platform() -> LocalPlatform:
    return LocalPlatform([MODEL])


@pytest.fixture
def guard(platform: LocalPlatform) -> Guard:
    return Guard(platform, Bounds(max_inputs=10, max_characters=20))


async def test_errors_of_both_sides_keep_their_places(guard: Guard) -> None:
    inputs = ["", "toolong", "ab", "", "toolong", "cd"]
    found = await guard.embed(TARGET, inputs, INPUTS, STRICT, EmbedOptions(), ORIGIN)
    assert list(found.errors) == [0, 1, 3, 4]
    assert [error.field for error in found.errors.values()] == [
        f"inputs[{index}]" for index in (0, 1, 3, 4)
    ]
    assert found.embeddings.shape == (2, 8)
    assert found.usage.total_tokens.tolist() == [0, 9, 4, 0, 9, 4]
    assert found.usage.kept_tokens.tolist() == [0, 0, 4, 0, 0, 4]


async def test_the_stages_name_of_an_item_becomes_the_requests(guard: Guard) -> None:
    inputs = ["ab", "toolong"]
    found = await guard.embed(TARGET, inputs, INPUTS, STRICT, EmbedOptions(), ORIGIN)
    assert found.errors[1].message == "inputs[1] has 9 tokens, the maximum is 6"
    assert found.errors[1].reason == "INPUT_TOO_LONG"


@pytest.mark.parametrize("inputs", [["ab", ""], ["ab", "toolong"]])
async def test_all_or_none(guard: Guard, inputs: list[str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await guard.embed(TARGET, inputs, INPUTS, STRICT, EmbedOptions(), ORIGIN, all_or_none=True)
    assert caught.value.field == "inputs[1]"


async def test_without_good_items_nobody_is_asked(guard: Guard, platform: LocalPlatform) -> None:
    platform.problems.append("asking would raise")
    text, options = TextOptions(), EmbedOptions(dimensions=4)
    embedded = await guard.embed(TARGET, [""], INPUTS, text, options, ORIGIN)
    assert embedded.embeddings.shape == (0, 4)
    similar = await guard.similarity(TARGET, [Pair("", "a")], INPUTS, text, ORIGIN)
    assert similar.usage.kept_tokens.tolist() == [0, 0]
    assert list((await guard.tokenize(TARGET, [""], INPUTS, text, ORIGIN)).errors) == [0]
    empty = await guard.detokenize(TARGET, [TokenIds([])], INPUTS, True, ORIGIN)
    assert empty.texts == [""]


async def test_similarity_counts_texts_once(guard: Guard) -> None:
    pairs = [Pair("ab", ""), Pair("x", "ab"), Pair("x", "x")]
    found = await guard.similarity(TARGET, pairs, INPUTS, TextOptions(), ORIGIN)
    assert distinct_texts(pairs) == ["ab", "", "x"]
    assert found.usage.kept_tokens.tolist() == [4, 0, 3]
    assert found.errors[0].field == "inputs[0].second"
    np.testing.assert_allclose(found.scores[1], 1, rtol=1e-6)


async def test_detokenize_keeps_the_order(guard: Guard) -> None:
    sequences = [TokenIds([100]), TokenIds([-1]), TokenIds([101])]
    found = await guard.detokenize(TARGET, sequences, Names("input_ids[{}]"), False, ORIGIN)
    assert found.texts == ["a", "", "b"]
    assert found.errors[1].field == "input_ids[1]"


async def test_errors_of_the_whole_pass_through(guard: Guard, platform: LocalPlatform) -> None:
    platform.problems.append("stopping")
    with pytest.raises(Unavailable):
        await guard.tokenize(TARGET, ["a"], INPUTS, TextOptions(), ORIGIN)


async def test_what_is_asked_is_made_ready_for_whoever_answers() -> None:
    meant, other = local_tagger("meant", dimensions=8), local_tagger("other", dimensions=4)
    heads = [
        local_head("moods", ("bad", "good"), trunk=meant),
        local_head("moods", ("no", "yes", "so"), "2", trunk=other),
    ]
    platform = LocalPlatform([meant, other], heads)
    guard = Guard(platform, Bounds(10, 20), Elsewhere(Target(other)))
    target, text = Target(meant), TextOptions()
    options = ClassifyOptions("moods")
    classified = await guard.classify(target, ["ab"], INPUTS, text, options, ORIGIN)
    assert classified.model is other
    assert classified.classes.labels == ("no", "yes", "so")
    several: list[TaskOptions] = [options, EmbedOptions(), TagOptions()]
    analyzed = await guard.analyze(target, ["a1"], INPUTS, text, several, ORIGIN)
    assert np.asarray(analyzed.results[1]).shape == (1, 4)


async def test_ranking_counts_the_query_before_refused_documents(guard: Guard) -> None:
    documents = ["", "ab", "x" * 21, "abc"]
    ranking = Ranking("ab", documents, RankOptions())
    found = await guard.rank(TARGET, ranking, Names("documents[{}]"), TextOptions(), ORIGIN)
    assert sorted(found.document_index.tolist()) == [1, 3]
    assert list(found.errors) == [0, 2]
    assert found.usage.kept_tokens.tolist() == [11, 0, 4, 0, 5]


async def test_what_a_cross_encoder_reads_of_a_query_is_bounded(platform: LocalPlatform) -> None:
    judge = local_cross_encoder(dimensions=8)
    bounds = Bounds(10, 20, max_query_characters=8)
    guard = Guard(LocalPlatform([judge, MODEL]), bounds)
    names, text = Names("documents[{}]"), TextOptions()
    with pytest.raises(InvalidArgument) as caught:
        await guard.rank(Target(judge), Ranking("abc", ["a"] * 3), names, text, ORIGIN)
    assert (caught.value.field, caught.value.reason) == ("query", "INPUT_TOO_LARGE")
    assert caught.value.message.startswith("query has 3 characters")
    await guard.rank(Target(judge), Ranking("abcd", ["a"] * 2), names, text, ORIGIN)
    # compared by vectors, a query is encoded once
    await guard.rank(TARGET, Ranking("abc", ["a"] * 3), names, text, ORIGIN)


async def test_entities_count_the_inputs_of_the_request() -> None:
    tagger = local_tagger(dimensions=8)
    guard = Guard(LocalPlatform([tagger]), Bounds(10, 20))
    found = await guard.tag(
        Target(tagger), ["", "a1", "x" * 21, "é"], INPUTS, TextOptions(), TagOptions(), ORIGIN
    )
    assert found.entities.item_index.tolist() == [1, 3]
    assert list(found.entities.texts) == ["1", "é"]


async def test_scores_of_all_tasks_together_are_bounded() -> None:
    tagger = local_tagger(dimensions=8)
    platform = LocalPlatform([tagger], [local_head("moods", ("bad", "good"), trunk=tagger)])
    guard = Guard(platform, Bounds(10, 20, max_scores=8))
    tasks: list[TaskOptions] = [ClassifyOptions("moods"), TagOptions()]
    with pytest.raises(InvalidArgument) as caught:
        await guard.analyze(Target(tagger), ["ab"], INPUTS, TextOptions(), tasks, ORIGIN)
    assert (caught.value.field, caught.value.reason) == ("inputs", "OUTPUT_TOO_LARGE")
    assert "up to 10 scores" in caught.value.message
    await guard.analyze(Target(tagger), ["a"], INPUTS, TextOptions(), tasks, ORIGIN)
