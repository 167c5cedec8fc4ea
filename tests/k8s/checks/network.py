"""NetworkPolicies: everything is denied, every Service is reached by whom it is for."""

from collections.abc import Iterator
from typing import Any, Final

from tests.k8s.cluster import Cluster, Object, name_of, pod_labels, ports

# Ports of proxies and of what they call, which no container here declares.
PROXY_PORTS: Final = {80, 443, 4317, 15008, 15020, 15021, 15090}
# Pods that Istio makes for a Gateway carry its name.
GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"


def policies(cluster: Cluster) -> Iterator[str]:
    """Nothing where there are none; else deny by default, and policies that select something."""
    found = cluster.of("NetworkPolicy")
    if not found:
        return
    if not any(_denies_all(one) for one in found):
        yield "NetworkPolicy: nothing is denied by default"
    for one in found:
        labels = one["spec"]["podSelector"].get("matchLabels", {})
        if labels and GATEWAY_LABEL not in labels and not cluster.selected(labels):
            yield f"{name_of(one)}: selects nothing"
        yield from _peers(cluster, one)
    for workload in cluster.workloads:
        for name in ports(workload):
            if not any(_admits(one, workload, name) for one in found):
                yield f"{name_of(workload)}: nobody may reach port {name}"


def dns(cluster: Cluster) -> Iterator[str]:
    """Who may talk to nobody may still ask for names."""
    found = cluster.of("NetworkPolicy")
    asked = [
        (port["protocol"], port["port"])
        for one in found
        if not one["spec"]["podSelector"]
        for rule in one["spec"].get("egress", [])
        for port in rule.get("ports", [])
    ]
    if found and not {("UDP", 53), ("TCP", 53)} <= set(asked):
        yield "NetworkPolicy: no pod may ask for names"


def calls(cluster: Cluster) -> Iterator[str]:
    """The gateway's way to its stages is open at both ends."""
    found = cluster.of("NetworkPolicy")
    if not found:
        return
    gateways = cluster.selected({"app.kubernetes.io/name": "gateway"})
    for stage in cluster.selected({"app.kubernetes.io/component": "stage"}):
        for gateway in gateways:
            out = any(_lets_out(one, gateway, stage) for one in found)
            if not out or not any(_lets_in(one, gateway, stage) for one in found):
                yield f"{name_of(gateway)}: may not call {name_of(stage)}"


def _denies_all(one: Object) -> bool:
    spec = one["spec"]
    types = {"Ingress", "Egress"} <= set(spec["policyTypes"])
    return types and not spec["podSelector"] and not spec.get("ingress") and not spec.get("egress")


def _selects(selector: Any, workload: Object) -> bool:
    labels = selector.get("matchLabels", {})
    return bool(labels.items() <= pod_labels(workload).items())


def _number(port: Any, workload: Object) -> int | None:
    return ports(workload).get(port) if isinstance(port, str) else int(port)


def _admits(one: Object, workload: Object, name: str) -> bool:
    number = ports(workload)[name]
    return _selects(one["spec"]["podSelector"], workload) and any(
        _number(port["port"], workload) == number
        for rule in one["spec"].get("ingress", [])
        for port in rule.get("ports", [])
    )


def _lets_in(one: Object, caller: Object, called: Object) -> bool:
    return _selects(one["spec"]["podSelector"], called) and any(
        _names(rule["from"], caller) and _grpc(rule, called)
        for rule in one["spec"].get("ingress", [])
        if "from" in rule
    )


def _lets_out(one: Object, caller: Object, called: Object) -> bool:
    return _selects(one["spec"]["podSelector"], caller) and any(
        _names(rule["to"], called) and _grpc(rule, called) for rule in one["spec"].get("egress", [])
    )


def _names(peers: Any, workload: Object) -> bool:
    """Whether the peers of this namespace are these pods."""
    return any(
        "podSelector" in peer
        and "namespaceSelector" not in peer
        and _selects(peer["podSelector"], workload)
        for peer in peers
    )


def _grpc(rule: Any, called: Object) -> bool:
    wanted = ports(called)["grpc"]
    return any(_number(port["port"], called) == wanted for port in rule.get("ports", []))


def _peers(cluster: Cluster, one: Object) -> Iterator[str]:
    """Ports that peers and pods really have."""
    known: dict[str, int] = {}
    for workload in cluster.workloads:
        known |= ports(workload)
    outside = PROXY_PORTS | {53, 15012}
    for rule in (*one["spec"].get("ingress", []), *one["spec"].get("egress", [])):
        for port in (entry["port"] for entry in rule.get("ports", [])):
            if port not in known and port not in (set(known.values()) | outside):
                yield f"{name_of(one)}: port {port} is nobody's"
