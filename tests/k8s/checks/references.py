"""Names that lead somewhere: labels, ports, accounts, ConfigMaps, volumes, targets."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from tests.k8s.cluster import (
    Cluster,
    Object,
    config_maps,
    containers,
    has_labels,
    name_of,
    pod,
    pod_labels,
    ports,
    service_name,
)
from triptych_encoder.settings import EncoderSettings
from triptych_gateway.settings import GatewaySettings
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.settings import SettingsError, describe, load
from triptych_tokenizer.settings import TokenizerSettings

SETTINGS: Final[dict[str, type[Any]]] = {
    "gateway": GatewaySettings,
    "tokenizer": TokenizerSettings,
    "encoder": EncoderSettings,
    "postprocess": PostprocessSettings,
}
RELEASE: Final = re.search(
    r"^TRIPTYCH_VERSION=(\S+)$", (Path(__file__).parents[3] / ".env").read_text(), re.MULTILINE
)
DIGEST: Final = re.compile(r".+@sha256:[0-9a-f]{64}")


def selectors(cluster: Cluster) -> Iterator[str]:
    """A Deployment selects its own pods and no other's."""
    for one in cluster.workloads:
        if not has_labels(pod_labels(one), one["spec"]["selector"]["matchLabels"]):
            yield f"{name_of(one)}: does not select its pods"
    for first, second in combinations(cluster.workloads, 2):
        if has_labels(pod_labels(second), first["spec"]["selector"]["matchLabels"]):
            yield f"{name_of(first)}: selects pods of {name_of(second)}"


def services(cluster: Cluster) -> Iterator[str]:
    """A Service has pods, all of which have its ports, and its gRPC ports say what they are."""
    for one in cluster.of("Service"):
        found = cluster.selected(one["spec"]["selector"])
        if not found:
            yield f"{name_of(one)}: selects nothing"
        for port in one["spec"]["ports"]:
            if any(port["targetPort"] not in ports(workload) for workload in found):
                yield f"{name_of(one)}: port {port['targetPort']} is nobody's"
            if (protocol := port.get("appProtocol")) != port["name"]:
                yield f"{name_of(one)}: port {port['name']} has appProtocol {protocol}"
    for workload in cluster.workloads:
        name = service_name(workload)
        if not cluster.has("Service", name):
            yield f"{name_of(workload)}: no Service {name}"


def budgets(cluster: Cluster) -> Iterator[str]:
    """Every pod has a disruption budget, which leaves room to move one."""
    covered = []
    for one in cluster.of("PodDisruptionBudget"):
        found = cluster.selected(one["spec"]["selector"]["matchLabels"])
        covered += found
        if not found or one["spec"].get("maxUnavailable") != 1:
            yield f"{name_of(one)}: covers {len(found)} Deployments"
    for one in cluster.workloads:
        if one not in covered:
            yield f"{name_of(one)}: no PodDisruptionBudget"


def volumes(cluster: Cluster) -> Iterator[str]:
    """What is mounted exists, and only the init containers write the models."""
    for one in cluster.workloads:
        known = {volume["name"] for volume in pod(one).get("volumes", [])}
        for container in containers(one):
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in known:
                    yield f"{name_of(one)}: no volume {mount['name']}"
                served = container["name"] == "server" and mount["name"] == "models"
                if served and mount.get("readOnly") is not True:
                    yield f"{name_of(one)}: the server may write the models"


def configuration(cluster: Cluster) -> Iterator[str]:
    """Settings are those of the service, with values that it takes."""
    for one in cluster.workloads:
        kind, given = SETTINGS[service_name(one)], cluster.settings_of(one)
        for name in config_maps(one):
            if not cluster.has("ConfigMap", name):
                yield f"{name_of(one)}: no ConfigMap {name}"
        try:
            load(kind, given)
        except SettingsError as error:
            yield f"{name_of(one)}: {error}"
        for unknown in given.keys() - {entry.variable for entry in describe(kind)}:
            yield f"{name_of(one)}: {unknown} is no setting"


def targets(cluster: Cluster) -> Iterator[str]:
    """The gateway calls Services that exist, at their ports."""
    for one in cluster.workloads:
        for variable, target in cluster.settings_of(one).items():
            host, _, port = target.rpartition(":")
            if not variable.startswith("TRIPTYCH_STAGES_") or not host:
                continue
            if not cluster.has("Service", host):
                yield f"{name_of(one)}: {variable}: no Service {host}"
            elif int(port) not in _service_ports(cluster.named("Service", host)):
                yield f"{name_of(one)}: {variable}: no port {port}"


def releases(cluster: Cluster) -> Iterator[str]:
    """Images are of this release, by tag or digest, and labelled so."""
    version = RELEASE[1] if RELEASE else ""
    for one in cluster.workloads:
        if pod_labels(one).get("app.kubernetes.io/version") != version:
            yield f"{name_of(one)}: app.kubernetes.io/version is not {version}"
        for container in containers(one):
            image = str(container.get("image"))
            tag = image.rpartition(":")[2]
            if "triptych/" in image and not (DIGEST.fullmatch(image) or tag.startswith(version)):
                yield f"{name_of(one)}: image {image}"


def digests(cluster: Cluster) -> Iterator[str]:
    """Every image of ours by digest."""
    for one in cluster.workloads:
        for container in containers(one):
            if not DIGEST.fullmatch(container["image"]):
                yield f"{name_of(one)}: image {container['image']}"


def _service_ports(one: Object) -> set[int]:
    return {port["port"] for port in one["spec"]["ports"]}
