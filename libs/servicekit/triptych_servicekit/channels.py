"""gRPC channels and the credentials and options both ends agree on."""

from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from triptych_servicekit.groups import Lifecycle, Limits, PeerTls, Tls
from triptych_servicekit.settings import SettingsError

# A silent connection is probed after this long; the server allows half of it (gRFC A8, A9).
KEEPALIVE_MS: Final = 20_000
KEEPALIVE_TIMEOUT_MS: Final = 5_000
# A replica that comes back is found within a second instead of the library's 2 minutes.
RECONNECT_MIN_MS: Final = 100
RECONNECT_MAX_MS: Final = 1_000

Options = list[tuple[str, int | str]]


def channel(target: str, limits: Limits, tls: PeerTls) -> grpc.aio.Channel:
    """A channel to `target`, in plaintext unless `tls` names an authority."""
    options = client_options(limits)
    if not tls.ca_file:
        return grpc.aio.insecure_channel(target, options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(
        _read(tls.ca_file), _read_optional(tls.key_file), _read_optional(tls.cert_file)
    )
    return grpc.aio.secure_channel(target, credentials, options)


def client_options(limits: Limits) -> Options:
    """Options of every channel. Retries are the gateway's own, so the library makes none."""
    return [
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
        ("grpc.min_reconnect_backoff_ms", RECONNECT_MIN_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]


def server_options(limits: Limits, lifecycle: Lifecycle) -> Options:
    """Options of every server. A busy port is an error, not a second listener on it."""
    return [
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", round(lifecycle.max_connection_age * 1000)),
        ("grpc.max_connection_age_grace_ms", round(lifecycle.grace * 1000)),
    ]


def server_credentials(tls: Tls) -> grpc.ServerCredentials | None:
    """Credentials of a listener; None for plaintext. Raises SettingsError for half a pair."""
    if not (tls.cert_file or tls.key_file or tls.client_ca_file):
        return None
    if not (tls.cert_file and tls.key_file):
        raise SettingsError("TRIPTYCH_TLS_CERT_FILE and TRIPTYCH_TLS_KEY_FILE go together")
    authority = _read_optional(tls.client_ca_file)
    return grpc.ssl_server_credentials(
        [(_read(tls.key_file), _read(tls.cert_file))], authority, authority is not None
    )


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Give a server its port; the real one where it was 0. Raises SettingsError for a taken one."""
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise SettingsError(f"cannot listen on {address}: address in use or not ours") from None


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {name}: {error.strerror}") from None


def _read_optional(name: str) -> bytes | None:
    return _read(name) if name else None
