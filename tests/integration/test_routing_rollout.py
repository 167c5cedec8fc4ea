"""Versions come, go and are tried out while clients are served, by real services on free ports."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from triptych_encoder.application import EncoderApplication
from triptych_encoder.settings import EncoderSettings
from triptych_gateway.application import GatewayApplication
from triptych_gateway.settings import GatewaySettings
from triptych_models.compilation import compile_bundle
from triptych_models.plan import make_plan
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_postprocess.application import PostprocessApplication
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.application import Application
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import load
from triptych_tokenizer.application import TokenizerApplication
from triptych_tokenizer.settings import TokenizerSettings

HIDDEN, INNER, POSITIONS = 8, 12, 32
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
    "layer_norm_eps": 1e-12,
}
LINEAR = {
    "attention.self.query": (HIDDEN, HIDDEN),
    "attention.self.key": (HIDDEN, HIDDEN),
    "attention.self.value": (HIDDEN, HIDDEN),
    "attention.output.dense": (HIDDEN, HIDDEN),
    "intermediate.dense": (INNER, HIDDEN),
    "output.dense": (HIDDEN, INNER),
}
TEXTS = ["a b c", "d", "e f g h i j k"]


def weights(seed: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    layer = "encoder.layer.0"
    for name, shape in LINEAR.items():
        shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    norms = ("embeddings", f"{layer}.attention.output", f"{layer}.output")
    for norm in norms:
        shapes |= {f"{norm}.LayerNorm.{part}": (HIDDEN,) for part in ("weight", "bias")}
    numbers = np.random.default_rng(seed)
    return {name: numbers.normal(0, 0.5, shape).astype("f4") for name, shape in shapes.items()}


def write_source(folder: Path, seed: int) -> None:
    folder.mkdir()
    made = Tokenizer(
        models.WordLevel({token: row for row, token in enumerate(VOCABULARY)}, "[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(save(weights(seed)))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two versions of a tiny model, of which no vector is like the other's."""
    root = tmp_path_factory.mktemp("compiled")
    for version in ("1", "2"):
        folder = root / f"source {version}"
        write_source(folder, int(version))
        source = fetch(str(folder), folder / "cache", "http://localhost", lambda line: None)
        plan = make_plan(source, "tiny", version, Choices())
        compile_bundle(plan, root / "repository", False, lambda line: None)
    return root / "repository"


ENVIRONMENT = {
    "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
    "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
    "TRIPTYCH_LIFECYCLE_GRACE": "5",
    "TRIPTYCH_MODELS_POLL_INTERVAL": "0.05",
}
STAGES: dict[str, tuple[Callable[[Any], Application], type[Any]]] = {
    "tokenizer": (TokenizerApplication, TokenizerSettings),
    "encoder": (EncoderApplication, EncoderSettings),
    "postprocess": (PostprocessApplication, PostprocessSettings),
}


@dataclass
class Stage:
    """A service with a repository of its own; a second replica has one too."""

    name: str
    root: Path
    compiled: Path
    port: int = 0
    running: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> None:
        build, settings_type = STAGES[self.name]
        own = {"TRIPTYCH_LISTEN_PORT": str(self.port)}
        own["TRIPTYCH_MODELS_REPOSITORY"] = str(self.root)
        settings = load(settings_type, ENVIRONMENT | own)
        server = await self.running.enter_async_context(running(build(settings), settings))
        self.port = server.port

    async def restart(self) -> None:
        await self.running.aclose()
        await self.start()

    def put(self, version: str) -> None:
        put(self.compiled, self.root, version)


def put(compiled: Path, root: Path, version: str) -> None:
    """Let a version appear as a whole."""
    staged = root / ".staged"
    shutil.copytree(compiled / "tiny" / version, staged)
    (root / "tiny").mkdir(parents=True, exist_ok=True)
    staged.rename(root / "tiny" / version)


@dataclass
class Platform:
    """Everything, with a client of its REST edge."""

    stages: dict[str, list[Stage]]
    application: GatewayApplication
    server: Server
    client: httpx.AsyncClient
    root: Path
    compiled: Path

    def counted(self, name: str, **labels: str) -> float:
        registry = self.application.metrics.registry
        return registry.get_sample_value(f"triptych_gateway_{name}_total", labels) or 0.0

    async def embed(self, model: str = "tiny") -> httpx.Response:
        body = {"model": model, "inputs": TEXTS, "normalize": False}
        return await self.client.post("/api/v1/embed", json=body)

    async def version(self, model: str = "tiny") -> str:
        return version_of(await self.embed(model))

    async def vectors(self, model: str) -> np.ndarray[Any, Any]:
        return vectors_of(await self.embed(model))

    def aliases(self, **aliases: object) -> None:
        text = json.dumps({"schema": 1, "aliases": aliases})  # JSON is YAML
        (self.root / ".aliases").write_text(text)
        (self.root / ".aliases").rename(self.root / "aliases.yaml")


def version_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    model = answer.json()["model"]
    return str(model["version"] if isinstance(model, dict) else model.partition("@")[2])


def vectors_of(answer: httpx.Response) -> np.ndarray[Any, Any]:
    return np.array([entry["embedding"] for entry in answer.json()["data"]])


@contextlib.asynccontextmanager
async def platform(
    tmp_path: Path,
    compiled: Path,
    versions: str = "12",
    lacking: Sequence[str] = (),
    encoders: int = 1,
    **environment: str,
) -> AsyncIterator[Platform]:
    """Services whose repositories hold `versions`, but for version 2 those `lacking`, which are
    called `encoder 0` and so on."""
    async with contextlib.AsyncExitStack() as stack:
        stages: dict[str, list[Stage]] = {}
        for name in STAGES:
            for number in range(encoders if name == "encoder" else 1):
                label = f"{name} {number}"
                stage = Stage(name, tmp_path / label, compiled)
                for version in versions:
                    if version == "1" or label not in lacking:
                        stage.put(version)
                await stage.start()
                stack.push_async_callback(stage.running.aclose)
                stages.setdefault(name, []).append(stage)
        root = tmp_path / "gateway"
        for version in versions:
            put(compiled, root, version)
        own = {"TRIPTYCH_LISTEN_PORT": "0", "TRIPTYCH_HTTP_PORT": "0"}
        own |= {"TRIPTYCH_MODELS_REPOSITORY": str(root), "TRIPTYCH_MODELS_HOLD_OFF": "0.2"}
        for name, replicas in stages.items():
            addresses = (f"127.0.0.1:{stage.port}" for stage in replicas)
            own[f"TRIPTYCH_STAGES_{name.upper()}"] = ",".join(addresses)
        settings = load(GatewaySettings, ENVIRONMENT | own | environment)
        application = GatewayApplication(settings)
        server = await stack.enter_async_context(running(application, settings))
        await until(lambda: ready(application))
        url = f"http://127.0.0.1:{server.http_port}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
        yield Platform(stages, application, server, client, root, compiled)


async def ready(application: GatewayApplication) -> bool:
    return not application.unready()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@dataclass
class Load:
    """Clients that ask one after the other until they are told to stop."""

    answers: list[httpx.Response] = field(default_factory=list)
    stopped: bool = False

    @contextlib.asynccontextmanager
    async def on(self, served: Platform, clients: int = 4) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self._ask(served)) for _ in range(clients)]
        try:
            yield
        finally:
            self.stopped = True
            await asyncio.gather(*tasks)

    async def _ask(self, served: Platform) -> None:
        while not self.stopped:
            self.answers.append(await served.embed())
            await asyncio.sleep(0.005)

    async def more(self, answers: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answers) + answers

        async def there() -> bool:
            return len(self.answers) >= wanted

        await until(there)

    def versions(self) -> list[str]:
        return [version_of(answer) for answer in self.answers]

    async def check(self, served: Platform) -> None:
        """All of an answer comes from the version that it names."""
        own = {version: await served.vectors(f"tiny@{version}") for version in "12"}
        for answer in self.answers:
            np.testing.assert_allclose(vectors_of(answer), own[version_of(answer)], atol=1e-5)


async def test_a_stage_that_lacks_the_new_version_costs_no_request(
    tmp_path: Path, compiled: Path
) -> None:
    async with platform(tmp_path, compiled, lacking=["encoder 0"]) as served:
        load_, encoder = Load(), served.stages["encoder"][0]
        async with load_.on(served):
            await load_.more(40)
            before = len(load_.answers)
            assert set(load_.versions()) == {"1"}
            encoder.put("2")
            await encoder.restart()
            await until(lambda: answers_with(served, "2"))
            await load_.more(10)
        versions = load_.versions()
        assert versions[-1] == "2"
        assert versions.index("2") >= before
        await load_.check(served)
        repeated = served.counted("fallbacks", model="tiny@2", cause="not_loaded")
        assert 1 <= repeated < before / 2
        assert served.counted("model_requests", model="tiny@1", alias="") >= before


async def answers_with(served: Platform, version: str, model: str = "tiny") -> bool:
    return await served.version(model) == version


async def test_a_version_that_appears_everywhere_at_its_own_time(
    tmp_path: Path, compiled: Path
) -> None:
    async with platform(tmp_path, compiled, versions="1") as served:
        load_ = Load()
        async with load_.on(served):
            put(compiled, served.root, "2")
            for name in ("postprocess", "tokenizer", "encoder"):
                await load_.more(10)
                assert load_.versions()[-1] == "1"
                stage = served.stages[name][0]
                stage.put("2")
                await stage.restart()
            await until(lambda: answers_with(served, "2"))
        await load_.check(served)
        shutil.rmtree(served.root / "tiny" / "2")
        await until(lambda: answers_with(served, "1"))


async def test_a_replica_that_lacks_it_is_passed_over(tmp_path: Path, compiled: Path) -> None:
    async with platform(tmp_path, compiled, lacking=["encoder 1"], encoders=2) as served:
        await until(lambda: passes_over(served))
        before = served.counted("fallbacks", model="tiny@2", cause="not_loaded")
        assert {await served.version() for _ in range(20)} == {"2"}
        assert served.counted("fallbacks", model="tiny@2", cause="not_loaded") == before
        assert served.counted("stage_retries", stage="encoder", outcome="made") > 5


async def passes_over(served: Platform) -> bool:
    """Whether both replicas are known, so that one lets the other answer."""
    made = served.counted("stage_retries", stage="encoder", outcome="made")
    return await served.version() == "2" and made > 0


async def test_without_a_version_to_fall_back_on_the_client_is_told_when_to_come_again(
    tmp_path: Path, compiled: Path
) -> None:
    async with platform(tmp_path, compiled, lacking=["postprocess 0"]) as served:
        answer = await served.embed("tiny@2")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "model_not_loaded"
        assert int(answer.headers["retry-after"]) > 0
        assert "tiny@2" in answer.json()["error"]["message"]
        assert await served.version("tiny@1") == "1"


async def test_shadows_are_counted_and_never_returned(tmp_path: Path, compiled: Path) -> None:
    async with platform(tmp_path, compiled) as served:
        targets = [{"model": "tiny@1"}]
        served.aliases(
            different={"targets": targets, "shadow": {"model": "tiny@2"}},
            quiet={"targets": targets, "shadow": {"model": "tiny@2", "share": 0.0}},
        )
        await until(lambda: knows(served, "quiet"))
        own = await served.vectors("tiny@1")
        for _ in range(5):
            answer = await served.embed("different")
            assert version_of(answer) == "1"
            np.testing.assert_allclose(vectors_of(answer), own, atol=1e-5)
            await asyncio.sleep(0.05)
        await until(lambda: counted(served, "different", 5))
        assert await served.version("quiet") == "1"
        assert served.counted("shadow_requests", outcome="different") == 5
        assert served.counted("shadow_requests", outcome="same") == 0
        assert served.counted("model_requests", model="tiny@1", alias="different") == 5
        assert served.counted("model_requests", model="tiny@2", alias="different") == 0


async def knows(served: Platform, alias: str) -> bool:
    return (await served.embed(alias)).status_code == 200


async def counted(served: Platform, outcome: str, times: int) -> bool:
    return served.counted("shadow_requests", outcome=outcome) == times


async def test_a_canary_grows_and_is_rolled_back_by_editing_the_file(
    tmp_path: Path, compiled: Path
) -> None:
    def weights_of(first: int, second: int) -> dict[str, object]:
        targets = [("tiny@1", first), ("tiny@2", second)]
        return {"targets": [{"model": m, "weight": w} for m, w in targets]}

    async with platform(tmp_path, compiled) as served:
        served.aliases(main=weights_of(1, 1))
        await until(lambda: knows(served, "main"))
        assert {await served.version("main") for _ in range(40)} == {"1", "2"}
        served.aliases(main={"targets": [{"model": "tiny@2"}]})
        await until(lambda: always(served, "main", "2"))
        served.aliases(main={"targets": [{"model": "tiny@2", "weight": 0}]})
        await asyncio.sleep(0.3)
        assert await always(served, "main", "2")
        served.aliases(main={"targets": [{"model": "tiny@1"}]})
        await until(lambda: always(served, "main", "1"))


async def always(served: Platform, model: str, version: str) -> bool:
    return {await served.version(model) for _ in range(12)} == {version}


def test_two_versions_differ(compiled: Path) -> None:
    """What the tests above rely on."""
    digests = {path.read_bytes() for path in compiled.glob("tiny/*/model.onnx")}
    assert len(digests) == 2
