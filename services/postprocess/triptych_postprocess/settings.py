"""Settings of postprocess."""

from dataclasses import dataclass, field

from triptych_servicekit import groups
from triptych_servicekit.settings import setting


@dataclass(frozen=True, slots=True)
class Listen(groups.Listen):
    """The ports of postprocess on one machine."""

    port: int = setting(50053, "Port of the gRPC listener.", minimum=0, maximum=65535)
    operations_port: int = setting(
        9103, "Port of /livez, /readyz and /metrics.", minimum=0, maximum=65535
    )


@dataclass(frozen=True, slots=True)
class Admin(groups.Admin):
    """The admin port of postprocess on one machine."""

    port: int = setting(9203, "Port of the admin listener.", minimum=0, maximum=65535)


@dataclass(frozen=True, slots=True)
class Computing:
    """Where the arithmetic is done."""

    threads: int = setting(0, "Threads for large calls; 0: one a core.", minimum=0, maximum=256)
    max_inline_bytes: int = setting(
        groups.MEBIBYTE,
        "Vectors of up to this size are computed at once, which takes less than handing them to a"
        " thread. Other arithmetic counts as so many bytes as are scaled in its time.",
        minimum=0,
    )
    max_call_tokens: int = setting(
        262_144, "Most tokens of one call that finds entities.", minimum=16
    )
    max_output_bytes: int = setting(
        32 * groups.MEBIBYTE,
        "Largest answer of one call, before anything is left out of it: all classes of a head"
        " count, and all tokens as entities.",
        minimum=1024,
    )


@dataclass(frozen=True, slots=True)
class PostprocessSettings:
    """All groups of postprocess."""

    listen: Listen = field(default_factory=Listen)
    tls: groups.Tls = field(default_factory=groups.Tls)
    limits: groups.Limits = field(default_factory=groups.Limits)
    lifecycle: groups.Lifecycle = field(default_factory=groups.Lifecycle)
    telemetry: groups.Telemetry = field(default_factory=groups.Telemetry)
    models: groups.LoadedModels = field(default_factory=groups.LoadedModels)
    admin: Admin = field(default_factory=Admin)
    computing: Computing = field(default_factory=Computing)
