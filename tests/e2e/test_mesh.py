"""The mesh for real: who is refused, how calls are shared out, and what a dying replica costs."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.mesh.identities import issue
from deploy.mesh.policy import principal
from tests.e2e.conftest import Report, project
from tests.e2e.engine import STAGES
from tests.e2e.mesh import REPLICAS, Mesh, meshed
from tests.e2e.traffic import Load, steady

TOKENIZE = "/triptych.v1.TokenizerService/Tokenize"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
PERMISSION_DENIED = "7"
CANARY_CALLS, CANARY_SHARE, TOLERANCE = 10_000, 0.1, 0.02
MIRRORED_CALLS = 600
WARM_UP, SETTLED = 2.0, 8.0
# Who has less in flight is called: shares are equal only as far as replicas are equally fast.
LEAST_SHARE, GREATEST_SHARE = 0.25, 0.75
PATIENCE, INTERVAL = 60.0, 0.5
TEXTS = ["good morning", "the quick brown fox jumps over the lazy dog", "Zürich, 東京 and 🙂"]

# Run in the gateway's container, so that the calls are the gateway's as its proxy sees them.
CALLER = """
import asyncio, sys
import grpc, numpy as np
from triptych.v1 import postprocess_service_pb2 as pb, postprocess_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types

async def main(calls, clients=16):
    vectors = np.ones((1, 384), "<f4")
    tensor = types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=[1, 384], data=vectors.tobytes())
    model = types.ModelRef(name="all-minilm-l6-v2")
    request = pb.PostprocessServiceEmbedRequest(model=model, vectors=tensor)
    async with grpc.aio.insecure_channel("127.0.0.1:15103") as channel:
        stub = rpc.PostprocessServiceStub(channel)
        async def client():
            for _ in range(calls // clients):
                await stub.Embed(request)
        await asyncio.gather(*(client() for _ in range(clients)))

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def mesh(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two replicas of each stage, and canaries of tokenizer (mirrored) and postprocess (10 %)."""
    yield from meshed(project("mesh"), "trial", tmp_path_factory.mktemp("mesh"))


def test_the_way_in_is_the_only_one(mesh: Mesh) -> None:
    services = json.loads(mesh.project.compose("config", "--format", "json"))["services"]
    published = {
        (name, port["host_ip"], port["target"])
        for name, service in services.items()
        for port in service.get("ports") or ()
    }
    assert published == {("ingress", "127.0.0.1", 8080), ("ingress", "127.0.0.1", 50051)}


def test_who_has_the_identity_may_call(mesh: Mesh) -> None:
    answer = mesh.call("tokenizer", TOKENIZE, mesh.context("gateway"))
    # the server's own answer to an empty request: its models are one, and it is asked for nothing
    assert answer.headers.get("grpc-status") != PERMISSION_DENIED


@pytest.mark.parametrize(
    ("account", "path"),
    [("postprocess", TOKENIZE), ("triptych-istio", TOKENIZE), ("gateway", REFLECTION)],
    ids=["another service", "the way in", "a method that is nobody's"],
)
def test_who_may_not_call_is_refused_and_counted(account: str, path: str, mesh: Mesh) -> None:
    before = mesh.counts("tokenizer")["envoy_http_rbac_denied_total"]
    served = mesh.calls("tokenizer")
    answer = mesh.call("tokenizer", path, mesh.context(account))
    assert answer.headers["grpc-status"] == PERMISSION_DENIED
    assert mesh.counts("tokenizer")["envoy_http_rbac_denied_total"] == before + 1
    assert mesh.calls("tokenizer") == served


def test_who_shows_no_certificate_is_refused_and_counted(mesh: Mesh) -> None:
    before = mesh.counts("tokenizer")["envoy_listener_ssl_fail_verify_no_cert_total"]
    with pytest.raises(httpx.TransportError):
        mesh.call("tokenizer", TOKENIZE, mesh.context(None))
    assert mesh.counts("tokenizer")["envoy_listener_ssl_fail_verify_no_cert_total"] == before + 1


def test_who_speaks_no_tls_is_refused_and_counted(mesh: Mesh) -> None:
    before = mesh.counts("tokenizer")["envoy_listener_ssl_connection_error_total"]
    with pytest.raises(httpx.TransportError):
        httpx.post(f"http://{mesh.address('tokenizer')}:15051{TOKENIZE}")
    assert mesh.counts("tokenizer")["envoy_listener_ssl_connection_error_total"] == before + 1


def test_an_identity_of_another_authority_is_none(mesh: Mesh, tmp_path: Path) -> None:
    issue(tmp_path, {"gateway": principal("gateway", "triptych")}, None)
    before = mesh.counts("tokenizer")["envoy_listener_ssl_fail_verify_error_total"]
    with pytest.raises(httpx.TransportError):
        mesh.call("tokenizer", TOKENIZE, mesh.context("gateway", tmp_path))
    assert mesh.counts("tokenizer")["envoy_listener_ssl_fail_verify_error_total"] == before + 1


def test_there_is_no_way_around_a_proxy(mesh: Mesh) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.post(f"http://{mesh.address('tokenizer')}:50051{TOKENIZE}")


def test_a_canary_gets_its_share(mesh: Mesh, report: Report) -> None:
    servers = (*REPLICAS["postprocess"], "postprocess-canary")
    before = {name: mesh.calls(name) for name in servers}
    mesh.server("gateway").execute("python3", "-c", CALLER, str(CANARY_CALLS))
    taken = {name: mesh.calls(name) - before[name] for name in servers}
    assert sum(taken.values()) >= CANARY_CALLS
    share = taken["postprocess-canary"] / sum(taken.values())
    report(f"canary       {share:.2%} of {sum(taken.values()):.0f} calls, 10 % asked for")
    assert abs(share - CANARY_SHARE) <= TOLERANCE


def test_a_mirror_changes_no_answer(mesh: Mesh, report: Report) -> None:
    url = f"{mesh.project.url('ingress', 8080)}/api/v1/tokenize"
    body = {"model": "all-minilm-l6-v2", "inputs": TEXTS}
    before = mesh.calls("tokenizer-canary")
    with httpx.Client(timeout=30) as client:
        answers = [client.post(url, json=body) for _ in range(MIRRORED_CALLS // 2)]
        copies = mesh.calls("tokenizer-canary") - before
        # what gets copies may even die of them
        mesh.server("tokenizer-canary").crash()
        answers += [client.post(url, json=body) for _ in range(MIRRORED_CALLS // 2)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()["data"]) for answer in answers}) == 1
    report(f"mirror       {copies:.0f} of {MIRRORED_CALLS // 2} calls copied, 10 % asked for")
    assert 0 < copies < MIRRORED_CALLS // 4


async def test_replicas_share_the_work(mesh: Mesh, report: Report) -> None:
    async with steady(Load(mesh.project.url("ingress", 8080))) as load:
        await asyncio.sleep(WARM_UP)
        before = await asyncio.to_thread(_calls, mesh)
        await asyncio.sleep(SETTLED)
        after = await asyncio.to_thread(_calls, mesh)
    assert not load.failures()
    for stage in STAGES:
        first, second = (after[name] - before[name] for name in REPLICAS[stage])
        share = first / (first + second)
        report(f"{stage:<12} calls shared {share:.0%} to {1 - share:.0%} by proxies")
        assert LEAST_SHARE <= share <= GREATEST_SHARE


@pytest.mark.parametrize("stage", STAGES)
def test_the_gateway_has_a_window_for_each_replica(stage: str, mesh: Mesh) -> None:
    assert mesh.replicas(stage) == len(REPLICAS[stage])


async def test_windows_follow_the_replicas_that_there_are(mesh: Mesh, report: Report) -> None:
    _, second = REPLICAS["postprocess"]
    async with steady(Load(mesh.project.url("ingress", 8080))) as load:
        for command, expected in (("stop", 1), ("start", 2)):
            await asyncio.to_thread(mesh.project.compose, command, second, f"{second}-proxy")
            seconds = await _has_windows(mesh, "postprocess", expected)
            report(f"windows      for {expected} of postprocess {seconds:.1f} s after {command}")
    assert not load.failures(), load.failures()[:3]


@pytest.mark.parametrize("stage", STAGES)
async def test_a_replica_that_is_killed_fails_no_request(
    stage: str, mesh: Mesh, report: Report
) -> None:
    async with steady(Load(mesh.project.url("ingress", 8080))) as load:
        await asyncio.sleep(WARM_UP)
        await asyncio.to_thread(mesh.server(stage).crash)
        seconds = await _has_traffic(mesh, stage)
        await asyncio.sleep(SETTLED)
    sent = sorted(one.sent for one in load.requests)
    slowest = max(after - before for before, after in itertools.pairwise(sent))
    report(
        f"{stage:<12} killed in the mesh: {len(load.requests)} requests,"
        f" {len(load.failures())} failed, none sent for {slowest:.2f} s at most,"
        f" traffic again after {seconds:.1f} s"
    )
    assert not load.failures(), load.failures()[:3]
    assert load.requests


async def _has_windows(mesh: Mesh, stage: str, expected: int) -> float:
    """Seconds until the gateway counts so many replicas."""
    started = time.monotonic()
    while time.monotonic() < started + PATIENCE:
        if await asyncio.to_thread(mesh.replicas, stage) == expected:
            return time.monotonic() - started
        await asyncio.sleep(INTERVAL)
    pytest.fail(f"the gateway does not count {expected} replicas of {stage}")


async def _has_traffic(mesh: Mesh, name: str) -> float:
    """Seconds until a server that was killed has come back, is in again, and has answered."""
    started = time.monotonic()
    while time.monotonic() < started + PATIENCE:
        await asyncio.sleep(INTERVAL)
        if await asyncio.to_thread(mesh.calls, name):
            return time.monotonic() - started
    pytest.fail(f"{name} got no traffic after its restart")


def _calls(mesh: Mesh) -> dict[str, float]:
    return {name: mesh.calls(name) for names in REPLICAS.values() for name in names}
