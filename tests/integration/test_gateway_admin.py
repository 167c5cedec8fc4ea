"""The gateway's admin listener: what is taken out there is served by no name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
import pytest_asyncio

from tests.integration.live import BEARER, Live, Workshop, named, serving
from triptych.v1 import admin_service_pb2 as admin
from triptych_gateway.application import GatewayApplication
from triptych_gateway.settings import GatewaySettings
from triptych_servicekit.errors import NotFound, Unauthenticated
from triptych_servicekit.status import from_rpc_error

ALIASES = """
schema: 1
aliases:
  support: {targets: [{model: "tiny@1", weight: 9}], shadow: {model: "tiny@2", share: 0.5}}
"""


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """A gateway whose stages are not there: what it serves is its own affair."""
    workshop = Workshop(tmp_path)
    (workshop.repository / ".staging").mkdir()
    for version, seed in (("1", 7), ("2", 8)):
        workshop.install(version=version, seed=seed)
    (workshop.repository / "aliases.yaml").write_text(ALIASES)
    repository, free = workshop.repository, {"TRIPTYCH_HTTP_PORT": "0"}
    async with serving(GatewayApplication, GatewaySettings, repository, **free) as live:
        yield live


async def models(live: Live) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{live.server.http_port}/api/v1/models"
        found: dict[str, Any] = (await client.get(url)).json()
        return found


async def versions(live: Live) -> list[str]:
    return [card["version"] for card in (await models(live))["data"]]


async def test_what_is_unloaded_is_not_served_until_it_is_loaded(live: Live) -> None:
    assert await live.states() == {"tiny@1": "LOADED", "tiny@2": "LOADED"}
    unload = admin.UnloadModelRequest(model=named("tiny"))
    unloaded = await live.admin.UnloadModel(unload, metadata=BEARER)
    assert (unloaded.bundle.model.version, unloaded.bundle.reason) == ("2", "unloaded by request")
    assert await versions(live) == ["1"]
    assert await live.states() == {"tiny@1": "LOADED", "tiny@2": "UNLOADED"}
    load = admin.LoadModelRequest(model=named("tiny", "2"))
    assert (await live.admin.LoadModel(load, metadata=BEARER)).bundle.state == (
        admin.BUNDLE_STATE_LOADED
    )
    assert await versions(live) == ["1", "2"]


async def test_strangers_and_strange_names_are_refused(live: Live) -> None:
    for model, metadata, error in (
        (named("tiny"), (), Unauthenticated),
        (named("other"), BEARER, NotFound),
        (named(digest="0" * 64), BEARER, NotFound),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.admin.UnloadModel(admin.UnloadModelRequest(model=model), metadata=metadata)
        assert isinstance(from_rpc_error(caught.value), error)
    assert await versions(live) == ["1", "2"]


async def test_aliases_are_listed(live: Live) -> None:
    assert (await models(live))["aliases"] == [
        {
            "name": "support",
            "targets": [{"model": "tiny@1", "weight": 9}],
            "shadow": {"model": "tiny@2", "share": 0.5},
        }
    ]
