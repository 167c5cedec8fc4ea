"""One bootstrap of Envoy for each service account: the way in, the gateway, the stages."""

from collections.abc import Iterator, Sequence
from typing import Final

from deploy.mesh import clusters, listeners
from deploy.mesh.clusters import GRPC, Config
from deploy.mesh.policy import Policies, PolicyError, Upstream

ADMIN_PORT: Final = 15000
NAMESPACE: Final = "triptych"
# As Istio names the account of the proxies that it runs for the Gateway `triptych`.
ENTRANCE: Final = "triptych-istio"
STAGES: Final = ("tokenizer", "encoder", "postprocess")
HTTP: Final = 8080


def proxies(policies: Policies) -> Iterator[tuple[str, Config]]:
    """Service accounts and their bootstraps. Raises PolicyError where callers may hide."""
    if not policies.is_strict():
        raise PolicyError("PeerAuthentication is not STRICT")
    stages = [policies.upstream(f"{stage}-mesh") for stage in STAGES]
    yield ENTRANCE, entrance(policies)
    yield "gateway", sidecar(policies, "gateway", (GRPC, HTTP), stages)
    for stage in STAGES:
        yield stage, sidecar(policies, stage, (GRPC,), ())


def entrance(policies: Policies) -> Config:
    """The way in: to the gateway, by both of its protocols."""
    gateway, timeout = policies.upstream("gateway"), policies.entrance_timeout()
    return bootstrap(
        ENTRANCE,
        [listeners.entrance(gateway, port, timeout) for port in (HTTP, GRPC)],
        [clusters.remote(gateway, port, NAMESPACE) for port in (HTTP, GRPC)],
    )


def sidecar(
    policies: Policies, service: str, ports: tuple[int, ...], stages: Sequence[Upstream]
) -> Config:
    """What stands before a server and behind it: in by its rules, out to the stages it calls."""
    rules = policies.rules(service)
    return bootstrap(
        service,
        [
            *(listeners.inbound(port, rules) for port in ports),
            *(listeners.outbound(stage, GRPC) for stage in stages),
        ],
        [*(clusters.local(port, port == GRPC) for port in ports), *_called(policies, stages)],
    )


def _called(policies: Policies, stages: Sequence[Upstream]) -> Iterator[Config]:
    for stage in stages:
        if not stage.routes:
            raise PolicyError(f"no VirtualService says how {stage.host} is called")
        for host in stage.hosts():
            yield clusters.remote(policies.upstream(host), GRPC, NAMESPACE)


def bootstrap(name: str, served: list[Config], called: list[Config]) -> Config:
    """A proxy with these listeners and clusters, whose admin listener is its own pod's."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": ADMIN_PORT}}
    return {
        "node": {"id": name, "cluster": NAMESPACE},
        "admin": {"address": address},
        "static_resources": {
            "listeners": [*served, listeners.metrics()],
            "clusters": [*called, clusters.admin(ADMIN_PORT)],
        },
    }
