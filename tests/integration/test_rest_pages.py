"""The pages for people, and what OpenAPI says."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_servicekit.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serving(LocalPlatform([local_bundle()])) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}") as client:
        yield client


async def test_the_documentation_needs_no_network(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert not [link for link in links if link.startswith(("http", "//"))]
    for link in links:
        if not link.startswith("data:"):
            assert (await client.get(f"/{link}")).status_code == 200


async def test_openapi_describes_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    tasks = {path: item["post"] for path, item in document["paths"].items() if "post" in item}
    assert tasks.keys() == {
        "/v1/embeddings",
        "/api/v1/embed",
        "/api/v1/classify",
        "/api/v1/tag",
        "/api/v1/rank",
        "/api/v1/similarity",
        "/api/v1/analyze",
        "/api/v1/tokenize",
        "/api/v1/detokenize",
    }
    for path, task in tasks.items():
        schema = task["requestBody"]["content"]["application/json"]["schema"]
        assert schema["examples"]
        assert {"200", "400", "413", "429", "503", "504"} <= task["responses"].keys()
        # OpenAI's clients may send what is not known here
        assert schema.get("additionalProperties", True) is (path == "/v1/embeddings")
    assert "/v1/models/{model}" in document["paths"]


async def test_openapi_has_lists_of_several_kinds_of_inputs(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    body = paths["/api/v1/embed"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    *one, several = body["properties"]["inputs"]["anyOf"]
    assert several["items"]["anyOf"] == one
    inputs = ["a", [1, 2], {"first": "a", "second": "b"}]
    answer = await client.post("/api/v1/embed", json={"inputs": inputs})
    assert [entry["index"] for entry in answer.json()["data"]] == [0, 1, 2]


async def test_the_page_for_people(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "curl http://127.0.0.1:" in response.text
    assert "<td>local</td>" in response.text
    for task in ("embed", "classify", "tag", "rank", "similarity", "analyze"):
        assert f"<code>POST /api/v1/{task}</code>" in response.text


async def test_every_example_can_be_read(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, item in document["paths"].items():
        if path.startswith("/api/v1/") and "post" in item:
            schema = item["post"]["requestBody"]["content"]["application/json"]["schema"]
            for example in schema["examples"]:
                answer = await client.post(path, json=example)
                wrong = answer.json().get("error", {}).get("param")
                assert answer.status_code == 200 or wrong in ("model", "tasks[1].head"), answer.text
