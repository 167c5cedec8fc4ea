"""Texts longer than the model over a real HTTP server and real gRPC, by arithmetic."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import httpx
import numpy as np
import pytest
import pytest_asyncio

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych.v1 import types_pb2 as types
from triptych_gateway.local_application import serving
from triptych_gateway.local_bundles import local_bundle, local_head, local_tagger
from triptych_gateway.local_platform import LocalPlatform, token_vectors
from triptych_gateway.local_tokens import END, SPECIAL, START
from triptych_gateway.settings import GatewaySettings, Requests
from triptych_servicekit.tensors import DTYPES, from_tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIMENSIONS = 16
TEXT = "the year 1900 was é long"
WINDOWS = tokenizer.TRUNCATION_WINDOW


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edges() -> AsyncIterator[tuple[httpx.AsyncClient, "rpc.GatewayServiceAsyncStub"]]:
    trunk, tagger = local_bundle(dimensions=DIMENSIONS), local_tagger(dimensions=8)
    head = local_head("moods", ("bad", "good", "fine"), trunk=trunk)
    settings = GatewaySettings(requests=Requests(max_windows=20))
    async with (
        serving(LocalPlatform([trunk, tagger], [head]), settings) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}") as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield client, rpc.GatewayServiceStub(channel)


async def ask(client: httpx.AsyncClient, task: str, **body: Any) -> Any:
    answer = await client.post(f"/api/v1/{task}", json={"windows": True, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def pooled(text: str) -> np.ndarray:
    ids = [START, *(ord(character) + SPECIAL for character in text), END]
    vector: np.ndarray = token_vectors(ids, DIMENSIONS).mean(axis=0)
    return vector


def items(*texts: str) -> list[tokenizer.TokenizeInput]:
    return [tokenizer.TokenizeInput(text=text) for text in texts]


def array(tensor: types.Tensor) -> np.ndarray:
    return from_tensor(tensor, "tensor", dtypes=DTYPES, dimensions=(1, 2))


async def test_embeddings(edges: Any) -> None:
    client, stub = edges
    options: dict[str, Any] = {"max_length": 10, "stride": 2}
    found = await ask(client, "embed", model="local", inputs=[TEXT, ""], normalize=False, **options)
    windows = [TEXT[start : start + 8] for start in (0, 6, 12, 18)]
    mean = np.average(
        [pooled(one) for one in windows], axis=0, weights=[len(one) + 2 for one in windows]
    )
    entry, failed = found["data"]
    assert entry["embedding"] == pytest.approx(mean, abs=1e-5)
    assert failed["error"]["code"] == "empty_input"
    assert "truncated" not in entry
    assert found["usage"]["prompt_tokens"] == sum(len(one) + 2 for one in windows)
    request = pb.EmbedRequest(
        model=types.ModelRef(name="local"),
        inputs=items(TEXT),
        text=pb.TextOptions(truncation=WINDOWS, **options),
        options=postprocess.EmbedOptions(normalize=False),
    )
    answer = await stub.Embed(request)
    assert array(answer.result.embeddings)[0] == pytest.approx(mean, abs=1e-5)
    openai = {"model": "local", "input": TEXT, "windows": True, **options}
    (entry,) = (await client.post("/v1/embeddings", json=openai)).json()["data"]
    assert entry["embedding"] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


@pytest.mark.parametrize("way", ["mean", "max"])
async def test_classes(edges: Any, way: str) -> None:
    client, stub = edges
    options: dict[str, Any] = {"max_length": 14, "stride": 0}
    body = {"head": "moods", "window_scores": way, "raw_scores": True}
    found = await ask(client, "classify", model="local", inputs=TEXT, **options, **body)
    logits = np.stack([pooled(TEXT[:12])[:3], pooled(TEXT[12:])[:3]])
    expected = logits.max(axis=0) if way == "max" else logits.mean(axis=0)
    scores = {label["label"]: label["score"] for label in found["data"][0]["labels"]}
    made = [scores[name] for name in ("bad", "good", "fine")]
    assert made == pytest.approx(expected, abs=1e-5)
    request = pb.ClassifyRequest(
        model=types.ModelRef(name="local"),
        inputs=items(TEXT),
        text=pb.TextOptions(truncation=WINDOWS, **options),
        options=postprocess.ClassifyOptions(
            head="moods", raw_scores=True,
            window_aggregation=getattr(postprocess, f"WINDOW_AGGREGATION_{way.upper()}"),
        ),
    )  # fmt: skip
    answer = await stub.Classify(request)
    assert array(answer.result.scores)[0] == pytest.approx(sorted(expected)[::-1], abs=1e-5)


async def test_entities(edges: Any) -> None:
    client, stub = edges
    found = await ask(client, "tag", model="tagger", inputs=["x" * 300 + TEXT], max_length=100)
    (entry,) = found["data"]
    assert [one["text"] for one in entry["entities"]] == ["1900", "é"]
    assert entry["entities"][0]["start"] == 309
    request = pb.TagTokensRequest(
        model=types.ModelRef(name="tagger"),
        inputs=items("x" * 300 + TEXT),
        text=pb.TextOptions(truncation=WINDOWS),
    )
    assert list((await stub.TagTokens(request)).result.texts) == ["1900", "é"]


async def test_several_tasks(edges: Any) -> None:
    client, _ = edges
    tasks = [
        {"type": "embed", "dimensions": 2},
        {"type": "classify", "head": "moods", "window_scores": "max"},
    ]
    found = await ask(client, "analyze", model="local", inputs=["x" * 500], tasks=tasks)
    embedded, classes = found["data"][0]["results"]
    assert len(embedded["embedding"]) == 2
    assert len(classes["labels"]) == 3


@pytest.mark.parametrize("chunks", ["window", "late"])
async def test_chunks(edges: Any, chunks: str) -> None:
    client, stub = edges
    inputs = [TEXT, "", "x" * 300]
    options: dict[str, Any] = {"max_length": 102, "stride": 10}
    body = {"inputs": inputs, "normalize": False, "chunks": chunks, **options}
    first, failed, long = (await ask(client, "embed", model="local", **body))["data"]
    assert failed["error"]["param"] == "inputs[1]"
    assert (first["chunking"], long["chunking"]) == (chunks, "window")
    (chunk,) = first["chunks"]
    ids = [ord(character) + SPECIAL for character in TEXT]
    bare = token_vectors(ids, DIMENSIONS).mean(axis=0)
    assert chunk["embedding"] == pytest.approx(bare if chunks == "late" else pooled(TEXT), abs=1e-4)
    assert [(one["start"], one["end"]) for one in long["chunks"]] == [
        (0, 100), (90, 190), (180, 280), (270, 300),
    ]  # fmt: skip
    request = pb.EmbedRequest(
        model=types.ModelRef(name="local"),
        inputs=items(*inputs),
        text=pb.TextOptions(**options),
        options=postprocess.EmbedOptions(normalize=False),
        chunking=pb.CHUNKING_LATE if chunks == "late" else pb.CHUNKING_WINDOW,
    )
    answer = await stub.Embed(request)
    assert array(answer.chunks.item_index).tolist() == [0, 2, 2, 2, 2]
    assert array(answer.chunks.start).tolist() == [0, 0, 90, 180, 270]
    assert array(answer.chunks.end).tolist() == [len(TEXT), 100, 190, 280, 300]
    assert array(answer.chunks.late).tolist() == [int(chunks == "late"), 0, 0, 0, 0]
    assert array(answer.result.embeddings)[0] == pytest.approx(chunk["embedding"], abs=1e-5)
    assert [error.index for error in answer.errors] == [1]


async def test_what_needs_too_many_windows_fails_alone(edges: Any) -> None:
    client, _ = edges
    found = await ask(client, "embed", model="local", inputs=["x" * 300, "y"], max_length=16)
    codes = [entry.get("error", {}).get("code") for entry in found["data"]]
    assert codes == ["too_many_windows", None]


async def test_other_routes_know_nothing_of_windows(edges: Any) -> None:
    client, stub = edges
    body = {"model": "local", "source": "a", "targets": ["b"], "windows": True}
    answer = await client.post("/api/v1/similarity", json=body)
    assert answer.json()["error"]["code"] == "unknown_field"
    text = pb.TextOptions(truncation=WINDOWS)
    for call in (
        stub.Similarity(pb.SimilarityRequest(pairs=[tokenizer.TextPair()], text=text)),
        stub.Rank(pb.RankRequest(query="a", documents=["b"], text=text)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_description_has_the_options(edges: Any) -> None:
    client, _ = edges
    paths = (await client.get("/openapi.json")).json()["paths"]
    for route in ("/api/v1/embed", "/api/v1/classify", "/api/v1/tag", "/api/v1/analyze"):
        content = paths[route]["post"]["requestBody"]["content"]["application/json"]
        assert {"windows", "stride", "max_length"} <= content["schema"]["properties"].keys()
