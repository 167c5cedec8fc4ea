"""What tests of a live repository start from: tiny bundles that really encode, and a service."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import numpy as np
from safetensors.numpy import save

from tests.unit.models import conftest as tiny
from triptych.v1 import admin_service_pb2 as admin
from triptych.v1 import admin_service_pb2_grpc as admin_rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle
from triptych_models.compilation import compile_bundle
from triptych_models.plan import make_plan
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import load

TOKEN = "a token of more than 16 characters"
BEARER = (("authorization", f"Bearer {TOKEN}"),)


def write_source(folder: Path, seed: int) -> Path:
    """A Hugging Face folder of a BERT of random numbers."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(seed)
    weights = {
        name: numbers.normal(0, 0.5, shape).astype("f4") for name, shape in tiny.shapes().items()
    }
    (folder / "config.json").write_text(json.dumps(tiny.config()))
    tiny.tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "model.safetensors").write_bytes(save(weights))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder


# random weights have no slack for fewer bits
INT8_FLOOR = 0.9


class Workshop:
    """Compiles bundles outside of the repository, and installs them as the tooling does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str, int, bool], Bundle] = {}
        self.repository = folder / "repository"
        self.repository.mkdir()

    def make(
        self, name: str = "tiny", version: str = "1", seed: int = 7, int8: bool = False
    ) -> Bundle:
        """A bundle whose weights, and so its digest, come from the seed; `int8` adds graphs."""
        key = name, version, seed, int8
        if key not in self._made:
            source = self._folder / f"source-{seed}"
            if not source.exists():
                write_source(source, seed)
            fetched = fetch(str(source), self._folder / "cache", "http://localhost", lambda _: None)
            plan = make_plan(fetched, name, version, Choices())
            if int8:
                plan = replace(plan, int8_min_cosine=INT8_FLOOR)
            shelf = self._folder / f"shelf-{seed}-{int8}"
            self._made[key] = compile_bundle(plan, shelf, False, lambda _: None)
        return self._made[key]

    def install(
        self, name: str = "tiny", version: str = "1", seed: int = 7, int8: bool = False
    ) -> Bundle:
        """Put it into the repository, in one move; what was there is moved away before."""
        bundle = self.make(name, version, seed, int8)
        staged = self.repository / ".staging" / f"{name}-{version}-{seed}"
        shutil.copytree(bundle.path, staged)
        target = self.repository / name / version
        target.parent.mkdir(exist_ok=True)
        self.remove(name, version)
        staged.rename(target)
        return bundle

    def remove(self, name: str, version: str) -> None:
        """Take it out in one move."""
        target = self.repository / name / version
        if target.exists():
            target.rename(self.repository / ".staging" / "removed")
            shutil.rmtree(self.repository / ".staging" / "removed")


@dataclass(frozen=True, slots=True)
class Live:
    """A running service, a channel to it and one to its admin listener."""

    server: Server
    channel: grpc.aio.Channel
    admin: "admin_rpc.AdminServiceAsyncStub"

    async def states(self) -> dict[str, str]:
        """What has become of the bundles, by identity; a letter for each where there are more."""
        listed = await self.admin.ListBundles(admin.ListBundlesRequest(), metadata=BEARER)
        found: dict[str, str] = {}
        for bundle in listed.bundles:
            identity = f"{bundle.model.name}@{bundle.model.version}"
            state = admin.BundleState.Name(bundle.state).removeprefix("BUNDLE_STATE_")
            found[identity] = "+".join(filter(None, (found.get(identity), state)))
        return {identity: "+".join(sorted(text.split("+"))) for identity, text in found.items()}

    async def until(self, **states: str) -> None:
        """Wait for the states, by version of `tiny`."""
        wanted = {f"tiny@{version[1:]}": state for version, state in states.items()}
        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(20):
                while (found := await self.states()) != wanted:  # noqa: ASYNC110 - it polls, so do we
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{found} never became {wanted}") from None

    async def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        url = f"http://127.0.0.1:{self.server.operations_port}/metrics"
        async with httpx.AsyncClient() as client:
            text = (await client.get(url)).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    async def ready(self) -> bool:
        """What /readyz says."""
        url = f"http://127.0.0.1:{self.server.operations_port}/readyz"
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code == 200


@contextlib.asynccontextmanager
async def serving(
    application: Callable[[Any], Any], kind: type[Any], repository: Path, **extra: str
) -> AsyncIterator[Live]:
    """A service on free ports that looks at the repository twenty times a second."""
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
        "TRIPTYCH_MODELS_REPOSITORY": str(repository),
        "TRIPTYCH_MODELS_POLL_INTERVAL": "0.05",
        "TRIPTYCH_ADMIN_PORT": "0",
        "TRIPTYCH_ADMIN_TOKEN": TOKEN,
        **extra,
    }
    settings = load(kind, environment)
    async with (
        running(application(settings), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.admin_port}") as admin_channel,
    ):
        yield Live(server, channel, admin_rpc.AdminServiceStub(admin_channel))


def named(name: str = "", version: str = "", digest: str = "") -> types.ModelRef:
    """A reference."""
    return types.ModelRef(name=name, version=version, digest=digest)
