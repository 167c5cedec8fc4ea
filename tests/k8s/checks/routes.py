"""How stages are called in a mesh: by one kind of route, of Services with pods and a policy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.k8s.cluster import Cluster, Object, name_of, server
from triptych_gateway.settings import Requests

HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"
STAGES: Final = ("tokenizer", "encoder", "postprocess")
TRACK: Final = "triptych.dev/track"
# What the Gateway API's routes leave of the mesh's own attempts: 0 would mean no bound.
MAX_RETRIES: Final = 1


@dataclass(frozen=True, slots=True)
class Way:
    """One rule of a stage's route, whichever kind the route is of."""

    name: str
    health: bool
    seconds: float
    weights: Sequence[int]
    hosts: Sequence[str]
    copies: Sequence[str]
    repeats: bool


def in_mesh(cluster: Cluster) -> bool:
    """Whether a mesh is among the components."""
    return bool(cluster.of("PeerAuthentication"))


def is_of_a_stage(route: Object) -> bool:
    """Whether an HTTPRoute is attached to a Service rather than to a way in."""
    return all(parent.get("kind") == "Service" for parent in route["spec"]["parentRefs"])


def stage_routes(cluster: Cluster) -> list[Object]:
    """The routes of the stages, of both kinds."""
    attached = [one for one in cluster.of("HTTPRoute") if is_of_a_stage(one)]
    return [*cluster.of("VirtualService"), *attached]


def kinds(cluster: Cluster) -> Iterator[str]:
    """Every stage has one route; what Istio calls alpha in ambient mode is not there."""
    found = stage_routes(cluster)
    for stage in STAGES if in_mesh(cluster) else ():
        named = [one for one in found if f"{stage}-mesh" in called(one)]
        if len(named) != 1:
            yield f"Service/{stage}-mesh: has {len(named)} routes"
    if cluster.has("Gateway", "waypoint"):
        for one in cluster.of("VirtualService"):
            yield f"{name_of(one)}: a waypoint takes routes of the Gateway API"


def called(route: Object) -> list[str]:
    """The Services whose calls a route takes."""
    if route["kind"] == "VirtualService":
        return list(route["spec"]["hosts"])
    return [parent["name"] for parent in route["spec"]["parentRefs"]]


def ways(route: Object) -> list[Way]:
    """The rules of a route of either kind."""
    if route["kind"] == "VirtualService":
        return [_of_istio(one) for one in route["spec"]["http"]]
    return [_of_the_gateway_api(one) for one in route["spec"]["rules"]]


def _of_istio(rule: Any) -> Way:
    return Way(
        name=rule["name"],
        health=rule.get("match") == [{"uri": {"prefix": HEALTH_PREFIX}}],
        seconds=_seconds(rule.get("timeout", "0s")),
        weights=[one.get("weight", 100) for one in rule["route"]],
        hosts=[one["destination"]["host"] for one in rule["route"]],
        copies=[rule["mirror"]["host"]] if "mirror" in rule else [],
        repeats=rule.get("retries") != {"attempts": 0},
    )


def _of_the_gateway_api(rule: Any) -> Way:
    filters = [one["requestMirror"] for one in rule.get("filters", []) if "requestMirror" in one]
    prefix = [{"path": {"type": "PathPrefix", "value": HEALTH_PREFIX}}]
    return Way(
        name=rule["name"],
        health=rule.get("matches") == prefix,
        seconds=_seconds(rule.get("timeouts", {}).get("request", "0s")),
        weights=[one.get("weight", 100) for one in rule["backendRefs"]],
        hosts=[one["name"] for one in rule["backendRefs"]],
        copies=[one["backendRef"]["name"] for one in filters],
        repeats=False,  # there is no word for it: `balancing` bounds it
    )


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def destinations(cluster: Cluster) -> Iterator[str]:
    """Routes lead to Services that have pods, all of one track, with weights that are all of it."""
    for route in stage_routes(cluster):
        for host in called(route):
            if not cluster.has("Service", host):
                yield f"{name_of(route)}: no Service {host}"
        for way in ways(route):
            if sum(way.weights) != 100:
                yield f"{name_of(route)}: weights are {way.weights}"
            for host in (*way.hosts, *way.copies):
                yield from _leads(cluster, f"{name_of(route)}: {host}", host)


def _leads(cluster: Cluster, place: str, host: str) -> Iterator[str]:
    if not cluster.has("Service", host):
        yield f"{place}: no such Service"
        return
    selector = cluster.named("Service", host)["spec"]["selector"]
    if not cluster.selected(selector):
        yield f"{place}: no pods"
    if TRACK not in selector:
        yield f"{place}: has the pods of every track"


def patience(cluster: Cluster) -> Iterator[str]:
    """The mesh repeats nothing, outwaits the gateway, and ends watches before a pod stops."""
    for route in stage_routes(cluster):
        first, *rest = ways(route)
        if not first.health:
            yield f"{name_of(route)}: health has no route of its own"
        if not 0 < first.seconds < _shortest_pause(cluster):
            yield f"{name_of(route)}: a watch may outlive its pod's place"
        for way in rest:
            if way.seconds <= Requests().timeout:
                yield f"{name_of(route)}: {way.name} ends before its caller's time is over"
        for way in (first, *rest):
            if way.repeats:
                yield f"{name_of(route)}: {way.name} is repeated by the mesh"


def _shortest_pause(cluster: Cluster) -> float:
    return min(
        float(server(one)["lifecycle"]["preStop"]["sleep"]["seconds"]) for one in cluster.workloads
    )


def balancing(cluster: Cluster) -> Iterator[str]:
    """Every Service that routes lead to is balanced by load, with limits, without failing pods."""
    rules = {one["spec"]["host"]: one for one in cluster.of("DestinationRule")}
    for host in rules:
        if not cluster.has("Service", host):
            yield f"{name_of(rules[host])}: no Service {host}"
    waypoint = cluster.has("Gateway", "waypoint")
    for host in sorted(set(_of_stages(cluster)) | set(_of_the_way_in(cluster))):
        if host not in rules:
            yield f"Service/{host}: no DestinationRule"
            continue
        policy = rules[host]["spec"]["trafficPolicy"]
        yield from _balanced(name_of(rules[host]), policy)
        retries = policy["connectionPool"]["http"].get("maxRetries")
        if waypoint and host in _of_stages(cluster) and retries != MAX_RETRIES:
            yield f"{name_of(rules[host])}: the mesh's attempts are not bounded"


def _balanced(place: str, policy: Any) -> Iterator[str]:
    if policy["loadBalancer"] != {"simple": "LEAST_REQUEST"}:
        yield f"{place}: not balanced by load"
    if policy["outlierDetection"].get("maxEjectionPercent", 10) > 50:
        yield f"{place}: may eject more than half"
    if "http2MaxRequests" not in policy["connectionPool"]["http"]:
        yield f"{place}: no limit of requests"


def _of_stages(cluster: Cluster) -> list[str]:
    return [
        host
        for route in stage_routes(cluster)
        for way in ways(route)
        for host in (*way.hosts, *way.copies)
    ]


def _of_the_way_in(cluster: Cluster) -> list[str]:
    return [
        way["name"]
        for route in cluster.of("HTTPRoute", "GRPCRoute")
        if not is_of_a_stage(route)
        for rule in route["spec"]["rules"]
        for way in rule.get("backendRefs", [])
    ]


def counting(cluster: Cluster) -> Iterator[str]:
    """Behind a mesh's address the gateway counts the pods that are there, by a headless Service."""
    for workload in cluster.selected({"app.kubernetes.io/name": "gateway"}):
        given = cluster.settings_of(workload)
        for stage in STAGES:
            variable = f"TRIPTYCH_STAGES_{stage.upper()}"
            host, counted = (_host(given, name) for name in (variable, f"{variable}_PODS"))
            if host.endswith("-mesh"):
                yield from _counts(cluster, f"{name_of(workload)}: {variable}_PODS", host, counted)
            elif counted:
                yield f"{name_of(workload)}: {variable}_PODS: {host} is no address of many"


def _host(given: dict[str, str], variable: str) -> str:
    return given.get(variable, "").rpartition(":")[0]


def _counts(cluster: Cluster, place: str, host: str, counted: str) -> Iterator[str]:
    if not cluster.has("Service", counted) or not cluster.has("Service", host):
        yield f"{place}: no Service {counted or 'is named'}"
        return
    names, address = (cluster.named("Service", one)["spec"] for one in (counted, host))
    if names.get("clusterIP") != "None":
        yield f"{place}: {counted} has one address"
    if names["selector"] != address["selector"]:
        yield f"{place}: {counted} has other pods than {host}"
