"""servicekit's server with a small application: health, operations, TLS, and the stop."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych_servicekit import groups
from triptych_servicekit.channels import channel
from triptych_servicekit.errors import Overloaded, Unavailable
from triptych_servicekit.logs import JsonFormatter, request_id
from triptych_servicekit.metrics import Metrics
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import SettingsError, load
from triptych_servicekit.status import from_rpc_error

SERVICE = "triptych.v1.TokenizerService"


@dataclass(frozen=True)
class Settings:
    listen: groups.Listen = field(default_factory=groups.Listen)
    tls: groups.Tls = field(default_factory=groups.Tls)
    limits: groups.Limits = field(default_factory=groups.Limits)
    lifecycle: groups.Lifecycle = field(default_factory=groups.Lifecycle)
    telemetry: groups.Telemetry = field(default_factory=groups.Telemetry)


class Servicer(rpc.TokenizerServiceServicer):
    """`prompt_name` says what to do: sleep so many seconds, or fail."""

    async def Tokenize(self, request: pb.TokenizeRequest, context: Any) -> pb.TokenizeResponse:  # noqa: N802
        if request.options.prompt_name == "fail":
            raise RuntimeError("secret")
        await asyncio.sleep(float(request.options.prompt_name or 0))
        return pb.TokenizeResponse()

    async def Detokenize(  # noqa: N802
        self, request: pb.DetokenizeRequest, context: Any
    ) -> pb.DetokenizeResponse:
        return pb.DetokenizeResponse()


class Application:
    """Serves what Servicer does; `problems` makes it unready."""

    name = "tokenizer"

    def __init__(self) -> None:
        self.metrics = Metrics("tokenizer")
        self.problems: list[str] = []
        self.stopped = False

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        rpc.add_TokenizerServiceServicer_to_server(Servicer(), server)
        return [SERVICE]

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        self.stopped = True

    def dead(self) -> Sequence[str]:
        return []

    def unready(self) -> Sequence[str]:
        return self.problems


def settings_with(**environment: str) -> Settings:
    return load(
        Settings,
        {
            "TRIPTYCH_LISTEN_PORT": "0",
            "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
            "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.1",
            **environment,
        },
    )


def doing(what: str) -> pb.TokenizeRequest:
    return pb.TokenizeRequest(options=pb.TokenizeOptions(prompt_name=what))


async def test_operations_tell_the_state() -> None:
    application, settings = Application(), settings_with()
    async with running(application, settings) as server, httpx.AsyncClient() as client:
        base = f"http://127.0.0.1:{server.operations_port}"
        assert (await client.get(f"{base}/livez")).status_code == 200
        assert (await client.get(f"{base}/readyz")).status_code == 200
        assert "triptych_tokenizer_in_flight_requests" in (await client.get(f"{base}/metrics")).text
        application.problems = ["no model"]
        answer = await client.get(f"{base}/readyz")
        assert (answer.status_code, answer.json()["problems"]) == (503, ["no model"])
        assert (await client.get(f"{base}/other")).status_code == 404
        assert (await client.post(f"{base}/livez")).status_code == 405
    assert application.stopped


async def test_health_follows_the_application() -> None:
    application, settings = Application(), settings_with()
    async with (
        running(application, settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened,
    ):
        stub: Any = health_pb2_grpc.HealthStub(opened)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        states = [(await watch.read()).status]
        while states[-1] != health_pb2.HealthCheckResponse.SERVING:
            states.append((await watch.read()).status)
        application.problems = ["broken"]
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


async def test_a_stop_finishes_what_was_read_and_ends_watches() -> None:
    settings = settings_with()
    server = Server(Application(), settings)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        health: Any = health_pb2_grpc.HealthStub(opened)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        await watch.read()
        call = asyncio.ensure_future(rpc.TokenizerServiceStub(opened).Tokenize(doing("0.8")))
        await asyncio.sleep(0.1)
        stopping = asyncio.ensure_future(server.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert isinstance(await call, pb.TokenizeResponse)
        await asyncio.wait_for(stopping, 3)  # far below the grace: the watch did not hold it up


async def test_what_outlasts_the_grace_is_cancelled() -> None:
    settings = settings_with(TRIPTYCH_LIFECYCLE_GRACE="0.2")
    server = Server(Application(), settings)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        call = asyncio.ensure_future(rpc.TokenizerServiceStub(opened).Tokenize(doing("30")))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(server.stop(), 5)
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call


async def test_calls_over_the_limit_are_refused_at_once() -> None:
    settings = settings_with(TRIPTYCH_LIMITS_MAX_CONCURRENT_REQUESTS="2")
    async with (
        running(Application(), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened,
    ):
        stub = rpc.TokenizerServiceStub(opened)
        calls = [asyncio.ensure_future(stub.Tokenize(doing("0.5"))) for _ in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [from_rpc_error(r) for r in results if isinstance(r, grpc.aio.AioRpcError)]
    assert len(refused) == 1
    assert isinstance(refused[0], Overloaded)
    assert refused[0].retry_after


async def test_nothing_of_the_inside_gets_out(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running(Application(), settings_with()) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await rpc.TokenizerServiceStub(opened).Tokenize(doing("fail"))
    assert failed.value.code() == grpc.StatusCode.INTERNAL
    assert failed.value.details() == "internal error"
    assert "secret" in caplog.text


async def test_a_message_that_cannot_be_read_is_the_callers_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        running(Application(), settings_with()) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened,
    ):
        call: Any = opened.unary_unary(f"/{SERVICE}/Tokenize")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"\xff\xff")
    assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details() == "the request is no message of this method"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_stopped_server_is_unavailable() -> None:
    server = Server(Application(), settings_with())
    await server.start()
    port = server.port
    await server.stop()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await rpc.TokenizerServiceStub(opened).Tokenize(doing("0"))
    assert isinstance(from_rpc_error(failed.value), Unavailable)


@pytest.mark.parametrize("variable", ["TRIPTYCH_LISTEN_PORT", "TRIPTYCH_LISTEN_OPERATIONS_PORT"])
async def test_a_busy_port_is_a_clear_error(variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            Server(Application(), settings_with(**{variable: str(port)}))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    return tmp_path / "cert.pem", tmp_path / "key.pem"


async def test_both_listeners_speak_tls(certificate: tuple[Path, Path]) -> None:
    cert, key = map(str, certificate)
    settings = settings_with(
        TRIPTYCH_TLS_CERT_FILE=cert, TRIPTYCH_TLS_KEY_FILE=key, TRIPTYCH_TLS_CLIENT_CA_FILE=cert
    )
    peer = groups.PeerTls(cert, cert, key, "localhost")
    context = ssl.create_default_context(cafile=cert)
    context.load_cert_chain(cert, key)
    async with running(Application(), settings) as server:
        async with channel(f"127.0.0.1:{server.port}", settings.limits, peer) as opened:
            await rpc.TokenizerServiceStub(opened).Tokenize(doing("0"), wait_for_ready=True)
        async with httpx.AsyncClient(verify=context) as client:
            answer = await client.get(f"https://localhost:{server.operations_port}/readyz")
            assert answer.status_code == 200
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await rpc.TokenizerServiceStub(plain).Tokenize(doing("0"))


async def test_half_a_pair_of_tls_files_is_refused() -> None:
    with pytest.raises(SettingsError, match="go together"):
        Server(Application(), settings_with(TRIPTYCH_TLS_CERT_FILE="cert.pem"))


def test_a_log_line_is_json_with_its_request() -> None:
    token = request_id.set("abc")
    record = logging.makeLogRecord({"msg": "hi %s", "args": ("you",), "levelname": "INFO", "n": 3})
    line = json.loads(JsonFormatter("encoder").format(record))
    request_id.reset(token)
    assert line["message"] == "hi you"
    assert (line["service"], line["request_id"], line["n"]) == ("encoder", "abc", 3)
