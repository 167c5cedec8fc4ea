"""The way of a request through gathered stage calls, against stages in memory."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.unit.gathering.memory_stages import MemoryStages, array
from triptych.v1 import encoder_service_pb2 as enc
from triptych.v1 import postprocess_service_pb2 as post
from triptych.v1 import tokenizer_service_pb2 as tok
from triptych.v1 import types_pb2 as types
from triptych_bundles.manifest import TOKEN_LOGITS_OUTPUT, pooled_output
from triptych_gateway.admission import Admission
from triptych_gateway.calls import GrpcCalls
from triptych_gateway.entries import Window
from triptych_gateway.gather import Gatherer
from triptych_gateway.local_bundles import local_bundle, local_cross_encoder, local_head
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.pipeline import Pipeline
from triptych_gateway.retries import RetryBudget
from triptych_gateway.seams import StageSet
from triptych_gateway.settings import Gathering, Requests
from triptych_gateway.tasks import (
    ChosenHead,
    Classes,
    Classify,
    EmbedOptions,
    Entities,
    Origin,
    Ranking,
    RankOptions,
    TagOptions,
    Task,
    TextOptions,
)
from triptych_gateway.telemetry import GatewayMetrics
from triptych_servicekit.errors import InvalidArgument

MODEL = local_bundle(
    dimensions=2,
    max_length=100,
    outputs=(*map(pooled_output, ("cls", "mean")), TOKEN_LOGITS_OUTPUT),
    token_labels=("O", "I-NUM"),
    prompts={},
)
PROMPTED = local_bundle(dimensions=2, prompts={"query": "q", "passage": "p"})
CROSS = local_cross_encoder(dimensions=2)
MEAN = local_head("mean", ("only",), trunk=MODEL)
CLS = local_head("cls", ("only",), trunk=MODEL, pooling="cls")
CLASSIFY = Classify(ChosenHead(MEAN.head, MEAN.digest))
CLASSIFY_CLS = Classify(ChosenHead(CLS.head, CLS.digest))
TEXT = TextOptions()


@dataclass(eq=False)
class OneReplica:
    """The only replica of a stage."""

    stub: MemoryStages
    serving: bool = True
    calls: int = 0
    weight: int = 0
    turn: int = 0


@dataclass
class OnePool:
    """A pool of one."""

    replica: OneReplica

    def serving(self) -> Sequence[OneReplica]:
        return [self.replica]

    def suspect(self, replica: OneReplica) -> None:
        raise AssertionError("nothing fails here")


@dataclass
class Stage:
    """A stage without health."""

    gatherer: Gatherer

    async def submit(self, *work: Any) -> Any:
        return await self.gatherer.submit(*work)

    def replicas(self) -> int:
        return 1


@dataclass
class Platform:
    """A pipeline over stages in memory."""

    limits: Gathering = field(default_factory=Gathering)
    stages: MemoryStages = field(default_factory=MemoryStages)

    def __post_init__(self) -> None:
        admission = Admission(Requests(), lambda: False)
        stages = StageSet(*(self._stage(name) for name in ("tokenizer", "encoder", "postprocess")))
        self.pipeline = Pipeline(Catalog([MODEL]), stages, GrpcCalls(), admission, self.limits)

    def _stage(self, name: str) -> Stage:
        window, metrics = Window(1, 10_000, 10_000), GatewayMetrics().stage(name)
        pool = OnePool(OneReplica(self.stages))
        return Stage(Gatherer(pool, window, RetryBudget(0.1, 1), metrics))

    async def analyze(self, inputs: Sequence[Any], *tasks: Task) -> Any:
        return await self.pipeline.analyze(MODEL, inputs, TEXT, tasks, origin())

    async def rank(
        self, documents: Sequence[str], head: ChosenHead | None = None, top_n: int = 0,
        query: str = "q", model: Any = MODEL,
    ) -> Any:  # fmt: skip
        ranking = Ranking(query, documents, RankOptions(top_n))
        return await self.pipeline.rank(model, head, ranking, TEXT, origin())


def origin() -> Origin:
    return Origin(time.monotonic() + 60, "request")


def code(text: str) -> int:
    return sum(map(ord, text))


def entities(result: Any) -> list[tuple[int, int, int]]:
    assert isinstance(result, Entities)
    columns = (result.item_index, result.start, result.end)
    return list(zip(*(column.tolist() for column in columns), strict=True))


async def test_one_pass_has_each_output_once() -> None:
    platform = Platform()
    found = await platform.analyze(
        ["a1", "b"], EmbedOptions(), CLASSIFY, TagOptions(), CLASSIFY_CLS, EmbedOptions("cls")
    )
    (encoded,) = platform.stages.of(enc.EncodeRequest)
    assert [(spec.kind, spec.pooling) for spec in encoded.outputs] == [
        (enc.OUTPUT_KIND_POOLED, types.POOLING_MEAN),
        (enc.OUTPUT_KIND_TOKEN_LOGITS, types.POOLING_UNSPECIFIED),
        (enc.OUTPUT_KIND_POOLED, types.POOLING_CLS),
    ]
    (analyzed,) = platform.stages.of(post.PostprocessServiceAnalyzeRequest)
    assert [task.input_index for task in analyzed.tasks] == [0, 0, 1, 2, 2]
    embedded, classes, tags, classes_cls, embedded_cls = found.results
    assert embedded.tolist() == [[code("a1"), 2], [code("b"), 2]]
    assert embedded_cls.tolist() == [[code("a1"), 1], [code("b"), 1]]
    assert (classes.labels, classes_cls.labels) == ((MEAN.digest,), (CLS.digest,))
    assert classes.scores.tolist() == [[code("a1")], [code("b")]]
    assert entities(tags) == [(0, 1, 2)]


async def test_a_single_task_uses_its_own_method() -> None:
    platform = Platform()
    for task in (EmbedOptions("cls"), CLASSIFY, TagOptions("max", ())):
        await platform.analyze(["a1"], task)
    sent = [type(request).__name__ for request in platform.stages.requests]
    assert [name for name in sent if name.startswith("Postprocess")] == [
        "PostprocessServiceEmbedRequest",
        "PostprocessServiceClassifyRequest",
        "PostprocessServiceTagTokensRequest",
    ]  # fmt: skip
    (tagged,) = platform.stages.of(post.PostprocessServiceTagTokensRequest)
    assert tagged.options.aggregation == post.AGGREGATION_MAX
    assert list(tagged.options.ignore_labels) == [""], "an empty list would be the default"
    assert not tagged.sequences.HasField("input_ids")
    asked = [request.options for request in platform.stages.of(tok.TokenizeRequest)]
    assert [options.include_offsets for options in asked] == [False, False, True]
    assert [options.include_word_ids for options in asked] == [False, False, True]
    layouts = [request.sequences for request in platform.stages.of(enc.EncodeRequest)]
    assert not any(sequences.HasField("offsets") for sequences in layouts)


async def test_equal_requests_share_calls_and_get_their_own_parts() -> None:
    platform = Platform()
    tasks = (EmbedOptions(), TagOptions(), CLASSIFY)
    requests = [["1a", "!"], ["x" * 101, "b22"], ["c"], ["?", "3"]]
    answers = await asyncio.gather(*(platform.analyze(texts, *tasks) for texts in requests))
    assert len(platform.stages.of(enc.EncodeRequest)) == 1
    assert len(platform.stages.of(post.PostprocessServiceAnalyzeRequest)) == 1
    assert [list(answer.errors) for answer in answers] == [[1], [0], [], [0]]
    assert [entities(answer.results[1]) for answer in answers] == [
        [(0, 0, 1)],
        [(1, 1, 2), (1, 2, 3)],
        [],
        [(1, 0, 1)],
    ]
    for answer, text in zip(answers, ("1a", "b22", "c", "3"), strict=True):
        embedded, _, classes = answer.results
        assert embedded[:, 0].tolist() == classes.scores[:, 0].tolist() == [code(text)]


async def test_requests_that_differ_do_not_share_a_call() -> None:
    platform = Platform()
    await asyncio.gather(
        platform.analyze(["a"], EmbedOptions()),
        platform.analyze(["a"], EmbedOptions("cls")),
        platform.analyze(["a"], EmbedOptions(), CLASSIFY),
    )
    assert len(platform.stages.of(enc.EncodeRequest)) == 2, "the same output is the same call"
    assert len(platform.stages.of(post.PostprocessServiceAnalyzeRequest)) == 1


def test_what_follows_pooling_is_the_same_for_every_pooling() -> None:
    calls = GrpcCalls()
    assert calls.answer(MODEL, [EmbedOptions("cls")], [0]) == calls.answer(
        MODEL, [EmbedOptions()], [0]
    )
    assert calls.answer(MODEL, [CLASSIFY], [0]) != calls.answer(MODEL, [CLASSIFY_CLS], [0])


async def test_chunks_are_joined_in_order_with_their_errors() -> None:
    platform = Platform(Gathering(max_call_tokens=200))
    inputs = ["1", "!", "?", "a2", "x" * 101, "33", "!", "x" * 101, "4"]
    found = await platform.analyze(inputs, EmbedOptions(), TagOptions(), CLASSIFY)
    (tokenized,) = platform.stages.of(tok.TokenizeRequest)
    assert [context.item_count for context in tokenized.contexts] == [2, 2, 2, 2, 1]
    assert sorted(found.errors) == [1, 2, 4, 6, 7]
    embedded, tags, classes = found.results
    good = [code("1"), code("a2"), code("33"), code("4")]
    assert embedded[:, 0].tolist() == good
    assert classes.scores[:, 0].tolist() == good
    assert entities(tags) == [(0, 0, 1), (3, 1, 2), (5, 0, 1), (5, 1, 2), (8, 0, 1)]
    assert found.usage.kept_tokens.tolist() == [1, 0, 0, 2, 0, 2, 0, 0, 1]
    assert found.usage.total_tokens.tolist() == list(map(len, inputs))


async def test_an_item_that_the_encoder_drops_takes_its_tokens_along() -> None:
    platform = Platform()
    found = await platform.analyze(["1", "22!", "a3"], TagOptions())
    assert entities(found.results[0]) == [(0, 0, 1), (2, 1, 2)]
    (sent,) = platform.stages.of(post.PostprocessServiceTagTokensRequest)
    assert array(sent.sequences.lengths).tolist() == [1, 2]
    assert array(sent.logits).shape == (3, 2)


async def test_nothing_is_asked_about_items_that_have_all_failed() -> None:
    platform = Platform()
    found = await platform.analyze(["!", "x" * 101], EmbedOptions(dtype="int8"), CLASSIFY)
    assert not platform.stages.of(post.PostprocessServiceAnalyzeRequest)
    embedded, classes = found.results
    assert (embedded.shape, embedded.dtype) == ((0, 2), np.int8)
    assert isinstance(classes, Classes)
    assert classes.scores.shape == (0, 1)


async def test_ranking_by_vectors_is_one_call_however_many_chunks() -> None:
    platform = Platform(Gathering(max_call_tokens=200))
    documents = ["a", "!", "c", "x" * 101, "b"]
    found = await platform.rank(documents, query="1")
    assert found.document_index.tolist() == [2, 4, 0]
    assert found.scores.tolist() == [code(text) + code("1") for text in ("c", "b", "a")]
    assert list(found.errors) == [1, 3]
    assert found.usage.kept_tokens.tolist() == [1, 1, 0, 1, 0, 1]
    assert len(platform.stages.of(post.PostprocessServiceRankRequest)) == 1
    asked = [item.text for r in platform.stages.of(tok.TokenizeRequest) for item in r.inputs]
    assert asked.count("1") == 1, "the query is encoded once"


async def test_equal_rankings_share_a_call() -> None:
    platform = Platform()
    found = await asyncio.gather(
        platform.rank(["a", "c", "b"], top_n=2, query="1"),
        platform.rank(["!"], top_n=2),
        platform.rank(["z", "y"], top_n=2, query="2"),
    )
    assert [ranked.document_index.tolist() for ranked in found] == [[1, 2], [], [0, 1]]
    assert found[2].scores.tolist() == [code("z2"), code("y2")]
    (sent,) = platform.stages.of(post.PostprocessServiceRankRequest)
    assert array(sent.document_counts).tolist() == [3, 2]


async def test_a_cross_encoder_reads_pairs() -> None:
    platform = Platform()
    assert CROSS.head is not None
    found = await platform.rank(["a", "!", "c"], ChosenHead(CROSS.head), model=CROSS)
    assert found.document_index.tolist() == [2, 0]
    assert found.scores.tolist() == [code("qc"), code("qa")]
    assert found.usage.kept_tokens.tolist() == [2, 0, 2]
    (encoded,) = platform.stages.of(enc.EncodeRequest)
    assert [spec.kind for spec in encoded.outputs] == [enc.OUTPUT_KIND_LOGITS]
    (sent,) = platform.stages.of(post.PostprocessServiceRankRequest)
    assert (sent.head, sent.HasField("query_vectors")) == ("", False)
    asked = [item.pair for r in platform.stages.of(tok.TokenizeRequest) for item in r.inputs]
    assert [pair.first for pair in asked] == ["q"] * 3


async def test_query_and_documents_get_their_prompts() -> None:
    platform = Platform()
    await platform.rank(["a"], model=PROMPTED)
    asked = {
        r.inputs[0].text: r.options.prompt_name for r in platform.stages.of(tok.TokenizeRequest)
    }
    assert asked == {"q": "query", "a": "passage"}


async def test_the_querys_error_is_the_requests() -> None:
    for query in ("!", "x" * 101):
        with pytest.raises(InvalidArgument) as caught:
            await Platform().rank(["a"], query=query)
        assert caught.value.field == "query"
        assert caught.value.message == "query is bad"
