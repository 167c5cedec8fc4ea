"""The tokenizer while its repository changes."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.live import Live, Workshop, named, serving
from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych_bundles import sha256_file
from triptych_servicekit.tensors import INT32, from_tensor
from triptych_tokenizer.application import TokenizerApplication
from triptych_tokenizer.settings import TokenizerSettings


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    workshop = Workshop(tmp_path)
    (workshop.repository / ".staging").mkdir()
    return workshop


def tokenizer(workshop: Workshop, **extra: str) -> contextlib.AbstractAsyncContextManager[Live]:
    return serving(TokenizerApplication, TokenizerSettings, workshop.repository, **extra)


async def tokenize(live: Live, text: str = "the", **model: str) -> tuple[str, list[int]]:
    """Digest and ids."""
    stub: Any = rpc.TokenizerServiceStub(live.channel)
    inputs = [pb.TokenizeInput(text=text)]
    request = pb.TokenizeRequest(model=named(**model), inputs=inputs)
    response = await stub.Tokenize(request, timeout=10)
    ids = from_tensor(response.sequences.input_ids, "ids", dtypes=INT32, dimensions=(1,))
    return response.model.digest, ids.tolist()


def swap_words(folder: Path) -> None:
    """Exchange two words of a bundle's vocabulary that its golden texts do not have."""
    path, manifest = folder / "tokenizer.json", folder / "bundle.yaml"
    document, facts = json.loads(path.read_text()), yaml.safe_load(manifest.read_text())
    words = document["model"]["vocab"]
    words["##q"], words["##x"] = words["##x"], words["##q"]
    path.write_text(json.dumps(document))
    facts["files"]["tokenizer.json"] = {
        "sha256": sha256_file(path),
        "bytes": path.stat().st_size,
    }
    manifest.write_text(yaml.safe_dump(facts))


async def test_a_tokenizer_replaced_in_place_answers_every_call(workshop: Workshop) -> None:
    old = workshop.install()
    new = workshop.make(seed=8)
    async with tokenizer(workshop) as live:
        seen: list[str] = []

        async def call_until(digest: str) -> None:
            while seen[-1:] != [digest]:
                answered, ids = await tokenize(live, name="tiny")
                assert ids == [2, 56, 3]
                seen.append(answered)

        await call_until(old.digest)
        for seed, bundle in ((8, new), (7, old), (8, new)):
            workshop.install(seed=seed)
            await asyncio.gather(*(call_until(bundle.digest) for _ in range(3)))
        await live.until(v1="DRAINING+LOADED")
        assert (await tokenize(live, digest=old.digest))[0] == old.digest


async def test_an_evicted_tokenizer_comes_back_within_the_deadline(workshop: Workshop) -> None:
    first, second = workshop.install("a"), workshop.install("b")
    budget = str(first.record("tokenizer.json").bytes + 1)
    async with tokenizer(workshop, TRIPTYCH_MODELS_MEMORY_BUDGET_BYTES=budget) as live:
        for bundle in (first, second, first):
            assert (await tokenize(live, digest=bundle.digest))[0] == bundle.digest
            assert await live.metric("triptych_tokenizer_models_loaded") == 1
        assert await live.metric("triptych_tokenizer_evictions_total") == 2
