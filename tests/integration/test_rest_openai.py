"""The /v1 routes through the official client, unmodified, and a real HTTP server."""

import contextlib
from collections.abc import AsyncIterator

import numpy as np
import openai
import pytest
import pytest_asyncio

from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle, token_vectors
from triptych_gateway.settings import GatewaySettings, Http, Requests
from triptych_servicekit.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIMENSIONS = 32
HELLO = [1, *(ord(character) + 3 for character in "Hello"), 2]


@contextlib.asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{server.http_port}/v1", api_key="none", max_retries=0
    ) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    platform = LocalPlatform([local_bundle("local", dimensions=DIMENSIONS)])
    settings = GatewaySettings(
        http=Http(max_body_bytes=4096),
        requests=Requests(max_client_batch_size=4, max_input_characters=600),
    )
    async with serving(platform, settings) as server, client_of(server) as client:
        yield client


def expected(ids: list[int], dimensions: int = DIMENSIONS) -> np.ndarray:
    mean: np.ndarray = token_vectors(ids, DIMENSIONS).mean(axis=0)[:dimensions]
    unit: np.ndarray = mean / np.linalg.norm(mean)
    return unit


async def test_a_single_text(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="local", input="Hello")
    assert answer.object == "list"
    assert answer.model == "local"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)
    assert (answer.data[0].object, answer.data[0].index) == ("embedding", 0)
    np.testing.assert_allclose(answer.data[0].embedding, expected(HELLO), rtol=1e-6)


async def test_floats_are_what_base64_says(client: openai.AsyncOpenAI) -> None:
    binary = await client.embeddings.create(model="local", input="Hello")
    floats = await client.embeddings.create(model="local", input="Hello", encoding_format="float")
    first, second = (np.array(one.data[0].embedding, np.float32) for one in (binary, floats))
    np.testing.assert_array_equal(first, second)


async def test_a_list_comes_back_in_order(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="local", input=["a", "Hello", "b"])
    assert [item.index for item in answer.data] == [0, 1, 2]
    np.testing.assert_allclose(answer.data[1].embedding, expected(HELLO), rtol=1e-6)
    assert answer.usage.prompt_tokens == 3 + 7 + 3


async def test_token_ids_are_a_text(client: openai.AsyncOpenAI) -> None:
    one = await client.embeddings.create(model="local", input=HELLO)
    two = await client.embeddings.create(model="local", input=[HELLO, [103]])
    np.testing.assert_allclose(one.data[0].embedding, expected(HELLO), rtol=1e-6)
    np.testing.assert_allclose(two.data[0].embedding, expected(HELLO), rtol=1e-6)
    np.testing.assert_allclose(two.data[1].embedding, expected([1, 103, 2]), rtol=1e-6)


async def test_fewer_dimensions_are_normalised_anew(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="local", input="Hello", dimensions=5)
    vector = np.array(answer.data[0].embedding)
    np.testing.assert_allclose(vector, expected(HELLO, 5), rtol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1)


async def test_a_cut_input_says_so(client: openai.AsyncOpenAI) -> None:
    raw = await client.embeddings.with_raw_response.create(
        model="local", input=["short", "x" * 300]
    )
    assert raw.headers["x-truncated-inputs"] == "1"
    assert raw.headers["x-compute-tokens"] == str(7 + 256)
    extras = [item.model_extra or {} for item in raw.parse().data]
    assert extras == [{}, {"truncated": True}]


async def test_a_prompt_goes_before_the_text(client: openai.AsyncOpenAI) -> None:
    prompted = await client.embeddings.create(
        model="local", input="Hello", extra_body={"prompt_name": "query"}
    )
    spelt_out = await client.embeddings.create(model="local", input="query: Hello")
    assert prompted.data[0].embedding == spelt_out.data[0].embedding


async def test_fields_it_does_not_know_are_ignored(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(
        model="local", input="Hello", user="me", extra_body={"priority": "flex"}
    )
    assert len(answer.data) == 1


async def test_models(client: openai.AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert [(model.id, model.object, model.owned_by) for model in models] == [
        ("local", "model", "triptych")
    ]
    assert (await client.models.retrieve("local")) == models[0]


@pytest.mark.parametrize("name", ["nothing", "some/path", "local@9"])
async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as embedding:
        await client.embeddings.create(model=name, input="a")
    with pytest.raises(openai.NotFoundError) as model:
        await client.models.retrieve(name)
    for caught in (embedding, model):
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"input": []}, "input", "must not be empty"),
        ({"input": ""}, "input", "must not be empty"),
        ({"input": ["a", ""]}, "input[1]", "must not be empty"),
        ({"input": 5}, "input", "a string or a list of token ids"),
        ({"input": ["a", 5]}, "input[1]", "a string or a list of token ids"),
        ({"input": [[1, True]]}, "input[0]", "whole numbers"),
        ({"input": [[1, 2**40]]}, "input[0]", "from 0 to 1114114"),
        ({"input": ["a"] * 5}, "input", "at most 4"),
        ({"input": "a" * 601}, "input", "601 characters, at most 600"),
        ({"input": [[5] * 601]}, "input[0]", "601 token ids, at most 600"),
        ({"input": "a" * 300, "truncate": False}, "input", "302 tokens, the maximum is 256"),
        ({"input": ["a", "a" * 300], "truncate": False}, "input[1]", "input[1] has 302 tokens"),
        ({"input": "a", "dimensions": "5"}, "dimensions", "integer"),
        ({"input": "a", "dimensions": 0}, "dimensions", "greater than or equal to 1"),
        ({"input": "a", "dimensions": 33}, "dimensions", "the model has 32"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "'float' or 'base64'"),
        ({"input": "a", "prompt_name": "no"}, "prompt_name", "the model's prompts: query"),
        ({}, "input", "is required"),
    ],
)
async def test_a_wrong_request_names_the_field(
    client: openai.AsyncOpenAI, body: dict[str, object], param: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/embeddings", body={"model": "local", **body}, cast_to=object)
    assert caught.value.param == param
    assert words in str(caught.value)
    assert caught.value.type == "invalid_request_error"


async def test_a_large_body_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.embeddings.create(model="local", input="a" * 5000)
    assert caught.value.status_code == 413
    assert "4096 bytes" in str(caught.value)
    assert (await client.embeddings.create(model="local", input="a")).data


async def test_full_says_when_to_come_back() -> None:
    full = LocalPlatform([local_bundle()], max_concurrent=0)
    async with serving(full) as server, client_of(server) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.embeddings.create(model="local", input="a")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.type == "rate_limit_error"


async def test_late_is_an_error() -> None:
    slow = LocalPlatform([local_bundle()], seconds_per_token=10)
    async with serving(slow) as server, client_of(server) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.embeddings.create(
                model="local", input="a", extra_headers={"x-request-timeout": "0.05"}
            )
    assert caught.value.status_code == 504
    assert caught.value.code == "deadline_exceeded"


async def test_out_of_service_says_when_to_come_back() -> None:
    platform = LocalPlatform([local_bundle()])
    platform.problems.append("stopping")
    async with serving(platform) as server, client_of(server) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.embeddings.create(model="local", input="a")
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "1"
