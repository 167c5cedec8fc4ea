"""The admin listener: who may call it, and what for."""

import contextlib
import datetime
import ipaddress
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.live import BEARER, TOKEN, Workshop, named, serving
from triptych.v1 import admin_service_pb2 as pb
from triptych.v1 import admin_service_pb2_grpc as rpc
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import SettingsError, load
from triptych_tokenizer.application import TokenizerApplication
from triptych_tokenizer.settings import TokenizerSettings

Pem = tuple[bytes, bytes]
PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = _builder(subject, key).issuer_name(subject)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        return cls(key, builder.add_extension(basic, critical=True).sign(key, hashes.SHA256()))

    def sign(self, name: str, *names: x509.GeneralName) -> Pem:
        """Key and certificate of a peer."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = _builder(subject, key).issuer_name(self.certificate.subject)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256()).public_bytes(PEM)
        private = key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private, certificate

    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a server's TLS, the authority of its clients, and one that nobody knows."""

    authority: Authority
    stranger: Authority
    environment: dict[str, str]


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    authority, stranger = Authority.make("authority"), Authority.make("stranger")
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    key, certificate = authority.sign("server", address, x509.DNSName("localhost"))
    files = {"key": key, "cert": certificate, "ca": authority.pem()}
    for name, content in files.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    environment = {
        "TRIPTYCH_TLS_CERT_FILE": str(tmp_path / "cert.pem"),
        "TRIPTYCH_TLS_KEY_FILE": str(tmp_path / "key.pem"),
        "TRIPTYCH_ADMIN_CLIENT_CA_FILE": str(tmp_path / "ca.pem"),
    }
    return Tls(authority, stranger, environment)


def settings_for(repository: Path, **extra: str) -> TokenizerSettings:
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0",
        "TRIPTYCH_MODELS_REPOSITORY": str(repository),
        "TRIPTYCH_ADMIN_PORT": "0",
        **extra,
    }
    return load(TokenizerSettings, environment)


@contextlib.asynccontextmanager
async def tokenizer(repository: Path, **extra: str) -> AsyncIterator[Server]:
    settings = settings_for(repository, **extra)
    async with running(TokenizerApplication(settings), settings) as server:
        yield server


async def code_of(
    server: Server,
    metadata: Sequence[tuple[str, str]] = (),
    credentials: grpc.ChannelCredentials | None = None,
) -> str:
    """What ListBundles answers."""
    address = f"127.0.0.1:{server.admin_port}"
    channel = (
        grpc.aio.secure_channel(address, credentials)
        if credentials
        else grpc.aio.insecure_channel(address)
    )
    async with channel:
        stub: Any = rpc.AdminServiceStub(channel)
        try:
            await stub.ListBundles(pb.ListBundlesRequest(), metadata=tuple(metadata), timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


async def test_it_is_off_unless_it_is_guarded(tmp_path: Path) -> None:
    async with tokenizer(tmp_path) as server:
        assert server.admin_port is None


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([], "UNAUTHENTICATED"),
        ([("authorization", TOKEN)], "UNAUTHENTICATED"),
        ([("authorization", f"Basic {TOKEN}")], "UNAUTHENTICATED"),
        ([("authorization", "Bearer ")], "UNAUTHENTICATED"),
        ([("authorization", f"Bearer {TOKEN[:-1]}")], "UNAUTHENTICATED"),
        ([("authorization", f"Bearer {TOKEN}x")], "UNAUTHENTICATED"),
        ([*BEARER, *BEARER], "UNAUTHENTICATED"),
        (BEARER, "OK"),
    ],
)
async def test_a_token(tmp_path: Path, metadata: Any, code: str) -> None:
    async with tokenizer(tmp_path, TRIPTYCH_ADMIN_TOKEN=TOKEN) as server:
        assert await code_of(server, metadata) == code


async def test_a_token_from_a_file_is_logged_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    settings = settings_for(tmp_path, TRIPTYCH_ADMIN_TOKEN_FILE=str(tmp_path / "token"))
    async with running(TokenizerApplication(settings), settings) as server:
        assert await code_of(server, BEARER) == "OK"
        assert await code_of(server) == "UNAUTHENTICATED"
    direct = settings_for(tmp_path, TRIPTYCH_ADMIN_TOKEN=TOKEN)
    assert TOKEN not in caplog.text + repr(settings) + repr(direct)


@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        ("uri:spiffe://cluster/operator", "OK"),
        ("dns:operator.example", "OK"),
        ("cn:operator", "OK"),
        ("cn:nobody,dns:operator.example", "OK"),
        # what is right as one kind says nothing as another
        ("dns:operator", "PERMISSION_DENIED"),
        ("cn:operator.example", "PERMISSION_DENIED"),
        ("uri:spiffe://cluster/operator2", "PERMISSION_DENIED"),
    ],
)
async def test_identities(tmp_path: Path, tls: Tls, allowed: str, code: str) -> None:
    key, certificate = tls.authority.sign(
        "operator",
        x509.UniformResourceIdentifier("spiffe://cluster/operator"),
        x509.DNSName("operator.example"),
    )
    ca = tls.authority.pem()
    settings = {**tls.environment, "TRIPTYCH_ADMIN_IDENTITIES": allowed}
    async with tokenizer(tmp_path, **settings) as server:
        mine = grpc.ssl_channel_credentials(ca, key, certificate)
        assert await code_of(server, credentials=mine) == code
        strangers = grpc.ssl_channel_credentials(ca, *tls.stranger.sign("operator"))
        assert await code_of(server, credentials=strangers) == "UNAVAILABLE"
        assert await code_of(server, credentials=grpc.ssl_channel_credentials(ca)) == "UNAVAILABLE"


async def test_with_a_token_and_an_identity_both_are_needed(tmp_path: Path, tls: Tls) -> None:
    settings = {
        **tls.environment,
        "TRIPTYCH_ADMIN_IDENTITIES": "cn:operator",
        "TRIPTYCH_ADMIN_TOKEN": TOKEN,
    }
    ca = tls.authority.pem()
    mine = grpc.ssl_channel_credentials(ca, *tls.authority.sign("operator"))
    others = grpc.ssl_channel_credentials(ca, *tls.authority.sign("other"))
    async with tokenizer(tmp_path, **settings) as server:
        assert await code_of(server, BEARER, mine) == "OK"
        assert await code_of(server, [], mine) == "UNAUTHENTICATED"
        assert await code_of(server, BEARER, others) == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"TRIPTYCH_ADMIN_TOKEN": "short"}, "less than 16 characters"),
        ({"TRIPTYCH_ADMIN_TOKEN": TOKEN, "TRIPTYCH_ADMIN_TOKEN_FILE": "x"}, "exclude each other"),
        ({"TRIPTYCH_ADMIN_TOKEN_FILE": "nowhere"}, "cannot be read"),
        ({"TRIPTYCH_ADMIN_IDENTITIES": "operator"}, "begins with none of"),
        ({"TRIPTYCH_ADMIN_IDENTITIES": "cn:operator"}, "needs TRIPTYCH_TLS_CERT_FILE"),
    ],
)
async def test_settings_that_would_not_guard_it(
    tmp_path: Path, extra: dict[str, str], message: str
) -> None:
    settings = settings_for(tmp_path, **extra)
    with pytest.raises(SettingsError, match=message) as refused:
        Server(TokenizerApplication(settings), settings)
    assert "short" not in str(refused.value)


async def test_what_can_be_asked_for(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    (workshop.repository / ".staging").mkdir()
    first, second = workshop.install(version="1"), workshop.install(version="2", seed=8)
    async with serving(TokenizerApplication, TokenizerSettings, workshop.repository) as live:
        listed = await live.admin.ListBundles(pb.ListBundlesRequest(), metadata=BEARER)
        assert [bundle.model.digest for bundle in listed.bundles] == [first.digest, second.digest]
        assert listed.bundles[0].size_bytes == first.record("tokenizer.json").bytes
        unload = pb.UnloadModelRequest(model=named("tiny", "2"))
        left = await live.admin.UnloadModel(unload, metadata=BEARER)
        assert left.bundle.state == pb.BUNDLE_STATE_UNLOADED
        await live.until(v1="LOADED", v2="UNLOADED")
        load_newest = pb.LoadModelRequest(model=named("tiny"))
        loaded = await live.admin.LoadModel(load_newest, metadata=BEARER)
        assert (loaded.bundle.state, loaded.bundle.model.version) == (pb.BUNDLE_STATE_LOADED, "2")
        for request, field in (
            (pb.LoadModelRequest(), "model.name"),
            (pb.LoadModelRequest(model=named("tiny", digest=first.digest)), "model.digest"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.admin.LoadModel(request, metadata=BEARER)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, field
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.admin.LoadModel(pb.LoadModelRequest(model=named("no")), metadata=BEARER)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
