"""Settings of the tokenizer."""

from dataclasses import dataclass, field

from triptych_servicekit import groups
from triptych_servicekit.settings import setting


@dataclass(frozen=True, slots=True)
class Listen(groups.Listen):
    """The tokenizer's ports on one machine."""

    port: int = setting(50051, "Port of the gRPC listener.", minimum=0, maximum=65535)
    operations_port: int = setting(
        9101, "Port of /livez, /readyz and /metrics.", minimum=0, maximum=65535
    )


@dataclass(frozen=True, slots=True)
class Admin(groups.Admin):
    """The tokenizer's admin port on one machine."""

    port: int = setting(9201, "Port of the admin listener.", minimum=0, maximum=65535)


@dataclass(frozen=True, slots=True)
class Tokenizing:
    """How much text is taken on, and how it is cut into work. Characters are code points."""

    threads: int = setting(0, "Threads that tokenize; 0: one a core.", minimum=0, maximum=256)
    max_input_characters: int = setting(
        65536, "Characters of one text, or ids of one item of token ids.", minimum=1
    )
    max_call_characters: int = setting(
        8 * groups.MEBIBYTE, "Characters and ids of one call.", minimum=1
    )
    max_call_tokens: int = setting(
        groups.MEBIBYTE,
        "Tokens in the sequences of one call, windows counted in full. With every column this many"
        " fill a message of 32 MB.",
        minimum=1,
        maximum=2**31 - 1,
    )
    max_queued_characters: int = setting(
        64 * groups.MEBIBYTE,
        "Characters and ids that wait or are tokenized, in all calls; about 10 seconds of work for"
        " two cores.",
        minimum=1,
    )
    chunk_characters: int = setting(
        8192,
        "Characters tokenized by one thread in one go; calls in progress take turns after each.",
        minimum=1,
    )


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """All groups of the tokenizer."""

    listen: Listen = field(default_factory=Listen)
    tls: groups.Tls = field(default_factory=groups.Tls)
    limits: groups.Limits = field(default_factory=groups.Limits)
    lifecycle: groups.Lifecycle = field(default_factory=groups.Lifecycle)
    telemetry: groups.Telemetry = field(default_factory=groups.Telemetry)
    models: groups.LoadedModels = field(default_factory=groups.LoadedModels)
    admin: Admin = field(default_factory=Admin)
    tokenizing: Tokenizing = field(default_factory=Tokenizing)
