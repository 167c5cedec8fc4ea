"""Settings of the gateway."""

from dataclasses import dataclass, field

from triptych_servicekit import groups
from triptych_servicekit.settings import setting


@dataclass(frozen=True, slots=True)
class Listen(groups.Listen):
    """The gateway's gRPC and operations ports on one machine."""

    port: int = setting(8081, "Port of the gRPC listener.", minimum=0, maximum=65535)
    operations_port: int = setting(
        9100, "Port of /livez, /readyz and /metrics.", minimum=0, maximum=65535
    )


@dataclass(frozen=True, slots=True)
class Http:
    """The REST listener."""

    host: str = setting("127.0.0.1", "Address of the REST listener; 0.0.0.0 in a container.")
    port: int = setting(8080, "Port of the REST listener.", minimum=0, maximum=65535)
    max_body_bytes: int = setting(16 * groups.MEBIBYTE, "Largest request body.", minimum=1024)
    max_buffered_bytes: int = setting(
        128 * groups.MEBIBYTE, "Large bodies of all requests in progress.", minimum=1024
    )


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the stages are: addresses separated by commas; a name stands for all its addresses."""

    tokenizer: tuple[str, ...] = setting(("127.0.0.1:50051",), "Tokenizer replicas.")
    encoder: tuple[str, ...] = setting(("127.0.0.1:50052",), "Encoder replicas.")
    postprocess: tuple[str, ...] = setting(("127.0.0.1:50053",), "Postprocess replicas.")
    tokenizer_pods: tuple[str, ...] = setting(
        (),
        "Name with an address for each pod, where a mesh has one address for all tokenizers: what"
        " may be in flight there is by their number. Empty: an address is one replica.",
    )
    encoder_pods: tuple[str, ...] = setting((), "The same for the encoders.")
    postprocess_pods: tuple[str, ...] = setting((), "The same for postprocess.")
    streams: bool = setting(
        True,
        "Whether calls of a replica share a stream. Calls of a stage with counted pods never do:"
        " what balances them there takes a stream for one call.",
    )
    resolve_interval: float = setting(
        5.0, "Seconds between look-ups of the names.", minimum=0.1, maximum=300
    )


@dataclass(frozen=True, slots=True)
class Requests:
    """Bounds of a client's request."""

    max_concurrent_requests: int = setting(4096, "Requests in progress, all routes.", minimum=1)
    max_client_batch_size: int = setting(2048, "Inputs of one request.", minimum=1)
    max_input_characters: int = setting(65_536, "Characters of one input.", minimum=1)
    max_windows: int = setting(
        1024, "Windows of one input, where inputs are read in windows.", minimum=1
    )
    max_request_windows: int = setting(4096, "Windows of all inputs of one request.", minimum=1)
    max_tasks: int = setting(8, "Tasks of one request to analyze.", minimum=1)
    max_scores: int = setting(
        1_048_576, "Scores of one answer: inputs times classes, or tokens to tag.", minimum=1
    )
    max_query_characters: int = setting(
        16_777_216,
        "Characters of a query, times the documents that a cross-encoder reads it with.",
        minimum=1,
    )
    timeout: float = setting(
        60.0, "Seconds a request may take; clients can ask for less.", minimum=0.001
    )
    max_queue_wait: float = setting(
        10.0, "Longest estimated wait, in seconds, with which a request is admitted.", minimum=0.001
    )


@dataclass(frozen=True, slots=True)
class Gathering:
    """How requests go through the stages together, and share their calls."""

    window_calls: int = setting(
        3,
        "Cohorts of requests per encoder replica, on their way to it or in it; beyond that only"
        " full ones go.",
        minimum=1,
    )
    window_tokens: int = setting(32768, "Tokens on their way per encoder replica.", minimum=16)
    call_tokens: int = setting(
        4096, "Tokens, by estimate, after which a cohort is full.", minimum=16
    )
    stage_calls: int = setting(16, "Calls in flight per replica of a stage.", minimum=1)
    tokenizer_call_characters: int = setting(
        65_536, "Characters after which a tokenizer call is full.", minimum=1024
    )
    postprocess_call_rows: int = setting(
        256, "Vectors after which a postprocess call is full.", minimum=1
    )
    max_call_characters: int = setting(
        1_048_576, "Most characters of one tokenizer call; a larger request is split.", minimum=1024
    )
    max_call_tokens: int = setting(
        16384, "Most tokens of one encoder call; a larger request is split.", minimum=16
    )


@dataclass(frozen=True, slots=True)
class Retries:
    """What happens when a stage fails. Only calls that are safe to repeat are repeated."""

    budget_ratio: float = setting(0.1, "Retries allowed per call made.", minimum=0, maximum=1)
    budget_reserve: int = setting(100, "Retries saved up at most, and at the start.", minimum=0)
    hold_timeout: float = setting(
        20.0, "Seconds requests are held while a stage has no replica.", minimum=0
    )


@dataclass(frozen=True, slots=True)
class Models(groups.Models):
    """Which bundles answer. The gateway holds none of them, it knows what there is."""

    hold_off: float = setting(
        5.0,
        "Seconds for which a bundle that a stage does not hold yet is not tried again, while the"
        " one before it answers.",
        minimum=0,
        maximum=3600,
    )
    max_shadow_requests: int = setting(
        8, "Requests to shadows in progress; more are dropped. 0: none are made.", minimum=0
    )


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All groups of the gateway."""

    listen: Listen = field(default_factory=Listen)
    http: Http = field(default_factory=Http)
    stages: Stages = field(default_factory=Stages)
    tls: groups.Tls = field(default_factory=groups.Tls)
    peer_tls: groups.PeerTls = field(default_factory=groups.PeerTls)
    limits: groups.Limits = field(default_factory=groups.Limits)
    requests: Requests = field(default_factory=Requests)
    gathering: Gathering = field(default_factory=Gathering)
    retries: Retries = field(default_factory=Retries)
    lifecycle: groups.Lifecycle = field(default_factory=groups.Lifecycle)
    telemetry: groups.Telemetry = field(default_factory=groups.Telemetry)
    admin: groups.Admin = field(default_factory=groups.Admin)
    models: Models = field(default_factory=Models)
