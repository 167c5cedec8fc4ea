"""The four services as the supervisor's data."""

import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from triptych_local.ports import LOOPBACK, choose
from triptych_local.service import GRPC, HTTP, OPERATIONS, Port, Service
from triptych_local.settings import Local, Settings

GATEWAY: Final = "gateway"
STAGES: Final = ("tokenizer", "encoder", "postprocess")
EXAMPLE_MODEL: Final = "all-minilm-l6-v2"


def platform(settings: Settings, inherited: Mapping[str, str]) -> list[Service]:
    """The services in the order in which they stop: the gateway drains before its stages go."""
    shared = {
        # beside the bundles, so that a second start need not measure
        "TRIPTYCH_BATCHING_COST_CACHE": str(Path(settings.models.repository) / ".cache" / "costs"),
        **inherited,
        # Lines reach the console when they are written, not when a buffer is full.
        "PYTHONUNBUFFERED": "1",
        "TRIPTYCH_MODELS_REPOSITORY": settings.models.repository,
        "TRIPTYCH_TELEMETRY_LOG_FORMAT": "text",
    }
    http = Port(HTTP, settings.http.port, "TRIPTYCH_HTTP_PORT")
    addresses = {
        f"TRIPTYCH_STAGES_{name.upper()}": f"{LOOPBACK}:{getattr(settings.local, f'{name}_port')}"
        for name in STAGES
    }
    gateway = _service(GATEWAY, settings.local, {**shared, **addresses}, http)
    return [gateway, *(_service(name, settings.local, shared) for name in STAGES)]


def with_free_ports(settings: Settings) -> Settings:
    """The same settings, every port replaced by a free one."""
    names = [item.name for item in fields(Local) if item.name.endswith("_port")]
    http, *others = choose(1 + len(names))
    local = replace(settings.local, **dict(zip(names, others, strict=True)))
    return replace(settings, http=replace(settings.http, port=http), local=local)


def welcome(settings: Settings) -> str:
    """Where everything is, and one line to try."""
    url = f"http://{LOOPBACK}:{settings.http.port}"
    body = f'{{"model":"{EXAMPLE_MODEL}","input":"hello world"}}'
    return "\n".join(
        (
            f"Triptych is ready:  {url}",
            f"  documentation     {url}/docs",
            f"  gRPC              {LOOPBACK}:{settings.local.gateway_port}",
            "Try:",
            f"  curl -s {url}/v1/embeddings -H 'content-type: application/json' -d '{body}'",
        )
    )


def _service(name: str, local: Local, environment: Mapping[str, str], *more: Port) -> Service:
    grpc, operations = f"{name}_port", f"{name}_operations_port"
    ports = (
        Port(GRPC, getattr(local, grpc), f"TRIPTYCH_LOCAL_{grpc.upper()}"),
        Port(OPERATIONS, getattr(local, operations), f"TRIPTYCH_LOCAL_{operations.upper()}"),
        *more,
    )
    variables = {
        "TRIPTYCH_LISTEN_PORT": str(ports[0].number),
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": str(ports[1].number),
        **{f"TRIPTYCH_{port.kind.upper()}_PORT": str(port.number) for port in more},
    }
    command = (sys.executable, "-m", f"triptych_{name}")
    return Service(name, command, {**environment, **variables}, ports)
