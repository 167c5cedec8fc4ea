"""Every task of the whole platform as processes, with the real model and the heads made for it."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from triptych.v1 import gateway_service_pb2 as gateway
from triptych.v1 import gateway_service_pb2_grpc as gateway_rpc
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych.v1 import types_pb2 as types
from triptych_bundles.heads import read_head_golden, read_layers
from triptych_bundles.repository import Repository
from triptych_local.session import Session

DOCUMENTS = Path(__file__).parents[2] / "docs"
MODEL = "all-minilm-l6-v2"
HEADS = ("banking77", "financial-sentiment")
WAITING = "I am still waiting on my card?"
PROFIT = "Operating profit rose to EUR 13.1 mn from EUR 8.7 mn a year ago."
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
}
SEQUENCES = "triptych_encoder_sequences_total"


@pytest.fixture(scope="module", autouse=True)
def heads(bundle_repository: Path) -> None:
    """The heads that come with the platform."""
    names = {head.name for head in Repository(bundle_repository).scan().heads}
    missing = [name for name in HEADS if name not in names]
    if missing:
        pytest.fail(f"the repository lacks the heads {', '.join(missing)}")


@pytest.fixture(scope="module")
def client(platform: Session) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.http_url, timeout=60) as client:
        yield client


def ask(client: httpx.Client, task: str, **body: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/api/v1/{task}", json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def encoded(platform: Session) -> float:
    """Sequences that the encoder has encoded."""
    text = httpx.get(f"{platform.operations_url('encoder')}/metrics").text
    samples = re.findall(rf"^{SEQUENCES}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, samples))


def test_an_intent_and_a_sentiment(client: httpx.Client) -> None:
    intent = ask(client, "classify", model="banking77", inputs=[WAITING])[0]["labels"]
    assert intent[0]["label"] == "card_arrival"
    assert len(intent) == 77
    assert sum(label["score"] for label in intent) == pytest.approx(1, abs=1e-4)
    mood = ask(client, "classify", head="financial-sentiment", inputs=[PROFIT, ""], top_k=1)
    assert mood[0]["labels"][0]["label"] == "bullish"
    assert mood[1]["error"]["code"] == "empty_input"


@pytest.mark.parametrize("name", HEADS)
def test_scores_are_those_of_the_heads_layers(
    client: httpx.Client, bundle_repository: Path, name: str
) -> None:
    """The layers computed here, of the vectors that the platform gives."""
    bundle = next(head for head in Repository(bundle_repository).scan().heads if head.name == name)
    pooling = bundle.head.input.removeprefix("pooled.")
    texts = [WAITING, PROFIT, "你好"]
    rows = ask(client, "embed", inputs=texts, pooling=pooling, normalize=bundle.head.normalized)
    value = np.array([row["embedding"] for row in rows])
    for layer in read_layers(bundle, bundle.head):
        value = ACTIVATIONS[layer.activation](value @ layer.kernel + layer.bias)
    assert value.shape[1] == read_head_golden(bundle, bundle.head).logits.shape[1]
    answers = ask(client, "classify", head=name, inputs=texts, raw_scores=True)
    for answer, logits in zip(answers, value, strict=True):
        scores = {label["label"]: label["score"] for label in answer["labels"]}
        np.testing.assert_allclose([scores[one] for one in bundle.head.labels], logits, atol=1e-3)


def test_an_embedding_and_two_heads_cost_one_pass(platform: Session, client: httpx.Client) -> None:
    tasks = [
        {"type": "embed"},
        {"type": "classify", "head": "banking77", "top_k": 3},
        {"type": "classify", "head": "financial-sentiment"},
    ]
    before = encoded(platform)
    results = ask(client, "analyze", inputs=[PROFIT], tasks=tasks)[0]["results"]
    assert encoded(platform) == before + 1
    alone = [
        ask(client, "embed", inputs=[PROFIT])[0]["embedding"],
        ask(client, "classify", model="banking77", inputs=[PROFIT], top_k=3)[0]["labels"],
        ask(client, "classify", head="financial-sentiment", inputs=[PROFIT])[0]["labels"],
    ]
    assert results[0]["embedding"] == pytest.approx(alone[0], abs=1e-5)
    for together, apart in zip(results[1:], alone[1:], strict=True):
        names = [[label["label"] for label in labels] for labels in (together["labels"], apart)]
        assert names[0] == names[1]
        scores = [[label["score"] for label in labels] for labels in (together["labels"], apart)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_a_bad_item_fails_alone_in_several_tasks(client: httpx.Client) -> None:
    inputs = ["word " * 400, WAITING, "", [101, 2**29]]
    tasks = [{"type": "embed"}, {"type": "classify", "head": "banking77"}]
    entries = ask(client, "analyze", inputs=inputs, tasks=tasks, truncate=False)
    codes = [entry.get("error", {}).get("code") for entry in entries]
    assert codes == ["input_too_long", None, "empty_input", "invalid_argument"]
    assert len(entries[1]["results"]) == 2


def test_a_large_request_is_cut_and_joined(client: httpx.Client) -> None:
    texts = [f"request {number} " + "and so on " * (number % 40) for number in range(500)]
    texts[123] = ""
    tasks = [{"type": "embed"}, {"type": "classify", "head": "financial-sentiment"}]
    entries = ask(client, "analyze", inputs=texts, tasks=tasks)
    alone = ask(client, "embed", inputs=texts)
    for entry, embedded in zip(entries, alone, strict=True):
        assert ("error" in entry) == ("error" in embedded) == (entry["index"] == 123)
        if "error" not in entry:
            together = np.array(entry["results"][0]["embedding"])
            assert together @ np.array(embedded["embedding"]) >= 0.99999


def test_documents_by_relevance(client: httpx.Client) -> None:
    documents = ["The stock market fell.", "A kitten sleeps on the sofa.", "", "A small cat."]
    entries = ask(client, "rank", query="a small cat", documents=documents, top_n=2)
    assert [entry["index"] for entry in entries] == [3, 1, 2]
    assert entries[0]["score"] > 0.9 > entries[1]["score"]
    assert entries[2]["error"]["param"] == "documents[2]"
    cosines = ask(client, "similarity", source="a small cat", targets=[documents[1]])
    assert cosines[0]["score"] == pytest.approx(entries[1]["score"], abs=1e-5)


def test_small_embeddings_keep_their_directions(client: httpx.Client) -> None:
    exact = np.array(ask(client, "embed", inputs=PROFIT)[0]["embedding"])
    whole = np.array(ask(client, "embed", inputs=PROFIT, dtype="int8")[0]["embedding"])
    assert np.abs(whole).max() == 127
    assert exact @ whole / np.linalg.norm(whole) >= 0.999
    bits = ask(client, "embed", inputs=PROFIT, dtype="binary")[0]["embedding"]
    assert bits == np.packbits(exact > 0).tolist()


def test_what_the_model_cannot_do_is_said(client: httpx.Client) -> None:
    answer = client.post("/api/v1/tag", json={"model": MODEL, "inputs": "Paris"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "task_not_supported"
    answer = client.post("/api/v1/classify", json={"model": MODEL, "inputs": "a", "head": "none"})
    assert answer.json()["error"]["param"] == "head"


def test_grpc_gives_what_rest_gives(platform: Session, client: httpx.Client) -> None:
    request = gateway.AnalyzeRequest(
        model=types.ModelRef(name=MODEL),
        inputs=[tokenizer.TokenizeInput(text=WAITING)],
        tasks=[
            postprocess.AnalyzeTask(
                classify=postprocess.ClassifyOptions(head="banking77", top_k=2)
            ),
            postprocess.AnalyzeTask(embed=postprocess.EmbedOptions(dimensions=8)),
        ],
    )
    with grpc.insecure_channel(platform.grpc_address("gateway")) as channel:
        answer = gateway_rpc.GatewayServiceStub(channel).Analyze(request, timeout=30)
    classes = answer.results[0].classify
    ids = np.frombuffer(classes.label_ids.data, "<i4")
    rest = ask(client, "classify", model="banking77", inputs=[WAITING], top_k=2)[0]["labels"]
    assert [classes.labels[index] for index in ids] == [label["label"] for label in rest]
    assert answer.results[1].embed.embeddings.shape == [1, 8]


def examples() -> list[tuple[str, dict[str, Any], str]]:
    """Route, body and answer of every line of the manual."""
    found = re.findall(
        r"```sh\ncurl -s \S+:8080(\S+) .*?-d '(.*?)'\n```\n+```json\n(.*?)```",
        (DOCUMENTS / "tasks.md").read_text(),
        re.DOTALL,
    )
    return [(route, json.loads(body), answer) for route, body, answer in found]


@pytest.mark.parametrize(("route", "body", "answer"), examples(), ids=lambda value: str(value)[:40])
def test_the_lines_of_the_manual_work(
    client: httpx.Client, route: str, body: dict[str, Any], answer: str
) -> None:
    response = client.post(route, json=body)
    if body["model"] == "NAME":  # stands for a model that does not come with the platform
        assert response.json()["error"]["code"] == "model_not_found"
        return
    assert response.status_code == 200, response.text
    fields = re.findall(r'"(\w+)":', answer)
    assert fields
    assert not [field for field in fields if f'"{field}":' not in response.text]
    for text in re.findall(r'"(?:label|text)":("[^"]*")', answer):
        assert text in response.text


def test_the_manual_has_every_task() -> None:
    tasks = {route.rpartition("/")[2] for route, _, _ in examples()}
    assert tasks == {
        "embed", "classify", "tag", "rank", "similarity", "analyze", "tokenize", "detokenize",
    }  # fmt: skip
