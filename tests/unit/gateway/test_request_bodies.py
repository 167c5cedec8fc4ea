"""Whatever is sent as a body, the answer is well formed and never a 500."""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triptych_gateway.bounds import Bounds
from triptych_gateway.local_bundles import local_head, local_tagger
from triptych_gateway.local_platform import LocalPlatform
from triptych_gateway.routes import build_app
from triptych_gateway.routes.bodies import parse
from triptych_gateway.routes.inputs import read_inputs
from triptych_gateway.routes.native_schemas import EmbedBody
from triptych_gateway.routes.openai_schemas import EmbeddingsBody
from triptych_gateway.settings import GatewaySettings, Requests
from triptych_gateway.tasks import Pair, TokenIds
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.metrics import Metrics

ROUTES = (
    "/v1/embeddings",
    "/api/v1/embed",
    "/api/v1/classify",
    "/api/v1/tag",
    "/api/v1/rank",
    "/api/v1/analyze",
    "/api/v1/similarity",
    "/api/v1/tokenize",
    "/api/v1/detokenize",
)
NAMES = (
    "model", "input", "inputs", "input_ids", "pairs", "source", "targets", "dimensions", "pooling",
    "normalize", "dtype", "encoding_format", "prompt_name", "truncate", "truncation_direction",
    "max_length", "skip_special_tokens", "add_special_tokens", "first", "second",
    "head", "top_k", "raw_scores", "aggregation", "ignore_labels", "query", "documents", "top_n",
    "return_documents", "tasks", "type",
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "local",
        "float",
        "base64",
        "cls",
        "left",
        "query",
        "float16",
        "embed",
        "tag",
        "moods",
        "int8",
        "",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | WORDS
IDS = st.lists(st.integers(-2, 1_200_000), max_size=5)
VALUES = st.recursive(
    SCALARS | IDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5)
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
BOUNDS = Bounds(max_inputs=4, max_characters=50)


@pytest.fixture(scope="module")
def app() -> Any:
    requests = Requests(max_client_batch_size=4, max_input_characters=50)
    model = local_tagger("local", dimensions=8)
    platform = LocalPlatform([model], [local_head("moods", ("bad", "good"), trunk=model)])
    return build_app(platform, GatewaySettings(requests=requests), Metrics("gateway"))


async def post(app: Any, path: str, content: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, content=content)


def check(response: httpx.Response) -> None:
    assert response.status_code in (200, 400, 404), response.text
    answer = response.json()
    if response.status_code == 200:
        assert answer["data"]
        assert answer["usage"]["prompt_tokens"] >= 0
    else:
        assert answer["error"]["message"]
        assert answer["error"]["type"] == "invalid_request_error"


@settings(max_examples=300, suppress_health_check=SUPPRESSED)
@given(path=st.sampled_from(ROUTES), body=BODIES)
def test_any_object(app: Any, path: str, body: dict[str, Any]) -> None:
    check(asyncio.run(post(app, path, orjson.dumps(_finite(body)))))


KNOWN: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"model": "local", "input": "ab"},
    "/api/v1/embed": {"inputs": "ab"},
    "/api/v1/classify": {"inputs": "ab", "head": "moods"},
    "/api/v1/tag": {"inputs": "ab 1"},
    "/api/v1/rank": {"query": "a", "documents": ["b", "c"]},
    "/api/v1/similarity": {"source": "a", "targets": ["b"]},
    "/api/v1/analyze": {"inputs": "ab", "tasks": [{"type": "embed"}, {"type": "tag"}]},
    "/api/v1/tokenize": {"inputs": "ab"},
    "/api/v1/detokenize": {"input_ids": [100]},
}


@settings(max_examples=300, suppress_health_check=SUPPRESSED)
@given(
    path=st.sampled_from(ROUTES), body=BODIES, dropped=st.sets(st.sampled_from(NAMES), max_size=1)
)
def test_any_change_of_a_good_request(
    app: Any, path: str, body: dict[str, Any], dropped: set[str]
) -> None:
    good = {name: value for name, value in KNOWN[path].items() if name not in dropped}
    changed = dict(list(body.items())[:1])
    check(asyncio.run(post(app, path, orjson.dumps(_finite({**good, **changed})))))


@settings(max_examples=100, suppress_health_check=SUPPRESSED)
@given(path=st.sampled_from(ROUTES), content=st.binary(max_size=100))
def test_any_bytes(app: Any, path: str, content: bytes) -> None:
    check(asyncio.run(post(app, path, content)))


def _finite(value: Any) -> Any:
    """The value with integers that orjson can write."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value % 2**53 if type(value) is int else value


async def bodies_that_are_large() -> AsyncIterator[bytes]:
    size = 8_000_000
    yield b"[" * size
    yield b'{"a":' * (size // 5)
    yield b'{"model":"local","inputs":[' + b"[]," * (size // 3) + b"[]]}"
    yield b'{"model":"local","inputs":[' + b"{}," * (size // 3) + b"{}]}"
    yield b'{"model":"local","inputs":[' + b"1," * (size // 2) + b"1]}"
    yield b'{"model":"local","inputs":' + b"9" * size + b"}"
    yield b'{"model":"local","inputs":"a",' + b'"b":1,' * (size // 6) + b'"c":1}'
    keys = ",".join(f'"k{index}":1' for index in range(size // 11)).encode()
    yield b'{"inputs":"a",' + keys + b"}"
    yield b'{"inputs":"' + b'\\"[' * (size // 3)


async def test_large_bodies_are_refused_quickly(app: Any) -> None:
    async for body in bodies_that_are_large():
        started = time.process_time()
        response = await post(app, "/api/v1/embed", body)
        assert response.status_code == 400
        assert len(response.content) < 10_000
        assert time.process_time() - started < 3, body[:40]


def test_brackets_in_texts_do_not_count() -> None:
    text = r'"{[:\"[{:' * 5000
    body = parse(EmbedBody, orjson.dumps({"inputs": [text, text]}), BOUNDS)
    assert body.inputs == [text, text]


def test_strict_types() -> None:
    for field, value in (("dimensions", b'"5"'), ("dimensions", b"true"), ("truncate", b"1")):
        content = b'{"model":"local","input":"a","%s":%s}' % (field.encode(), value)
        with pytest.raises(InvalidArgument) as caught:
            parse(EmbeddingsBody, content, BOUNDS)
        assert caught.value.field == field


def test_a_field_that_is_not_known_is_quoted_in_part() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(EmbedBody, b'{"inputs":"a","%s":1}' % (b"x" * 10_000), BOUNDS)
    assert len(caught.value.message) < 100


def test_inputs_of_all_kinds() -> None:
    value = ["a", [1, 2], {"first": "b", "second": "c"}]
    inputs, names = read_inputs(value, "inputs", BOUNDS)
    assert inputs == ["a", TokenIds(array("i", [1, 2])), Pair("b", "c")]
    assert names.of(1) == "inputs[1]"
    assert names.parts(2) == ("inputs[2].first", "inputs[2].second")


def test_a_body_keeps_nothing_of_what_is_taken() -> None:
    body = parse(EmbedBody, b'{"inputs":[[1,2]]}', BOUNDS)
    assert body.take("inputs") == [[1, 2]]
    assert body.inputs is None


@pytest.mark.parametrize("value", ["a", [1, 2], {"first": "b", "second": "c"}])
def test_a_single_input_has_no_index(value: object) -> None:
    inputs, names = read_inputs(value, "inputs", BOUNDS)
    assert len(inputs) == 1
    assert names.of(0) == "inputs"
