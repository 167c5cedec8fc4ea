"""What every REST route shares: headers, errors, logs, metrics."""

import logging
import re
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
import pytest_asyncio

from triptych_bundles.manifest import Bundle
from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.tasks import Analyzed, Input, Origin, Task, TextOptions
from triptych_servicekit.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = {"model": "local", "input": "Hello"}


class Recording(LocalPlatform):
    """Keeps the origins of its requests."""

    def __init__(self) -> None:
        super().__init__([local_bundle()])
        self.origins: list[Origin] = []

    async def analyze(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        tasks: Sequence[Task],
        origin: Origin,
    ) -> Analyzed:
        self.origins.append(origin)
        if inputs == ["break"]:
            raise RuntimeError("a secret of the inside")
        return await super().analyze(model, inputs, text, tasks, origin)


@pytest.fixture(scope="module")
def platform() -> Recording:
    return Recording()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(platform: Recording) -> AsyncIterator[Server]:
    async with serving(platform) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}") as client:
        yield client


async def test_headers_of_an_answer(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", json=BODY)
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-request-id"])
    parts = [part.partition(";dur=") for part in response.headers["server-timing"].split(", ")]
    assert [name for name, _, _ in parts] == ["tokenize", "queue", "encode", "postprocess", "total"]
    assert float(parts[-1][2]) > 0
    assert response.headers["x-compute-tokens"] == "7"
    assert "x-truncated-inputs" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/health", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs-assets/swagger-ui.css", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("GET", "/docs-assets/nothing", 404),
        ("GET", "/v1/models/nothing", 404),
        ("GET", "/v1/embeddings", 405),
        ("DELETE", "/v1/models/local", 405),
        ("POST", "/v1/embeddings", 400),
    ],
)
async def test_every_answer_is_identified_and_every_error_has_one_shape(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path, headers={"x-request-id": "mine-1"})
    assert response.status_code == status
    assert response.headers["x-request-id"] == "mine-1"
    assert "total;dur=" in response.headers["server-timing"]
    if status >= 400:
        assert response.json().keys() == {"error"}
        assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    if status == 405:
        assert response.headers["allow"] in ("GET", "POST")


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129])
async def test_an_unfit_request_id_is_replaced(client: httpx.AsyncClient, sent: str) -> None:
    response = await client.get("/health", headers={"x-request-id": sent})
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-request-id"])


async def test_who_asks_reaches_the_platform(
    client: httpx.AsyncClient, platform: Recording
) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {
        "x-request-id": "mine",
        "traceparent": trace,
        "tracestate": "vendor=1",
        "x-priority": "high",
    }
    await client.post("/v1/embeddings", json=BODY, headers=headers)
    await client.post("/v1/embeddings", json=BODY, headers={"traceparent": "00-0-0-00"})
    named, unnamed = platform.origins[-2:]
    assert (named.request_id, named.traceparent) == ("mine", trace)
    assert (named.tracestate, named.priority) == ("vendor=1", 1)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", unnamed.traceparent)
    assert unnamed.priority == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-timeout", "soon"),
        ("x-request-timeout", "0"),
        ("x-request-timeout", "nan"),
        ("x-priority", "urgent"),
    ],
)
async def test_headers_that_cannot_be_read_are_named(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    response = await client.post("/v1/embeddings", json=BODY, headers={name: value})
    assert (response.status_code, response.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"5", b'{"model": "\xff"}', b"[" * 1000, b'{"a":' * 300]
)
async def test_wrong_json(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("/v1/embeddings", content=content)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_an_error_inside_says_nothing(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = await client.post("/v1/embeddings", json={**BODY, "input": "break"})
    assert response.status_code == 500
    assert response.json()["error"] == {
        "message": "internal error",
        "type": "server_error",
        "param": None,
        "code": "internal",
    }
    line = next(record for record in caplog.records if record.message == "request failed")
    assert line.levelno == logging.WARNING
    assert vars(line)["route"] == "/v1/embeddings"


async def test_logs_never_hold_the_text(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="triptych_gateway"):
        await client.post("/v1/embeddings", json={"model": "no", "input": "private words"})
    assert any(record.message == "request failed" for record in caplog.records)
    assert "private words" not in caplog.text


async def test_metrics_know_templates_not_paths(client: httpx.AsyncClient, server: Server) -> None:
    await client.post("/v1/embeddings", json=BODY)
    await client.get("/v1/models/some-name")
    await client.get("/wp-login.php")
    metrics = (await client.get(f"http://127.0.0.1:{server.operations_port}/metrics")).text
    name = "triptych_gateway_http_request_duration_seconds_count"
    counted = set(re.findall(rf'{name}{{code="(\d+)",route="([^"]+)"}}', metrics))
    assert {
        ("200", "/v1/embeddings"),
        ("404", "/v1/models/{model:path}"),
        ("404", "unmatched"),
    } <= counted
    assert "wp-login" not in metrics


async def test_health_follows_the_platform(client: httpx.AsyncClient, platform: Recording) -> None:
    platform.problems.append("no encoder")
    response = await client.get("/health")
    platform.problems.clear()
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "problems": ["no encoder"]}
