"""What every pod must be: confined, bounded, probed, and stopped in the time that it is given."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import ServiceDescriptor

from tests.k8s.cluster import Cluster, Object, containers, name_of, pod, ports, server, service_name
from triptych.v1 import encoder_service_pb2 as encoder
from triptych.v1 import gateway_service_pb2 as gateway
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych_servicekit.groups import Lifecycle
from triptych_servicekit.server import FLUSH_SECONDS
from triptych_servicekit.settings import load

CONTRACT: Final[dict[str, ServiceDescriptor]] = {
    name: module.DESCRIPTOR.services_by_name[f"{name.capitalize()}Service"]
    for name, module in (
        ("gateway", gateway),
        ("tokenizer", tokenizer),
        ("encoder", encoder),
        ("postprocess", postprocess),
    )
}
OPERATIONS: Final = ("/livez", "/readyz")
# Between the last answer and the end of the process: releasing a model, and the interpreter's exit.
RELEASE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Stopping:
    """The settings that every service stops by."""

    lifecycle: Lifecycle


def confinement(cluster: Cluster) -> Iterator[str]:
    """The restricted Pod Security Standard, and a file system that nobody writes to."""
    for one in cluster.workloads:
        yield from confined(one)


def confined(one: Object) -> Iterator[str]:
    """The same of one workload, of whatever kind."""
    context = pod(one).get("securityContext", {})
    if not context.get("runAsNonRoot") or context.get("runAsUser", 0) < 1000:
        yield f"{name_of(one)}: may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name_of(one)}: no seccomp profile"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod(one).get(field):
            yield f"{name_of(one)}: {field}"
    for container in containers(one):
        yield from _confined(one, container)


def _confined(one: Object, container: Object) -> Iterator[str]:
    place, context = f"{name_of(one)}: {container['name']}", container.get("securityContext", {})
    if context.get("runAsUser", 1000) < 1000 or context.get("runAsNonRoot") is False:
        yield f"{place}: runs as root"
    if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
        yield f"{place}: may gain privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{place}: keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{place}: writes to its root"


def identities(cluster: Cluster) -> Iterator[str]:
    """Each service has an account of its own, and no pod a token."""
    for one in cluster.workloads:
        account = pod(one).get("serviceAccountName", "default")
        if account != service_name(one) or not cluster.has("ServiceAccount", account):
            yield f"{name_of(one)}: serviceAccountName is {account}"
        if pod(one).get("automountServiceAccountToken") is not False:
            yield f"{name_of(one)}: mounts a token"
    for one in cluster.of("ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield f"{name_of(one)}: gives its token to pods"


def resources(cluster: Cluster) -> Iterator[str]:
    """Requests and limits of CPU and memory for every container, and no request over its limit."""
    for one in cluster.workloads:
        for container in containers(one):
            given = container.get("resources", {})
            for kind, name in ((k, n) for k in ("requests", "limits") for n in ("cpu", "memory")):
                if name not in given.get(kind, {}):
                    yield f"{name_of(one)}: {container['name']}: no {kind} of {name}"


def cards(cluster: Cluster) -> Iterator[str]:
    """Who holds a card computes on it, with bundles that have graphs for one; nobody else would."""
    for one in cluster.workloads:
        held = "nvidia.com/gpu" in server(one)["resources"]["limits"]
        device = cluster.settings_of(one).get("TRIPTYCH_RUNTIME_DEVICE", "cpu")
        if held != (device == "cuda"):
            yield f"{name_of(one)}: computes on {device}, {'with' if held else 'without'} a card"
    if any("nvidia.com/gpu" in server(one)["resources"]["limits"] for one in cluster.workloads):
        for image in {_models_image(one) for one in cluster.workloads}:
            if not image.endswith("-gpu") and "@" not in image:
                yield f"{image}: has no graphs for a GPU"


def _models_image(one: Object) -> str:
    return next(str(it["image"]) for it in containers(one) if it["name"] == "models")


def probes(cluster: Cluster) -> Iterator[str]:
    """Three probes apart: of real ports, of paths that answer, of the service's own health name."""
    for one in cluster.workloads:
        container = server(one)
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind not in container:
                yield f"{name_of(one)}: no {kind}"
            else:
                yield from _probe(one, kind, container[kind])
        if "grpc" not in container.get("readinessProbe", {}):
            yield f"{name_of(one)}: readiness is not what callers see"


def _probe(one: Object, kind: str, probe: Any) -> Iterator[str]:
    place, known = f"{name_of(one)}: {kind}", ports(one)
    if "httpGet" in probe:
        if known.get(probe["httpGet"]["port"]) != known.get("operations"):
            yield f"{place}: port {probe['httpGet']['port']}"
        if probe["httpGet"]["path"] not in OPERATIONS:
            yield f"{place}: path {probe['httpGet']['path']}"
    if "grpc" in probe:
        if probe["grpc"]["port"] != known.get("grpc"):
            yield f"{place}: port {probe['grpc']['port']}"
        if probe["grpc"].get("service") != CONTRACT[service_name(one)].full_name:
            yield f"{place}: service {probe['grpc'].get('service')}"


def stopping(cluster: Cluster) -> Iterator[str]:
    """A pod is given the time that its endpoints and its server take to stop."""
    for one in cluster.workloads:
        pause = server(one).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        life = load(Stopping, cluster.settings_of(one)).lifecycle
        drain = life.drain_delay + life.grace + FLUSH_SECONDS
        needed = pause.get("seconds", 0) + drain + RELEASE_SECONDS
        if not pause:
            yield f"{name_of(one)}: stops before its endpoints are gone"
        if pod(one)["terminationGracePeriodSeconds"] < needed:
            yield f"{name_of(one)}: is killed before it has drained, which takes {needed} s"
