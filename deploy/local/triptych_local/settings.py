"""Settings of a local run. The environment is read here and nowhere else."""

import os
from dataclasses import dataclass

from triptych_servicekit.groups import Models, Tls
from triptych_servicekit.settings import setting


@dataclass(frozen=True, slots=True)
class Http:
    """The gateway's HTTP listener."""

    port: int = setting(8080, "HTTP port of the gateway.", minimum=1, maximum=65535)


@dataclass(frozen=True, slots=True)
class Local:
    """Ports of the services on this machine, and the supervisor's patience."""

    gateway_port: int = setting(8081, "gRPC port of the gateway.", minimum=1, maximum=65535)
    tokenizer_port: int = setting(50051, "gRPC port of the tokenizer.", minimum=1, maximum=65535)
    encoder_port: int = setting(50052, "gRPC port of the encoder.", minimum=1, maximum=65535)
    postprocess_port: int = setting(
        50053, "gRPC port of the postprocess service.", minimum=1, maximum=65535
    )
    gateway_operations_port: int = setting(
        9100, "Operations port of the gateway.", minimum=1, maximum=65535
    )
    tokenizer_operations_port: int = setting(
        9101, "Operations port of the tokenizer.", minimum=1, maximum=65535
    )
    encoder_operations_port: int = setting(
        9102, "Operations port of the encoder.", minimum=1, maximum=65535
    )
    postprocess_operations_port: int = setting(
        9103, "Operations port of the postprocess service.", minimum=1, maximum=65535
    )
    ready_timeout: float = setting(
        120.0, "Seconds for every service to become ready before the run fails.", minimum=1
    )
    grace: float = setting(
        25.0, "Seconds a service has to stop before it is killed; above its own.", minimum=0
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What a local run reads; everything else in the environment reaches the services as it is."""

    http: Http
    local: Local
    models: Models
    tls: Tls


def inherited() -> dict[str, str]:
    """This process's own environment, which the services get too."""
    return dict(os.environ)
