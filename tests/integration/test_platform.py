"""The whole platform as processes, with the real model, from outside."""

import asyncio
import base64
import concurrent.futures
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from triptych.v1 import gateway_service_pb2 as gateway
from triptych.v1 import gateway_service_pb2_grpc as gateway_rpc
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych_bundles.golden import read_golden
from triptych_bundles.repository import Repository
from triptych_local.session import Session

DOCUMENTS = Path(__file__).parents[2] / "docs"
BATCH = 32


def cosines(actual: object, expected: object) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    left, right = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    result: np.ndarray[tuple[int], np.dtype[np.float64]] = (left * right).sum(1) / lengths
    return result


def embed(client: httpx.Client, texts: list[str]) -> list[list[float]]:
    answer = client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": texts})
    assert answer.status_code == 200, answer.text
    return [item["embedding"] for item in answer.json()["data"]]


def test_the_golden_texts_come_out_as_transformers_makes_them(
    platform: Session, bundle_repository: Path
) -> None:
    golden = read_golden(Repository(bundle_repository).find_model("all-minilm-l6-v2"))
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        together = embed(client, list(golden.texts))
        alone = [embed(client, [text])[0] for text in golden.texts[:BATCH]]
    expected = golden.outputs["pooled.mean"]
    assert cosines(together, expected).min() >= 0.99999
    assert cosines(alone, expected[:BATCH]).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_the_openai_client_unmodified(platform: Session) -> None:
    with openai.OpenAI(base_url=f"{platform.http_url}/v1", api_key="none", max_retries=0) as client:
        single = client.embeddings.create(model="all-minilm-l6-v2", input="hello world")
        floats = client.embeddings.create(
            model="all-minilm-l6-v2", input=["hello world", "x"], encoding_format="float"
        )
        short = client.embeddings.create(
            model="all-minilm-l6-v2", input="hello world", dimensions=64
        )
        models = client.models.list().data
        with pytest.raises(openai.NotFoundError) as unknown:
            client.embeddings.create(model="gpt-none", input="x")
        with pytest.raises(openai.BadRequestError) as empty:
            client.embeddings.create(model="all-minilm-l6-v2", input=[""])
        with pytest.raises(openai.BadRequestError) as long:
            client.embeddings.create(
                model="all-minilm-l6-v2", input="word " * 400, extra_body={"truncate": False}
            )
    assert len(single.data[0].embedding) == 384
    np.testing.assert_allclose(single.data[0].embedding, floats.data[0].embedding, atol=1e-6)
    cut = np.array(single.data[0].embedding[:64])
    np.testing.assert_allclose(short.data[0].embedding, cut / np.linalg.norm(cut), atol=1e-5)
    assert single.usage.prompt_tokens == single.usage.total_tokens == 4
    assert [model.id for model in models] == ["all-minilm-l6-v2"]
    assert unknown.value.code == "model_not_found"
    assert empty.value.param == "input[0]"
    assert "256" in str(long.value)
    assert long.value.param == "input"


def test_text_over_the_maximum_is_cut_and_said_so(platform: Session) -> None:
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        answer = client.post(
            "/v1/embeddings",
            json={"model": "all-minilm-l6-v2", "input": ["word " * 400, "short"]},
        )
        tokens = client.post("/api/v1/tokenize", json={"inputs": ["Größe: 5 µm 😀", "word " * 400]})
    body = answer.json()
    assert answer.headers["x-truncated-inputs"] == "1"
    assert body["data"][0]["truncated"] is True
    assert "truncated" not in body["data"][1]
    assert body["usage"]["prompt_tokens"] == 256 + 3
    first, second = tokens.json()["data"]
    texts = [token["text"] for token in first["tokens"] if not token["special"]]
    assert "".join(texts) == "Größe:5µm😀"
    assert (second["truncated"], second["total_tokens"]) == (True, 402)


def test_an_option_that_a_stage_refuses_has_the_clients_name(platform: Session) -> None:
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        answer = client.post("/api/v1/embed", json={"inputs": "hello", "max_length": 2})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == "max_length"
    assert "options" not in error["message"]


def test_where_the_time_went_is_in_the_headers(platform: Session) -> None:
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        answer = client.post(
            "/v1/embeddings",
            json={"model": "all-minilm-l6-v2", "input": "x"},
            headers={"x-request-id": "mine"},
        )
    assert answer.headers["x-request-id"] == "mine"
    stages = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"]))
    assert set(stages) == {"tokenize", "queue", "encode", "postprocess", "total"}
    assert float(stages["total"]) > float(stages["encode"]) > 0


def test_grpc_gives_what_rest_gives(platform: Session) -> None:
    texts = ["hello world", "good morning"]
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        rest = client.post(
            "/v1/embeddings",
            json={"model": "all-minilm-l6-v2", "input": texts, "encoding_format": "base64"},
        ).json()
    expected = [np.frombuffer(base64.b64decode(d["embedding"]), "<f4") for d in rest["data"]]
    inputs = [tokenizer.TokenizeInput(text=text) for text in texts]
    with grpc.insecure_channel(platform.grpc_address("gateway")) as channel:
        answer = gateway_rpc.GatewayServiceStub(channel).Embed(
            gateway.EmbedRequest(inputs=inputs), timeout=30
        )
    actual = np.frombuffer(answer.result.embeddings.data, "<f4").reshape(2, 384)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert answer.usage.prompt_tokens == rest["usage"]["prompt_tokens"]


def test_the_script_of_the_manual_runs_as_it_stands(platform: Session) -> None:
    (script,) = re.findall(
        r"```python\n(.*?)```", (DOCUMENTS / "protocol.md").read_text(), re.DOTALL
    )
    assert len([line for line in script.splitlines() if line.strip()]) <= 20
    stages = [platform.grpc_address(name) for name in ("tokenizer", "encoder", "postprocess")]
    run = subprocess.run(
        [sys.executable, "-c", script, *stages], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("(3, 384) [[1.0, ")


def test_reflection_alone_is_enough(platform: Session) -> None:
    with grpc.insecure_channel(platform.grpc_address("tokenizer")) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "triptych.v1.TokenizerService" in database.get_services()
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("triptych.v1.TokenizerService").methods_by_name["Tokenize"]
        request: Any = GetMessageClass(method.input_type)()
        request.inputs.add(text="hello world")
        call: Any = channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        response = call(request, timeout=30)
    assert list(response.sequences.lengths.shape) == [1]
    ids = np.frombuffer(response.sequences.input_ids.data, "<i4")
    assert ids.tolist() == [101, 7592, 2088, 102]


def test_a_request_within_every_limit_is_answered_however_large(platform: Session) -> None:
    texts = ["a" * 65_535] * 140  # more than one tokenizer call may carry
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        answer = client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": texts})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 140


async def test_a_thousand_requests_at_once_all_answer(platform: Session) -> None:
    texts = [f"request {n} " + "and so on " * (n % 7) for n in range(1000)]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=platform.http_url, timeout=90, limits=limits) as client:
        requests = [
            client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": text})
            for text in texts
        ]
        answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {200}
    rows = [answer.json()["data"][0]["embedding"] for answer in answers[:40:13]]
    with httpx.Client(base_url=platform.http_url, timeout=60) as alone:
        assert cosines(rows, embed(alone, texts[:40:13])).min() >= 0.99999


HEAVY = {
    "gateway": {"fastapi", "uvloop"},
    "tokenizer": {"tokenizers", "uvloop"},
    "encoder": {"onnxruntime", "uvloop"},
    "postprocess": {"uvloop"},
}
FOREIGN = {"torch", "transformers", "fastapi", "onnxruntime", "tokenizers", "redis"}


@pytest.mark.parametrize("service", HEAVY)
def test_no_service_loads_anothers_framework(platform: Session, service: str) -> None:
    """What the running process has mapped, and what its package imports anew."""
    mapped = Path(f"/proc/{platform.pid(service)}/maps").read_text()
    code = f"import sys, triptych_{service}.application; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in run.stdout.split()}
    assert HEAVY[service] - {"uvloop"} <= imported
    assert not (FOREIGN - HEAVY[service]) & imported
    for name in FOREIGN - HEAVY[service]:
        assert f"/{name}/" not in mapped
    assert all(f"/{name}/" in mapped for name in HEAVY[service] - {"fastapi"})


@pytest.mark.data
def test_sts_benchmark_through_rest(platform: Session, data_folder: Path) -> None:
    """Spearman on STS-B dev; 0.8672 is plain onnxruntime's value on the same weights."""
    import csv

    with (data_folder / "stsb" / "dev.csv").open(newline="", encoding="utf-8") as file:
        rows = [(a, b, float(score)) for a, b, score in csv.reader(file)]
    pairs = [[a, b] for a, b, _ in rows]

    def scores(part: list[list[str]]) -> list[float]:
        with httpx.Client(base_url=platform.http_url, timeout=120) as client:
            answer = client.post("/api/v1/similarity", json={"pairs": part})
            assert answer.status_code == 200, answer.text
            return [item["score"] for item in answer.json()["data"]]

    parts = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        predicted = [score for part in threads.map(scores, parts) for score in part]
    assert spearman(predicted, [score for *_, score in rows]) == pytest.approx(0.8672, abs=0.001)


def spearman(left: list[float], right: list[float]) -> float:
    """Rank correlation; ties share the mean of their ranks."""

    def ranks(values: list[float]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        result: np.ndarray[tuple[int], np.dtype[np.float64]] = (
            np.cumsum(counts) - (counts - 1) / 2
        )[inverse]
        return result

    return float(np.corrcoef(ranks(left), ranks(right))[0, 1])
