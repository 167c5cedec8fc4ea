"""GatewayService's classes, entities, rankings and several tasks at once over real gRPC."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import numpy as np
import pytest
import pytest_asyncio

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych.v1 import types_pb2 as types
from triptych_gateway.local_application import serving
from triptych_gateway.local_bundles import (
    local_bundle,
    local_cross_encoder,
    local_head,
    local_tagger,
)
from triptych_gateway.local_platform import LocalPlatform, token_vectors
from triptych_gateway.settings import GatewaySettings, Requests
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.status import from_rpc_error, from_status
from triptych_servicekit.tensors import DTYPES, from_tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOODS = ("bad", "good", "fine")
TRUNK = local_bundle(dimensions=16)
TAGGER = local_tagger(dimensions=8)
HEADS = [
    local_head("moods", MOODS, trunk=TRUNK),
    local_head("tones", MOODS, trunk=TAGGER, pooling="cls"),
]
LOCAL, TAG = types.ModelRef(name="local"), types.ModelRef(name="tagger")
STRICT = pb.TextOptions(truncation=tokenizer.TRUNCATION_ERROR)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub() -> AsyncIterator["rpc.GatewayServiceAsyncStub"]:
    platform = LocalPlatform([TRUNK, TAGGER, local_cross_encoder(dimensions=4)], HEADS)
    settings = GatewaySettings(requests=Requests(max_client_batch_size=4))
    async with (
        serving(platform, settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.GatewayServiceStub(channel)


def texts(*items: str) -> list[tokenizer.TokenizeInput]:
    return [tokenizer.TokenizeInput(text=item) for item in items]


def array(tensor: types.Tensor) -> np.ndarray:
    return from_tensor(tensor, "tensor", dtypes=DTYPES, dimensions=(1, 2))


def fields(errors: Any) -> dict[int, str | None]:
    return {error.index: from_status(error.status).field for error in errors}


async def test_classify(stub: "rpc.GatewayServiceAsyncStub") -> None:
    answer = await stub.Classify(
        pb.ClassifyRequest(
            model=LOCAL,
            inputs=texts("ab", "", "zz"),
            options=postprocess.ClassifyOptions(head="moods", top_k=2, raw_scores=True),
        )
    )
    assert list(answer.result.labels) == list(MOODS)
    ids, scores = array(answer.result.label_ids), array(answer.result.scores)
    for row, text in enumerate(("ab", "zz")):
        tokens = [1, *(ord(character) + 3 for character in text), 2]
        logits = token_vectors(tokens, 16).mean(axis=0)[:3]
        assert ids[row].tolist() == np.argsort(-logits)[:2].tolist()
        np.testing.assert_allclose(scores[row], np.sort(logits)[:0:-1], rtol=1e-6)
    assert fields(answer.errors) == {1: "inputs[1]"}
    assert array(answer.usage.kept_tokens).tolist() == [4, 0, 4]
    assert answer.model.name == "local"
    assert answer.timing.total.ToNanoseconds() > 0


async def test_a_head_by_its_digest_and_as_a_model(stub: "rpc.GatewayServiceAsyncStub") -> None:
    options = postprocess.ClassifyOptions(head=HEADS[0].digest)
    by_digest = await stub.Classify(
        pb.ClassifyRequest(model=LOCAL, inputs=texts("ab"), options=options)
    )
    for ref in (types.ModelRef(name="moods"), types.ModelRef(digest=HEADS[0].digest)):
        by_model = await stub.Classify(pb.ClassifyRequest(model=ref, inputs=texts("ab")))
        assert by_model.result == by_digest.result


async def test_tag(stub: "rpc.GatewayServiceAsyncStub") -> None:
    answer = await stub.TagTokens(
        pb.TagTokensRequest(
            model=TAG,
            inputs=texts("x" * 300, "ab 12", "", "東京1"),
            text=STRICT,
            options=postprocess.TagOptions(aggregation=postprocess.AGGREGATION_NONE),
        )
    )
    result = answer.result
    assert array(result.item_index).tolist() == [1, 1, 3, 3, 3]
    assert array(result.start).tolist() == [3, 4, 0, 1, 2]
    assert array(result.end).tolist() == [4, 5, 1, 2, 3]
    assert list(result.texts) == ["1", "2", "東", "京", "1"]
    labels = [result.labels[index] for index in array(result.label_id)]
    assert labels == ["I-NUM"] * 2 + ["I-WIDE"] * 2 + ["I-NUM"]
    assert len(array(result.score)) == 5
    assert fields(answer.errors) == {0: "inputs[0]", 2: "inputs[2]"}


@pytest.mark.parametrize("model", ["local", "cross"])
async def test_rank(stub: "rpc.GatewayServiceAsyncStub", model: str) -> None:
    request = pb.RankRequest(
        model=types.ModelRef(name=model),
        query="ab",
        documents=["zz", "", "ab", "b"],
        return_documents=True,
    )
    answer = await stub.Rank(request)
    index = array(answer.result.document_index).tolist()
    assert sorted(index) == [0, 2, 3]
    assert array(answer.result.query_index).tolist() == [0, 0, 0]
    scores = array(answer.result.score).tolist()
    assert scores == sorted(scores, reverse=True)
    assert list(answer.documents) == [request.documents[row] for row in index]
    assert fields(answer.errors) == {1: "documents[1]"}
    own = 0 if model == "cross" else 1
    assert array(answer.usage.kept_tokens)[own + 1] == 0
    assert len(array(answer.usage.kept_tokens)) == own + 4
    request.top_n = 1
    best = await stub.Rank(request)
    assert array(best.result.document_index).tolist() == index[:1]


async def test_analyze(stub: "rpc.GatewayServiceAsyncStub") -> None:
    tasks = [
        postprocess.AnalyzeTask(
            embed=postprocess.EmbedOptions(dtype=types.DATA_TYPE_UINT8), pooling=types.POOLING_CLS
        ),
        postprocess.AnalyzeTask(classify=postprocess.ClassifyOptions(head="tones")),
        postprocess.AnalyzeTask(tag=postprocess.TagOptions()),
    ]
    inputs = texts("", "é1", "x" * 300, "22")
    answer = await stub.Analyze(
        pb.AnalyzeRequest(model=TAG, inputs=inputs, text=STRICT, tasks=tasks)
    )
    embed, classify, tag = answer.results
    assert array(embed.embed.embeddings).dtype == np.uint8
    assert array(embed.embed.embeddings).shape == (2, 1)
    assert array(classify.classify.scores).shape == (2, 3)
    assert array(tag.tag.item_index).tolist() == [1, 1, 3]
    assert list(tag.tag.texts) == ["é", "1", "22"]
    assert fields(answer.errors) == {0: "inputs[0]", 2: "inputs[2]"}


async def test_when_all_items_fail_the_call_still_answers(
    stub: "rpc.GatewayServiceAsyncStub",
) -> None:
    classified = await stub.Classify(
        pb.ClassifyRequest(model=types.ModelRef(name="moods"), inputs=texts(""))
    )
    assert array(classified.result.scores).shape == (0, 3)
    tagged = await stub.TagTokens(pb.TagTokensRequest(model=TAG, inputs=texts("")))
    assert array(tagged.result.start).shape == (0,)
    ranked = await stub.Rank(pb.RankRequest(model=LOCAL, query="a", documents=[""]))
    assert array(ranked.result.score).shape == (0,)
    assert array(ranked.usage.total_tokens).tolist() == [0, 0]


async def test_models_and_heads(stub: "rpc.GatewayServiceAsyncStub") -> None:
    models = {
        model.model.name: model for model in (await stub.ListModels(pb.ListModelsRequest())).models
    }
    assert list(models["tagger"].token_labels) == ["O", "I-NUM", "I-WIDE"]
    assert list(models["cross"].labels) == ["relevance"]
    assert models["cross"].dimensions == 0
    assert list(models["moods"].labels) == list(MOODS)
    assert models["moods"].trunk.digest == TRUNK.digest


PAIR = tokenizer.TokenizeInput(pair=tokenizer.TextPair(first="a", second="b"))
SEVERAL = [postprocess.AnalyzeTask(embed=postprocess.EmbedOptions())] * 9


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Classify", pb.ClassifyRequest(model=LOCAL), "inputs"),
        ("Classify", pb.ClassifyRequest(model=LOCAL, inputs=texts("a")), "model"),
        (
            "Classify",
            pb.ClassifyRequest(
                model=LOCAL,
                inputs=texts("a"),
                options=postprocess.ClassifyOptions(head="tones"),
            ),
            "head",
        ),
        ("TagTokens", pb.TagTokensRequest(model=LOCAL, inputs=texts("a")), "model"),
        ("TagTokens", pb.TagTokensRequest(model=TAG, inputs=[PAIR]), "inputs[0]"),
        (
            "TagTokens",
            pb.TagTokensRequest(
                model=TAG, inputs=texts("a"), options=postprocess.TagOptions(head="other")
            ),
            "options.head",
        ),
        ("Rank", pb.RankRequest(model=LOCAL, query="a"), "documents"),
        ("Rank", pb.RankRequest(model=LOCAL, documents=["a"]), "query"),
        ("Rank", pb.RankRequest(model=LOCAL, query="a", documents=["a"] * 5), "documents"),
        ("Analyze", pb.AnalyzeRequest(model=LOCAL, inputs=texts("a")), "tasks"),
        ("Analyze", pb.AnalyzeRequest(model=LOCAL, inputs=texts("a"), tasks=SEVERAL), "tasks"),
        (
            "Analyze",
            pb.AnalyzeRequest(
                model=LOCAL, inputs=texts("a"), tasks=[*SEVERAL[:2], postprocess.AnalyzeTask()]
            ),
            "tasks[2]",
        ),
        (
            "Analyze",
            pb.AnalyzeRequest(
                model=TAG,
                inputs=[PAIR],
                tasks=[postprocess.AnalyzeTask(tag=postprocess.TagOptions())],
            ),
            "inputs[0]",
        ),
    ],
)
async def test_a_wrong_request_names_the_field(
    stub: "rpc.GatewayServiceAsyncStub", method: str, request_: Any, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub, method)(request_)
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgument)
    assert error.field == field
