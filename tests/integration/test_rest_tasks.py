"""Classes, entities, rankings and several tasks at once over a real HTTP server."""

import base64
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from triptych_gateway.local_application import serving
from triptych_gateway.local_bundles import (
    local_bundle,
    local_cross_encoder,
    local_head,
    local_tagger,
)
from triptych_gateway.local_platform import LocalPlatform, token_vectors
from triptych_gateway.settings import GatewaySettings, Requests

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIMENSIONS = 16
MOODS = ("bad", "good", "fine")
REQUESTS = Requests(max_client_batch_size=6, max_input_characters=600, max_tasks=4, max_scores=1600)


def platform() -> LocalPlatform:
    trunk, tagger = local_bundle(dimensions=DIMENSIONS), local_tagger(dimensions=8)
    heads = [
        local_head("moods", MOODS, trunk=trunk),
        local_head("moods", ("no", "yes"), "2", trunk=trunk, pooling="cls"),
        local_head("topics", MOODS, trunk=trunk, problem_type="multi_label_classification"),
        local_head("judge", ("relevance",), trunk=trunk, task="rank"),
        local_head("elsewhere", MOODS, trunk=tagger),
    ]
    return LocalPlatform([trunk, tagger, local_cross_encoder(dimensions=4)], heads)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(platform(), GatewaySettings(requests=REQUESTS)) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}/api/v1") as client,
    ):
        yield client


async def ask(client: httpx.AsyncClient, task: str, **body: Any) -> dict[str, Any]:
    response = await client.post(f"/{task}", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer.keys() == {"model", "data", "usage"}
    return answer


async def refused(client: httpx.AsyncClient, task: str, **body: Any) -> dict[str, Any]:
    response = await client.post(f"/{task}", json=body)
    assert response.status_code in (400, 404), response.text
    error: dict[str, Any] = response.json()["error"]
    return error


def mean(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    ids = [1, *(ord(character) + 3 for character in text), 2]
    vector: np.ndarray = token_vectors(ids, dimensions).mean(axis=0)
    return vector


def softmax(logits: np.ndarray) -> np.ndarray:
    powers: np.ndarray = np.exp(logits.astype(np.float64) - logits.max())
    result: np.ndarray = powers / powers.sum()
    return result


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


async def test_classes_best_first(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "classify", model="local", head="moods@1", inputs=["ab", "zz"])
    assert answer["model"]["name"] == "local"
    assert answer["usage"]["prompt_tokens"] == 8
    for entry, text in zip(answer["data"], ("ab", "zz"), strict=True):
        scores = softmax(mean(text)[:3])
        order = np.argsort(-scores)
        assert [label["label"] for label in entry["labels"]] == [MOODS[i] for i in order]
        got = [label["score"] for label in entry["labels"]]
        np.testing.assert_allclose(got, scores[order], rtol=1e-5)


async def test_the_name_of_a_head_is_the_name_of_a_model(client: httpx.AsyncClient) -> None:
    named = await ask(client, "classify", model="moods@1", inputs="ab")
    beside = await ask(client, "classify", model="local", head="moods@1", inputs="ab")
    assert named == beside
    newest = await ask(client, "classify", model="moods", inputs="ab")
    assert {label["label"] for label in newest["data"][0]["labels"]} == {"no", "yes"}
    other = await ask(client, "classify", model="moods", head="topics", inputs="ab")
    assert len(other["data"][0]["labels"]) == 3, "the option goes before the name"


async def test_the_best_of_the_raw_scores(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "classify", model="moods@1", inputs=["ab"], top_k=2, raw_scores=True)
    logits = mean("ab")[:3]
    got = [label["score"] for label in answer["data"][0]["labels"]]
    np.testing.assert_allclose(got, sorted(logits, reverse=True)[:2], rtol=1e-6)
    more = await ask(client, "classify", model="moods@1", inputs=["ab"], top_k=99)
    assert len(more["data"][0]["labels"]) == 3


async def test_classes_that_do_not_exclude_each_other(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "classify", model="topics", inputs="ab")
    scores = {label["label"]: label["score"] for label in answer["data"][0]["labels"]}
    for name, logit in zip(MOODS, mean("ab"), strict=False):
        assert scores[name] == pytest.approx(sigmoid(logit), rel=1e-5)


async def test_classes_of_pairs_ids_and_bad_items(client: httpx.AsyncClient) -> None:
    inputs = [{"first": "a", "second": "b"}, "", [100, 101], "x" * 300, "ab"]
    answer = await ask(client, "classify", model="moods@1", inputs=inputs, truncate=False)
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2, 3, 4]
    errors = {entry["index"]: entry["error"] for entry in answer["data"] if "error" in entry}
    assert {index: (error["param"], error["code"]) for index, error in errors.items()} == {
        1: ("inputs[1]", "empty_input"),
        3: ("inputs[3]", "input_too_long"),
    }
    assert answer["data"][2]["labels"] == answer["data"][4]["labels"]
    assert answer["usage"]["prompt_tokens"] == 5 + 4 + 4


async def test_an_input_that_was_cut_says_so(client: httpx.AsyncClient) -> None:
    response = await client.post("/classify", json={"model": "moods", "inputs": ["x" * 300, "a"]})
    first, second = response.json()["data"]
    assert first["truncated"] is True
    assert "truncated" not in second
    assert response.headers["x-truncated-inputs"] == "1"
    assert response.headers["x-compute-tokens"] == str(256 + 3)
    assert "encode;dur=" in response.headers["server-timing"]


TEXTS = [
    "in 2024 we",
    "去年12月、東京で",
    "a 👩‍👩‍👧 b",
    "cafe\u0301 n\u0303o",
    "ab",
]


async def test_entities_are_cut_from_the_text_by_code_points(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "tag", model="tagger", inputs=TEXTS)
    found = [
        [(entity["label"], entity["text"]) for entity in entry["entities"]]
        for entry in answer["data"]
    ]
    assert found == [
        [("NUM", "2024")],
        [("WIDE", "去年"), ("NUM", "12"), ("WIDE", "月、東京で")],
        [("WIDE", "👩‍👩‍👧")],
        [("WIDE", "\u0301"), ("WIDE", "\u0303")],
        [],
    ]
    for entry, text in zip(answer["data"], TEXTS, strict=True):
        for entity in entry["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["text"]
            assert 0 < entity["score"] <= 1


async def test_tags_as_they_are(client: httpx.AsyncClient) -> None:
    answer = await ask(
        client, "tag", model="tagger", inputs="a12", aggregation="none", ignore_labels=[]
    )
    entities = answer["data"][0]["entities"]
    assert [(entity["label"], entity["text"]) for entity in entities] == [
        ("O", "a"), ("I-NUM", "1"), ("I-NUM", "2"),
    ]  # fmt: skip
    power = math.exp(1 + (ord("1") + 3) % 4)
    assert entities[1]["score"] == pytest.approx(power / (power + 2), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "aggregation", "found"),
    [
        ("aa7", "simple", [("NUM", "7")]),
        ("aa7", "first", []),
        ("aa7", "average", [("NUM", "aa7")]),
        ("aaa7", "average", []),
        ("aaa7", "max", [("NUM", "aaa7")]),
        ("7 7a 7", "first", [("NUM", "7 7a 7")]),
    ],
)
async def test_words_take_one_tag(
    client: httpx.AsyncClient, text: str, aggregation: str, found: list[tuple[str, str]]
) -> None:
    answer = await ask(client, "tag", model="tagger", inputs=text, aggregation=aggregation)
    entities = answer["data"][0]["entities"]
    assert [(entity["label"], entity["text"]) for entity in entities] == found


async def test_entities_keep_their_inputs_beside_bad_ones(client: httpx.AsyncClient) -> None:
    inputs = ["", "1", "x" * 300, "a2", ""]
    answer = await ask(client, "tag", model="tagger", inputs=inputs, truncate=False)
    texts = [
        [entity["text"] for entity in entry["entities"]] if "entities" in entry else None
        for entry in answer["data"]
    ]
    assert texts == [None, ["1"], None, ["2"], None]
    assert [entry["error"]["param"] for entry in answer["data"] if "error" in entry] == [
        "inputs[0]", "inputs[2]", "inputs[4]",
    ]  # fmt: skip


async def test_labels_that_are_not_wanted(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "tag", model="tagger", inputs="a1é", ignore_labels=["O", "NUM"])
    assert [entity["text"] for entity in answer["data"][0]["entities"]] == ["é"]


async def test_documents_by_cosine(client: httpx.AsyncClient) -> None:
    documents = ["zz", "ab", "", "abc"]
    answer = await ask(client, "rank", model="local", query="ab", documents=documents)
    query = mean("query: ab")
    query /= np.linalg.norm(query)
    cosines = {
        index: float(query @ mean(text) / np.linalg.norm(mean(text)))
        for index, text in enumerate(documents)
        if text
    }
    ranked = [entry for entry in answer["data"] if "score" in entry]
    assert [entry["index"] for entry in ranked] == sorted(cosines, key=lambda i: -cosines[i])
    for entry in ranked:
        assert entry["score"] == pytest.approx(cosines[entry["index"]], rel=1e-5)
        assert "text" not in entry
    assert answer["data"][-1]["index"] == 2
    assert answer["data"][-1]["error"]["param"] == "documents[2]"
    assert answer["usage"]["prompt_tokens"] == (2 + 9) + 4 + 4 + 5


@pytest.mark.parametrize(("model", "raw"), [("cross", False), ("cross", True), ("judge", False)])
async def test_documents_by_a_cross_encoder(
    client: httpx.AsyncClient, model: str, raw: bool
) -> None:
    documents = ["zz", "", "b", "x" * 300]
    answer = await ask(
        client, "rank", model=model, query="a", documents=documents, raw_scores=raw,
        return_documents=True, truncate=False,
    )  # fmt: skip
    scores = {}
    for index in (0, 2):
        ids = [1, 100, 2, *(ord(character) + 3 for character in documents[index]), 2]
        logit = float(token_vectors(ids, DIMENSIONS).mean(axis=0)[0])
        scores[index] = logit if raw else sigmoid(logit)
    ranked = [entry for entry in answer["data"] if "score" in entry]
    assert [entry["index"] for entry in ranked] == sorted(scores, key=lambda i: -scores[i])
    for entry in ranked:
        assert entry["score"] == pytest.approx(scores[entry["index"]], rel=1e-5)
        assert entry["text"] == documents[entry["index"]]
    errors = [entry["error"]["param"] for entry in answer["data"] if "error" in entry]
    assert errors == ["documents[1]", "documents[3]"]
    assert answer["usage"]["prompt_tokens"] == 6 + 5


async def test_the_best_documents(client: httpx.AsyncClient) -> None:
    answer = await ask(
        client, "rank", model="local", query="ab", documents=["zz", "x" * 300, "ab"], top_n=1
    )
    assert [entry["index"] for entry in answer["data"]] == [2]
    response = await client.post(
        "/rank", json={"model": "local", "query": "x" * 300, "documents": ["a", "x" * 300]}
    )
    assert response.headers["x-truncated-inputs"] == "2"
    assert [entry.get("truncated") for entry in response.json()["data"]] == [True, True]
    response = await client.post(
        "/rank", json={"model": "local", "query": "a", "documents": ["a", "x" * 300]}
    )
    assert response.headers["x-truncated-inputs"] == "1"
    assert [entry.get("truncated") for entry in response.json()["data"]] == [None, True]


@pytest.mark.parametrize("query", ["", "x" * 601, "x" * 300])
async def test_a_bad_query_is_the_requests_error(client: httpx.AsyncClient, query: str) -> None:
    error = await refused(
        client, "rank", model="local", query=query, documents=["a"], truncate=False
    )
    assert error["param"] == "query"
    assert error["message"].startswith("query")


async def test_several_tasks_give_what_each_gives_alone(client: httpx.AsyncClient) -> None:
    inputs = ["é 12", "", "ab", "x" * 300]
    common: dict[str, Any] = {"model": "tagger", "inputs": inputs, "truncate": False}
    tasks: list[dict[str, Any]] = [
        {"type": "embed", "dimensions": 4, "dtype": "int8"},
        {"type": "classify", "head": "elsewhere", "top_k": 2},
        {"type": "tag", "aggregation": "none"},
        {"type": "embed", "pooling": "cls", "encoding_format": "base64"},
    ]
    together = await ask(client, "analyze", tasks=tasks, **common)
    assert [entry["index"] for entry in together["data"]] == [0, 1, 2, 3]
    for place, task in enumerate(tasks):
        options = {name: value for name, value in task.items() if name != "type"}
        alone = await ask(client, str(task["type"]), **options, **common)
        assert alone["usage"] == together["usage"]
        for one, all_ in zip(alone["data"], together["data"], strict=True):
            if "error" in one:
                assert all_ == one
            else:
                result = all_["results"][place]
                assert result.pop("type") == task["type"]
                assert result == {name: one[name] for name in result}
                assert result


async def test_tasks_on_pairs_and_ids(client: httpx.AsyncClient) -> None:
    inputs = [{"first": "a", "second": "b"}, [100]]
    tasks = [{"type": "embed"}, {"type": "classify", "head": "moods@1"}]
    answer = await ask(client, "analyze", model="local", inputs=inputs, tasks=tasks)
    assert [len(entry["results"]) for entry in answer["data"]] == [2, 2]
    error = await refused(client, "analyze", model="tagger", inputs=inputs, tasks=[{"type": "tag"}])
    assert error["param"] == "inputs[0]"


async def test_embeddings_as_whole_numbers_and_bits(client: httpx.AsyncClient) -> None:
    vector = mean("ab")
    whole = await ask(client, "embed", model="local", inputs="ab", dtype="int8")
    scaled = np.rint(vector * (127 / np.abs(vector).max()))
    np.testing.assert_allclose(whole["data"][0]["embedding"], scaled, atol=1)
    bits = await ask(client, "embed", model="local", inputs="ab", dtype="binary", dimensions=12)
    expected = np.packbits(vector[:12] > 0)
    assert bits["data"][0]["embedding"] == expected.tolist()
    coded = await ask(
        client, "embed", model="local", inputs="ab", dtype="binary", dimensions=12,
        encoding_format="base64",
    )  # fmt: skip
    assert base64.b64decode(coded["data"][0]["embedding"]) == expected.tobytes()


async def test_models_and_heads_say_what_they_can_do(client: httpx.AsyncClient) -> None:
    cards = {
        (card["name"], card["version"]): card
        for card in (await client.get("/models")).json()["data"]
    }
    assert cards["tagger", "1"]["token_labels"] == ["O", "I-NUM", "I-WIDE"]
    assert cards["cross", "1"]["labels"] == ["relevance"]
    assert cards["cross", "1"]["dimensions"] == 0
    assert cards["moods", "1"]["labels"] == list(MOODS)
    assert cards["moods", "1"]["trunk"]["name"] == "local"


@pytest.mark.parametrize(
    ("task", "body", "param"),
    [
        ("classify", {"inputs": "a"}, "model"),
        ("classify", {"model": "local", "inputs": "a"}, "model"),
        ("classify", {"model": "local", "inputs": "a", "head": "unheard"}, "head"),
        ("classify", {"model": "local", "inputs": "a", "head": "elsewhere"}, "head"),
        ("classify", {"model": "local", "inputs": "a", "head": "moods@3"}, "head"),
        ("classify", {"model": "local", "inputs": "a", "head": None}, "head"),
        ("classify", {"model": "moods", "inputs": "a", "top_k": 0}, "top_k"),
        ("classify", {"model": "moods", "inputs": "a", "top_k": "1"}, "top_k"),
        ("classify", {"model": "moods", "inputs": "a", "raw_scores": 1}, "raw_scores"),
        ("classify", {"model": "moods", "inputs": "a", "topk": 1}, "topk"),
        ("classify", {"model": "moods", "inputs": "a", "max_length": 257}, "max_length"),
        ("classify", {"model": "moods", "inputs": ["a"] * 7}, "inputs"),
        ("classify", {"model": "moods"}, "inputs"),
        ("classify", {"model": "moods@9", "inputs": "a"}, "model"),
        ("tag", {"model": "local", "inputs": "a"}, "model"),
        ("tag", {"model": "tagger", "inputs": "a", "aggregation": "best"}, "aggregation"),
        ("tag", {"model": "tagger", "inputs": "a", "ignore_labels": "O"}, "ignore_labels"),
        ("tag", {"model": "tagger", "inputs": "a", "ignore_labels": ["x"] * 257}, "ignore_labels"),
        ("tag", {"model": "tagger", "inputs": "a", "ignore_labels": ["x" * 257]}, "ignore_labels"),
        ("tag", {"model": "tagger", "inputs": ["a", [100]]}, "inputs[1]"),
        ("tag", {"model": "tagger", "inputs": {"first": "a", "second": "b"}}, "inputs"),
        ("tag", {"model": "tagger", "inputs": ["x" * 300] * 6 + [""]}, "inputs"),
        ("tag", {"model": "tagger", "inputs": ["x" * 100] * 2 + ["x" * 600] * 4}, None),
        ("rank", {"model": "local", "query": "a", "documents": []}, "documents"),
        ("rank", {"model": "local", "query": "a", "documents": ["a"] * 7}, "documents"),
        ("rank", {"model": "local", "query": "a", "documents": "a"}, "documents"),
        ("rank", {"model": "local", "query": "a", "documents": ["b", 1]}, "documents[1]"),
        ("rank", {"model": "local", "query": ["a"], "documents": ["b"]}, "query"),
        ("rank", {"model": "local", "documents": ["b"]}, "query"),
        ("rank", {"model": "local", "query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
        ("rank", {"model": "local", "query": "a", "documents": ["", ""]}, "documents[0]"),
        ("rank", {"model": "local", "query": "a", "documents": ["b"], "head": "judge"}, "head"),
        ("embed", {"model": "cross", "inputs": "a"}, "model"),
        ("embed", {"model": "local", "inputs": "a", "dtype": "int4"}, "dtype"),
        ("similarity", {"model": "cross", "pairs": [["a", "b"]]}, "model"),
        ("analyze", {"model": "local", "inputs": "a"}, "tasks"),
        ("analyze", {"model": "local", "inputs": "a", "tasks": []}, "tasks"),
        ("analyze", {"model": "local", "inputs": "a", "tasks": [{"type": "embed"}] * 5}, "tasks"),
        ("analyze", {"model": "local", "inputs": "a", "tasks": ["embed"]}, "tasks[0]"),
        ("analyze", {"model": "local", "inputs": "a", "tasks": [{}]}, "tasks[0].type"),
        ("analyze", {"inputs": "a", "model": "local", "tasks": [{"type": 1}]}, "tasks[0].type"),
        ("analyze", {"inputs": "a", "model": "local", "tasks": [{"type": []}]}, "tasks[0].type"),
        (
            "analyze",
            {"model": "local", "inputs": "a", "tasks": [{"type": "embed", "dimensions": 99}]},
            "tasks[0].dimensions",
        ),
        (
            "analyze",
            {"model": "local", "inputs": "a", "tasks": [{"type": "embed", "dimension": 9}]},
            "tasks[0].dimension",
        ),
        (
            "analyze",
            {"model": "local", "inputs": "a", "tasks": [{"type": "embed", "pooling": "max"}]},
            "tasks[0].pooling",
        ),
        (
            "analyze",
            {
                "model": "local",
                "inputs": "a",
                "tasks": [{"type": "embed"}, {"type": "classify", "head": "unheard"}],
            },
            "tasks[1].head",
        ),
        ("analyze", {"model": "local", "inputs": "a", "tasks": [{"type": "tag"}]}, "model"),
    ],
)  # fmt: skip
async def test_a_wrong_request_names_the_field(
    client: httpx.AsyncClient, task: str, body: dict[str, Any], param: str | None
) -> None:
    if param is None:
        assert await ask(client, task, **body)
        return
    error = await refused(client, task, **body)
    assert error["param"] == param
    if param != "model":
        assert param.rpartition(".")[2].partition("[")[0] in error["message"]


async def test_what_a_model_cannot_do_is_said(client: httpx.AsyncClient) -> None:
    error = await refused(client, "tag", model="local", inputs="a")
    assert error["message"] == "the model 'local@1' makes no entities"
    assert error["code"] == "task_not_supported"
