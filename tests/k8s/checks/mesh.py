"""The mesh: strict identities, methods by name, a way in; what it takes in and lets out."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from tests.k8s.checks.pods import CONTRACT
from tests.k8s.checks.routes import called, in_mesh, is_of_a_stage, stage_routes
from tests.k8s.cluster import Cluster, Object, name_of
from triptych_gateway.settings import Requests

HEALTH_METHODS: Final = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
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
    """Every Service that anybody calls is judged at the waypoint; what is not is denied."""
    if not cluster.has("Gateway", "waypoint"):
        return
    policies = cluster.of("AuthorizationPolicy")
    targets = {(it["kind"], it["name"]) for one in policies for it in _targets(one)}
    if ("Gateway", "waypoint") not in targets:
        yield "Gateway/waypoint: nothing is denied by default"
    for name in (name for route in stage_routes(cluster) for name in called(route)):
        if ("Service", name) not in targets:
            yield f"Service/{name}: no AuthorizationPolicy at the waypoint"
    for route in _ways_in(cluster):
        for name in (way["name"] for rule in route["spec"]["rules"] for way in _ways(rule)):
            labels = cluster.named("Service", name)["metadata"]["labels"]
            if labels.get("istio.io/ingress-use-waypoint") != "true":
                yield f"Service/{name}: called around the waypoint"
            if ("Service", name) not in targets:
                yield f"Service/{name}: no AuthorizationPolicy at the waypoint"


def _ways_in(cluster: Cluster) -> list[Object]:
    return [one for one in cluster.of("HTTPRoute", "GRPCRoute") if not is_of_a_stage(one)]


def _targets(policy: Object) -> list[Any]:
    return list(policy["spec"].get("targetRefs", []))


def _ways(rule: Any) -> list[Any]:
    return list(rule.get("backendRefs", []))


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
    for one in _ways_in(cluster):
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


def outside(cluster: Cluster) -> Iterator[str]:
    """Proxies know what is called beyond the namespace: the bucket's region, the collector."""
    for one in cluster.of("ServiceEntry"):
        stores = [it["data"] for it in cluster.of("ConfigMap") if "MODELS_SOURCE" in it["data"]]
        for region in (store["RCLONE_CONFIG_STORE_REGION"] for store in stores):
            if f"s3.{region}.amazonaws.com" not in one["spec"]["hosts"]:
                yield f"{name_of(one)}: does not know the store of {region}"
    if any("providers" in it for one in cluster.of("Telemetry") for it in one["spec"]["tracing"]):
        for one in cluster.of("Sidecar"):
            if not any(it.startswith("observability/") for it in one["spec"]["egress"][0]["hosts"]):
                yield f"{name_of(one)}: does not know the collector"
        if cluster.of("NetworkPolicy") and not cluster.has("NetworkPolicy", "traces"):
            yield "NetworkPolicy: spans do not get out"
