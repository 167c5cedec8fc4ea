"""The /api/v1 routes over a real HTTP server."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle, token_vectors

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIMENSIONS = 16


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    platform = LocalPlatform([local_bundle("local", dimensions=DIMENSIONS)])
    async with (
        serving(platform) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}/api/v1") as client,
    ):
        yield client


def ids_of(text: str) -> list[int]:
    return [1, *(ord(character) + 3 for character in text), 2]


async def ask(client: httpx.AsyncClient, task: str, **body: Any) -> dict[str, Any]:
    response = await client.post(f"/{task}", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer["model"] == {
        "name": "local",
        "version": "1",
        "digest": local_bundle("local").digest,
    }
    return answer


async def test_embed_all_kinds_of_input_at_once(client: httpx.AsyncClient) -> None:
    inputs = ["ab", [100, 101], {"first": "a", "second": "b"}]
    answer = await ask(client, "embed", inputs=inputs, normalize=False)
    ids = (ids_of("ab"), ids_of("ab"), [1, 100, 2, 101, 2])
    for entry, tokens in zip(answer["data"], ids, strict=True):
        wanted = token_vectors(tokens, DIMENSIONS).mean(axis=0)
        np.testing.assert_allclose(entry["embedding"], wanted, rtol=1e-6)
    assert answer["usage"] == {"prompt_tokens": 13, "total_tokens": 13}


@pytest.mark.parametrize(("pooling", "token"), [("cls", 1), ("last_token", 2)])
async def test_embed_with_another_pooling(
    client: httpx.AsyncClient, pooling: str, token: int
) -> None:
    answer = await ask(client, "embed", inputs="ab", pooling=pooling, normalize=False)
    assert answer["data"][0]["embedding"] == token_vectors([token], DIMENSIONS)[0].tolist()


async def test_embed_in_half_precision(client: httpx.AsyncClient) -> None:
    floats = await ask(client, "embed", inputs="ab", dtype="float16")
    binary = await ask(client, "embed", inputs="ab", dtype="float16", encoding_format="base64")
    decoded = np.frombuffer(base64.b64decode(binary["data"][0]["embedding"]), "<f2")
    np.testing.assert_array_equal(np.float16(floats["data"][0]["embedding"]), decoded)
    assert decoded.shape == (DIMENSIONS,)


async def test_a_bad_item_fails_alone(client: httpx.AsyncClient) -> None:
    inputs = ["", "ab", "x" * 300, [2**31], "cd"]
    answer = await ask(client, "embed", inputs=inputs, truncate=False)
    errors = {entry["index"]: entry["error"] for entry in answer["data"] if "error" in entry}
    assert {index: (error["param"], error["code"]) for index, error in errors.items()} == {
        0: ("inputs[0]", "empty_input"),
        2: ("inputs[2]", "input_too_long"),
        3: ("inputs[3]", "invalid_argument"),
    }
    assert [len(answer["data"][index]["embedding"]) for index in (1, 4)] == [DIMENSIONS] * 2
    assert not any("truncated" in entry for entry in answer["data"])
    assert answer["usage"]["prompt_tokens"] == 8


async def test_when_all_items_fail_the_request_does(client: httpx.AsyncClient) -> None:
    response = await client.post("/embed", json={"inputs": ["", ""]})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "inputs[0]"


async def test_cutting_on_the_left_and_at_a_length(client: httpx.AsyncClient) -> None:
    answer = await ask(
        client, "tokenize", inputs="abcdef", max_length=4, truncation_direction="left"
    )
    entry = answer["data"][0]
    assert [token["text"] for token in entry["tokens"]] == [None, "e", "f", None]
    assert [token["start"] for token in entry["tokens"]] == [0, 4, 5, 0]
    assert (entry["truncated"], entry["total_tokens"]) == (True, 8)


async def test_similarity_of_one_with_many(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "similarity", source="ab", targets=["ab", "", "zz"])
    first, second, third = answer["data"]
    assert first["score"] == pytest.approx(1)
    assert second["error"]["param"] == "targets[1]"
    one, two = (token_vectors(ids_of(text), DIMENSIONS).mean(axis=0) for text in ("ab", "zz"))
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    assert third["score"] == pytest.approx(float(cosine), rel=1e-5)
    assert answer["usage"]["prompt_tokens"] == 8, "a text that occurs several times counts once"


async def test_similarity_of_pairs_says_what_was_cut(client: httpx.AsyncClient) -> None:
    pairs = [["", "ab"], ["ab", "cd"], ["cd", "x" * 300]]
    response = await client.post("/similarity", json={"pairs": pairs})
    first, second, third = response.json()["data"]
    assert first["error"]["param"] == "pairs[0]" or first["error"]["param"] == "pairs[0][0]"
    assert "truncated" not in second
    assert third["truncated"] is True
    assert response.headers["x-truncated-inputs"] == "1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"source": "a"},
        {"targets": ["a"]},
        {"pairs": [["a", "b"]], "source": "a", "targets": ["b"]},
        {"pairs": [["a", "b"]], "source": "a"},
        {"pairs": []},
        {"pairs": [["a"]]},
        {"pairs": [["a", 1]]},
        {"source": "a", "targets": []},
    ],
)
async def test_similarity_wants_exactly_one_form(
    client: httpx.AsyncClient, body: dict[str, object]
) -> None:
    response = await client.post("/similarity", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(("pairs", "source", "targets"))


async def test_tokens_are_cut_from_the_text_by_code_points(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "tokenize", inputs=["né🙂", {"first": "a", "second": "bc"}])
    texts = [[token["text"] for token in entry["tokens"]] for entry in answer["data"]]
    assert texts == [[None, "n", "é", "🙂", None], [None, "a", None, "b", "c", None]]
    assert [token["special"] for token in answer["data"][0]["tokens"]] == [
        True, False, False, False, True,
    ]  # fmt: skip


async def test_tokens_without_special_ones(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "tokenize", inputs="ab", add_special_tokens=False)
    assert answer["data"][0]["input_ids"] == [100, 101]


async def test_detokenize_is_tokenize_backwards(client: httpx.AsyncClient) -> None:
    texts = ["né🙂", "hello"]
    tokens = await ask(client, "tokenize", inputs=texts)
    ids = [entry["input_ids"] for entry in tokens["data"]]
    answer = await ask(client, "detokenize", input_ids=ids)
    assert [entry["text"] for entry in answer["data"]] == texts
    shown = await ask(client, "detokenize", input_ids=ids[1], skip_special_tokens=False)
    assert shown["data"][0]["text"] == "<start>hello<end>"


async def test_detokenize_a_bad_sequence_fails_alone(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "detokenize", input_ids=[[100], [-1], [101]])
    assert [entry.get("text") for entry in answer["data"]] == ["a", None, "b"]
    assert answer["data"][1]["error"]["param"] == "input_ids[1]"


async def test_models_say_what_they_can_do(client: httpx.AsyncClient) -> None:
    card = (await client.get("/models")).json()["data"][0]
    assert card["name"] == "local"
    assert (card["dimensions"], card["max_length"]) == (DIMENSIONS, 256)
    assert (card["pooling"], card["normalize"], card["prompts"]) == ("mean", True, ["query"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"inputs": "a", "truncat": False}, "truncat"),
        ({"inputs": "a", "pooling": "max"}, "pooling"),
        ({"inputs": "a", "normalize": 1}, "normalize"),
        ({"inputs": "a", "max_length": 257}, "max_length"),
        ({"inputs": [{"first": "a"}]}, "inputs[0]"),
        ({"inputs": [{"first": "a", "second": 3}]}, "inputs[0]"),
        ({"inputs": None}, "inputs"),
        ({"model": "nothing", "inputs": "a"}, "model"),
    ],
)
async def test_a_wrong_request_names_the_field(
    client: httpx.AsyncClient, body: dict[str, object], param: str
) -> None:
    response = await client.post("/embed", json=body)
    assert response.status_code == (404 if param == "model" else 400)
    assert response.json()["error"]["param"] == param


async def test_the_model_may_be_left_out_only_where_there_is_one() -> None:
    platform = LocalPlatform([local_bundle("one"), local_bundle("two")])
    async with serving(platform) as server, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{server.http_port}/api/v1/embed"
        unnamed = await client.post(url, json={"inputs": "a"})
        named = await client.post(url, json={"inputs": "a", "model": "two"})
    assert unnamed.status_code == 400
    assert unnamed.json()["error"]["param"] == "model"
    assert named.json()["model"]["name"] == "two"
