"""Settings of the encoder."""

from dataclasses import dataclass, field

from triptych_servicekit import groups
from triptych_servicekit.settings import setting


@dataclass(frozen=True, slots=True)
class Listen(groups.Listen):
    """The encoder's ports on one machine."""

    port: int = setting(50052, "Port of the gRPC listener.", minimum=0, maximum=65535)
    operations_port: int = setting(
        9102, "Port of /livez, /readyz and /metrics.", minimum=0, maximum=65535
    )


@dataclass(frozen=True, slots=True)
class Admin(groups.Admin):
    """The encoder's admin port on one machine."""

    port: int = setting(9202, "Port of the admin listener.", minimum=0, maximum=65535)


@dataclass(frozen=True, slots=True)
class Batching:
    """How sequences share runs of the graph, and how many may wait."""

    max_batch_tokens: int = setting(
        0,
        "Most tokens of a run, padding included; a longer sequence runs alone. 0: what suits the"
        " device, 512 on a CPU and 16384 on a GPU.",
        minimum=0,
        maximum=131_072,
    )
    run_overhead_tokens: int = setting(
        0,
        "What starting a run costs, in tokens; weighs padding against more runs. 0: measured when"
        " a model is loaded.",
        minimum=0,
        maximum=4096,
    )
    cost_cache: str = setting(
        "", "Folder that keeps what was measured from one start to the next; empty: none."
    )
    max_call_tokens: int = setting(16384, "Most tokens of one Encode call.", minimum=16)
    max_queued_tokens: int = setting(
        1_048_576, "Most tokens that wait or run, counted once for each call.", minimum=16
    )
    max_queue_wait: float = setting(
        10.0, "Longest estimated wait, in seconds, with which a call is admitted.", minimum=0.001
    )


@dataclass(frozen=True, slots=True)
class Runtime:
    """How the graph is run."""

    device: str = setting(
        "cpu",
        "What runs the graphs; cuda needs the image for GPUs and bundles compiled for one.",
        choices=("cpu", "cuda"),
    )
    precision: str = setting(
        "fp32",
        "What vectors are computed in: bf16 needs the extra `openvino` and a processor that has it,"
        " int8 a bundle compiled for it; auto takes bf16 where it is faster and close enough.",
        choices=("fp32", "bf16", "int8", "auto"),
    )
    workers: int = setting(
        0,
        "Runs at the same time, one thread each; 0: one a core, on a GPU two, of which one computes"
        " while the other is packed and copied.",
        minimum=0,
        maximum=256,
    )
    max_alone_graph_bytes: int = setting(
        256 * groups.MEBIBYTE,
        "Largest graph that is opened a second time, on a CPU, for several threads to share its run"
        " while nothing else runs or waits: an idle platform answers sooner, for the memory of that"
        " graph. 0: none is, nor with a memory budget.",
        minimum=0,
    )
    gpu_memory_bytes: int = setting(
        0,
        "Most memory of the GPU that runs of a model may take, weights aside; 0: four fifths of"
        " what is free when it is loaded.",
        minimum=0,
    )
    cuda_graphs: bool = setting(
        True, "Whether runs of up to 4096 tokens are recorded when a model is loaded, and replayed."
    )
    max_token_output_bytes: int = setting(
        16 * groups.MEBIBYTE,
        "Largest HIDDEN and TOKEN_LOGITS outputs of one call, together.",
        minimum=1024,
    )
    max_segments: int = setting(16384, "Most segments of one SEGMENTS output.", minimum=1)


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """All groups of the encoder."""

    listen: Listen = field(default_factory=Listen)
    tls: groups.Tls = field(default_factory=groups.Tls)
    limits: groups.Limits = field(default_factory=groups.Limits)
    lifecycle: groups.Lifecycle = field(default_factory=groups.Lifecycle)
    telemetry: groups.Telemetry = field(default_factory=groups.Telemetry)
    models: groups.LoadedModels = field(default_factory=groups.LoadedModels)
    admin: Admin = field(default_factory=Admin)
    batching: Batching = field(default_factory=Batching)
    runtime: Runtime = field(default_factory=Runtime)
