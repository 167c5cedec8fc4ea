"""The mesh: strict identities, methods by name, and routes that lead to pods."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from tests.k8s.checks.pods import CONTRACT
from tests.k8s.cluster import Cluster, Object, name_of, server, service_name
from triptych_gateway.settings import Requests

HEALTH_METHODS: Final = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"
# Who calls whom: by service account, which for the way in is the one that Istio makes.
CALLERS: Final = {
    "gateway": "triptych-istio",
    "tokenizer": "gateway",
    "encoder": "gateway",
    "postprocess": "gateway",
}


def methods(name: str) -> list[str]:
    """The paths of a service's methods, health included."""
    service = CONTRACT[name]
    return [*(f"/{service.full_name}/{one.name}" for one in service.methods), *HEALTH_METHODS]


def in_mesh(cluster: Cluster) -> bool:
    """Whether a mesh is among the components."""
    return bool(cluster.of("PeerAuthentication"))


def encryption(cluster: Cluster) -> Iterator[str]:
    """No data port takes a caller without a certificate."""
    for one in cluster.of("PeerAuthentication"):
        spec = one["spec"]
        if spec["mtls"]["mode"] != "STRICT":
            yield f"{name_of(one)}: {spec['mtls']['mode']}"
        for port in spec.get("portLevelMtls", {}):
            if port != "9100":
                yield f"{name_of(one)}: port {port} is exempt"


def authorization(cluster: Cluster) -> Iterator[str]:
    """Deny by default; then each service's methods to the one that calls them."""
    if not in_mesh(cluster):
        return
    if not any(one["spec"] == {} for one in cluster.of("AuthorizationPolicy")):
        yield "AuthorizationPolicy: nothing is denied by default"
    for name, caller in CALLERS.items():
        if not cluster.has("AuthorizationPolicy", name):
            yield f"Service/{name}: no AuthorizationPolicy"
            continue
        policy = cluster.named("AuthorizationPolicy", name)
        yield from _applies(cluster, policy, name)
        for rule in policy["spec"]["rules"]:
            sources = [one["source"] for one in rule.get("from", [])]
            if sources != [{"serviceAccounts": [caller]}]:
                yield f"{name_of(policy)}: callers are {sources}"
        if sorted(_paths(policy)) != sorted(methods(name)):
            yield f"{name_of(policy)}: methods are {_paths(policy)}"


def _paths(policy: Object) -> list[str]:
    return [
        path
        for rule in policy["spec"]["rules"]
        for to in rule.get("to", [])
        if "50051" in to["operation"]["ports"]
        for path in to["operation"].get("paths", ["*"])
    ]


def _applies(cluster: Cluster, policy: Object, name: str) -> Iterator[str]:
    """To all pods of the service: by their labels, or by the Service that callers name."""
    spec = policy["spec"]
    labels = spec.get("selector", {}).get("matchLabels")
    if labels is not None and labels != {"app.kubernetes.io/name": name}:
        yield f"{name_of(policy)}: selects {labels}"
    wanted = name if name == "gateway" else f"{name}-mesh"
    for target in spec.get("targetRefs", []):
        if target["name"] != wanted or not cluster.has("Service", wanted):
            yield f"{name_of(policy)}: targets {target['name']}"
    if labels is None and not spec.get("targetRefs"):
        yield f"{name_of(policy)}: applies to everything"


def waypoints(cluster: Cluster) -> Iterator[str]:
    """Every Service that the way in calls is judged at the waypoint; what is not is denied."""
    if not cluster.has("Gateway", "waypoint"):
        return
    policies = cluster.of("AuthorizationPolicy")
    targets = {(it["kind"], it["name"]) for one in policies for it in _targets(one)}
    if ("Gateway", "waypoint") not in targets:
        yield "Gateway/waypoint: nothing is denied by default"
    for route in cluster.of("HTTPRoute", "GRPCRoute"):
        for name in (way["name"] for rule in route["spec"]["rules"] for way in _ways(rule)):
            labels = cluster.named("Service", name)["metadata"]["labels"]
            if labels.get("istio.io/ingress-use-waypoint") != "true":
                yield f"Service/{name}: called around the waypoint"
            if ("Service", name) not in targets:
                yield f"Service/{name}: no AuthorizationPolicy at the waypoint"


def _targets(policy: Object) -> list[Any]:
    return list(policy["spec"].get("targetRefs", []))


def _ways(rule: Any) -> list[Any]:
    return list(rule.get("backendRefs", []))


def routes(cluster: Cluster) -> Iterator[str]:
    """Routes of known hosts, to subsets that pods are in, with weights that are all of it."""
    for one in cluster.of("VirtualService"):
        for host in one["spec"]["hosts"]:
            if not cluster.has("Service", host):
                yield f"{name_of(one)}: no Service {host}"
        for route in one["spec"]["http"]:
            weights = [way.get("weight", 100) for way in route["route"]]
            if sum(weights) != 100:
                yield f"{name_of(one)}: weights are {weights}"
            ways = [way["destination"] for way in route["route"]]
            for way in (*ways, *([route["mirror"]] if "mirror" in route else [])):
                yield from _leads(cluster, one, way)
    for one in cluster.of("DestinationRule"):
        if not cluster.has("Service", one["spec"]["host"]):
            yield f"{name_of(one)}: no Service {one['spec']['host']}"


def _leads(cluster: Cluster, route: Object, way: Any) -> Iterator[str]:
    place = f"{name_of(route)}: {way['host']}/{way['subset']}"
    if not cluster.has("Service", way["host"]):
        yield f"{place}: no such Service"
        return
    found = [
        subset["labels"]
        for rule in cluster.of("DestinationRule")
        for subset in rule["spec"].get("subsets", [])
        if (rule["spec"]["host"], subset["name"]) == (way["host"], way["subset"])
    ]
    if len(found) != 1:
        yield f"{place}: no such subset"
        return
    selector = cluster.named("Service", way["host"])["spec"]["selector"]
    if not cluster.selected(selector | found[0]):
        yield f"{place}: no pods"


def patience(cluster: Cluster) -> Iterator[str]:
    """The mesh repeats nothing, outwaits the gateway, and ends watches before a pod stops."""
    for one in cluster.of("VirtualService"):
        for route in one["spec"]["http"]:
            timeout = float(route.get("timeout", "0s").removesuffix("s"))
            if route.get("retries") != {"attempts": 0}:
                yield f"{name_of(one)}: {route['name']} is repeated by the mesh"
            if route["name"] == "health":
                if not 0 < timeout < _shortest_pause(cluster):
                    yield f"{name_of(one)}: a watch may outlive its pod's place"
            elif timeout <= Requests().timeout:
                yield f"{name_of(one)}: {route['name']} ends before its caller's time is over"
        first = one["spec"]["http"][0]
        if first.get("match") != [{"uri": {"prefix": HEALTH_PREFIX}}]:
            yield f"{name_of(one)}: health has no route of its own"


def _shortest_pause(cluster: Cluster) -> float:
    return min(
        float(server(one)["lifecycle"]["preStop"]["sleep"]["seconds"]) for one in cluster.workloads
    )


def balancing(cluster: Cluster) -> Iterator[str]:
    """Every service is balanced by load, with limits, and without pods that fail."""
    for name in {service_name(one) for one in cluster.workloads} if in_mesh(cluster) else ():
        if not cluster.has("DestinationRule", name):
            yield f"DestinationRule/{name}: missing"
            continue
        rule = cluster.named("DestinationRule", name)
        policy = rule["spec"]["trafficPolicy"]
        if policy["loadBalancer"] != {"simple": "LEAST_REQUEST"}:
            yield f"{name_of(rule)}: not balanced by load"
        if policy["outlierDetection"].get("maxEjectionPercent", 10) > 50:
            yield f"{name_of(rule)}: may eject more than half"
        if "http2MaxRequests" not in policy["connectionPool"]["http"]:
            yield f"{name_of(rule)}: no limit of requests"


def proxies(cluster: Cluster) -> Iterator[str]:
    """Pods that Istio makes for a Gateway are of the restricted standard, which needs a profile."""
    for one in cluster.of("Gateway"):
        name = one["spec"].get("infrastructure", {}).get("parametersRef", {}).get("name", "")
        if not cluster.has("ConfigMap", name):
            yield f"{name_of(one)}: the namespace admits none of its pods"
            continue
        deployment = yaml.safe_load(cluster.named("ConfigMap", name)["data"]["deployment"])
        context = deployment["spec"]["template"]["spec"]["securityContext"]
        if context["seccompProfile"] != {"type": "RuntimeDefault"}:
            yield f"{name_of(one)}: no seccomp profile"


def ingress(cluster: Cluster) -> Iterator[str]:
    """The way in ends at the gateway's Services, at ports that they have."""
    for one in cluster.of("HTTPRoute", "GRPCRoute"):
        for parent in one["spec"]["parentRefs"]:
            listeners = cluster.named("Gateway", parent["name"])["spec"]["listeners"]
            if parent["sectionName"] not in {listener["name"] for listener in listeners}:
                yield f"{name_of(one)}: no listener {parent['sectionName']}"
        for rule in one["spec"]["rules"]:
            waits = float(rule.get("timeouts", {}).get("request", "0s").removesuffix("s"))
            if one["kind"] == "HTTPRoute" and "backendRefs" in rule and waits <= Requests().timeout:
                yield f"{name_of(one)}: ends before the gateway's time is over"
            for way in rule.get("backendRefs", []):
                if not cluster.has("Service", way["name"]):
                    yield f"{name_of(one)}: no Service {way['name']}"
                    continue
                service = cluster.named("Service", way["name"])
                if way["port"] not in {port["port"] for port in service["spec"]["ports"]}:
                    yield f"{name_of(one)}: no port {way['port']}"
