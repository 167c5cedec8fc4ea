"""The groups of settings that every service has."""

from dataclasses import dataclass

from triptych_servicekit.settings import setting

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the service listens. Port 0 takes a free one."""

    host: str = setting("127.0.0.1", "Address of the data listener; 0.0.0.0 in a container.")
    port: int = setting(50051, "Port of the gRPC listener.", minimum=0, maximum=65535)
    operations_host: str = setting("127.0.0.1", "Address of the operations listener.")
    operations_port: int = setting(
        9100, "Port of /livez, /readyz and /metrics.", minimum=0, maximum=65535
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of both listeners, PEM files. All empty: plaintext, as in a mesh."""

    cert_file: str = setting("", "Certificate chain of the listeners.")
    key_file: str = setting("", "Private key of the listeners.")
    client_ca_file: str = setting("", "Authority that clients' certificates must come from.")


@dataclass(frozen=True, slots=True)
class PeerTls:
    """How this service proves itself to the services it calls. All empty: plaintext."""

    ca_file: str = setting("", "Authority that the peers' certificates come from; turns TLS on.")
    cert_file: str = setting("", "Own certificate chain, where peers ask for one.")
    key_file: str = setting("", "Own private key, where peers ask for one.")
    server_name: str = setting("", "Name expected in the peers' certificates, if not their host.")


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard caps. A request over one of them is refused before memory is taken for it."""

    max_concurrent_requests: int = setting(4096, "gRPC calls in progress.", minimum=1)
    max_message_bytes: int = setting(
        32 * MEBIBYTE, "Largest gRPC message in or out.", minimum=64 * 1024, maximum=1024 * MEBIBYTE
    )
    max_items: int = setting(16384, "Items of one call.", minimum=1)
    default_timeout: float = setting(
        60.0, "Seconds granted to a call that brings no deadline.", minimum=0.001
    )


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How the service stops."""

    drain_delay: float = setting(
        0.5,
        "Seconds between NOT_SERVING and the closed listener, for callers to notice.",
        minimum=0,
        maximum=300,
    )
    grace: float = setting(
        20.0, "Seconds for calls in progress to finish before they are cancelled.", minimum=0
    )
    max_connection_age: float = setting(
        300.0,
        "Seconds after which a connection is renewed (the library adds 10 % jitter), so that"
        " clients find new replicas.",
        minimum=1,
    )


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Logs."""

    log_level: str = setting(
        "INFO", "Least severe level logged.", choices=("DEBUG", "INFO", "WARNING", "ERROR")
    )
    log_format: str = setting("json", "How a log line looks.", choices=("json", "text"))


@dataclass(frozen=True, slots=True)
class Models:
    """Where bundles are, and how they are followed."""

    repository: str = setting("model-repository", "Folder of bundles, <name>/<version>/.")
    names: tuple[str, ...] = setting((), "Names to serve, separated by commas; empty: all.")
    poll_interval: float = setting(
        2.0, "Seconds between looks at the repository.", minimum=0.01, maximum=3600
    )
    drain_timeout: float = setting(
        30.0,
        "Seconds for which a bundle that has left the repository serves those who name its digest.",
        minimum=0,
        maximum=3600,
    )


@dataclass(frozen=True, slots=True)
class LoadedModels(Models):
    """The same for a service that loads them: how many it holds."""

    memory_budget_bytes: int = setting(
        0,
        "Most bytes of loaded bundles, by the size of their files; the one unused for longest goes"
        " first and comes back when it is called. 0: no limit.",
        minimum=0,
    )
    pinned: tuple[str, ...] = setting(
        (), "Names that are never unloaded to make room, separated by commas."
    )
    max_concurrent_loads: int = setting(
        2, "Bundles read and verified at the same time.", minimum=1, maximum=64
    )


@dataclass(frozen=True, slots=True)
class Admin:
    """The listener of AdminService. Off unless a token or an identity is set; with both, a call
    needs both."""

    host: str = setting("127.0.0.1", "Address of the admin listener.")
    port: int = setting(9200, "Port of the admin listener.", minimum=0, maximum=65535)
    token: str = setting(
        "", "Token that calls carry as `authorization: Bearer <token>`.", secret=True
    )
    token_file: str = setting("", "File with that token, instead.")
    client_ca_file: str = setting(
        "", "Authority of the clients' certificates, if not that of the data listener."
    )
    identities: tuple[str, ...] = setting(
        (),
        "Clients that may call, separated by commas: `uri:`, `dns:` or `cn:` and what their"
        " certificate says there.",
    )
