"""Autoscalers: of Deployments that exist, alone in command, with arithmetic that divides once."""

from collections.abc import Iterator
from typing import Final

from tests.k8s.checks.routes import in_mesh
from tests.k8s.cluster import Cluster, Object, name_of, ports, server

# The PodMonitor of what Istio adds to pods, whose port is not in the manifests.
PROXIES: Final = "proxies"


def autoscalers(cluster: Cluster) -> Iterator[str]:
    """Targets exist and leave their replicas to the autoscaler, of which each has one."""
    commanded: list[str] = []
    for one in cluster.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]["name"]
        if target in commanded:
            yield f"{name_of(one)}: {target} has two autoscalers"
        commanded.append(target)
        if not cluster.has("Deployment", target):
            yield f"{name_of(one)}: no Deployment {target}"
        elif "replicas" in cluster.named("Deployment", target)["spec"]:
            yield f"{name_of(one)}: every apply sets the replicas of {target} back"


def cpu(cluster: Cluster) -> Iterator[str]:
    """Utilization is of a container that is there and requests CPU."""
    for one in cluster.of("HorizontalPodAutoscaler"):
        workload = cluster.named("Deployment", one["spec"]["scaleTargetRef"]["name"])
        for metric in one["spec"]["metrics"]:
            named = metric.get("containerResource", {}).get("container")
            if named != "server" or "cpu" not in server(workload)["resources"]["requests"]:
                yield f"{name_of(one)}: measures {named}"


def arithmetic(cluster: Cluster) -> Iterator[str]:
    """A sum is divided by the replicas, once; a wait is not divided at all."""
    for one in cluster.of("ScaledObject"):
        for trigger in one["spec"]["triggers"]:
            query, kind = trigger["metadata"]["query"], trigger["metricType"]
            if kind == "AverageValue" and not query.startswith("sum("):
                yield f"{name_of(one)}: {trigger['name']}: an average of what is no sum"
            if kind == "Value" and not query.startswith("max("):
                yield f"{name_of(one)}: {trigger['name']}: a value that grows with the replicas"
            if trigger["metadata"].get("ignoreNullValues") != "false":
                yield f"{name_of(one)}: {trigger['name']}: silence passes for rest"
        rest = one["spec"]["minReplicaCount"]
        if rest and one["spec"].get("fallback", {}).get("replicas", 0) < rest:
            yield f"{name_of(one)}: no fallback"
        behavior = one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        if not behavior["scaleDown"].get("stabilizationWindowSeconds"):
            yield f"{name_of(one)}: scales down at once"


def monitors(cluster: Cluster) -> Iterator[str]:
    """Every pod is scraped, at a port that it has; a mesh's proxies where there is a mesh."""
    covered: list[Object] = []
    for one in cluster.of("PodMonitor"):
        if one["metadata"]["name"] == PROXIES:
            if not in_mesh(cluster):
                yield f"{name_of(one)}: no pod has a proxy"
            continue
        found = cluster.selected(one["spec"]["selector"]["matchLabels"])
        covered += found
        for endpoint in one["spec"]["podMetricsEndpoints"]:
            if any(endpoint["port"] not in ports(workload) for workload in found):
                yield f"{name_of(one)}: port {endpoint['port']} is nobody's"
    if cluster.of("PodMonitor"):
        for workload in cluster.workloads:
            if workload not in covered:
                yield f"{name_of(workload)}: is not scraped"
