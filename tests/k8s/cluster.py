"""Rendered objects, and the questions that checks ask of them."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What one `kubectl apply` would bring."""

    objects: Sequence[Object]

    def copy(self) -> "Cluster":
        """Objects of its own, for a test that breaks some."""
        return Cluster(copy.deepcopy(list(self.objects)))

    def of(self, *kinds: str) -> list[Object]:
        """All objects of some kinds."""
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object:
        """The one object of that name. Raises KeyError where there is none."""
        for one in self.of(kind):
            if one["metadata"]["name"] == name:
                return one
        raise KeyError(f"{kind}/{name}")

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an object of that name."""
        return any(one["metadata"]["name"] == name for one in self.of(kind))

    @property
    def workloads(self) -> list[Object]:
        """The Deployments."""
        return self.of("Deployment")

    def selected(self, labels: Labels) -> list[Object]:
        """Deployments whose pods have these labels."""
        return [one for one in self.workloads if has_labels(pod_labels(one), labels)]

    def settings_of(self, workload: Object) -> dict[str, str]:
        """What a Deployment's server reads of the ConfigMaps that are there and is told itself."""
        found: dict[str, str] = {}
        for name in config_maps(workload):
            if self.has("ConfigMap", name):
                found |= self.named("ConfigMap", name)["data"]
        told = {one["name"]: one["value"] for one in server(workload).get("env", [])}
        return found | {name: told[name] for name in told if name.startswith("TRIPTYCH_")}


def name_of(one: Object) -> str:
    """`Kind/name`."""
    return f"{one['kind']}/{one['metadata']['name']}"


def pod(workload: Object) -> Object:
    """The pod's spec."""
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def pod_labels(workload: Object) -> Labels:
    """The labels of a Deployment's pods."""
    labels: Labels = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def server(workload: Object) -> Object:
    """The container that serves."""
    found: Object = next(one for one in pod(workload)["containers"] if one["name"] == "server")
    return found


def containers(workload: Object) -> Iterator[Object]:
    """All containers, those of the start too."""
    yield from pod(workload).get("initContainers", [])
    yield from pod(workload)["containers"]


def ports(workload: Object) -> dict[str, int]:
    """The server's ports by their names."""
    return {one["name"]: one["containerPort"] for one in server(workload).get("ports", [])}


def config_maps(workload: Object) -> list[str]:
    """The ConfigMaps that the server reads its settings from."""
    sources = server(workload).get("envFrom", [])
    return [one["configMapRef"]["name"] for one in sources if "configMapRef" in one]


def service_name(one: Object) -> str:
    """Which of the four services an object belongs to."""
    labels = pod_labels(one) if one["kind"] == "Deployment" else one["metadata"]["labels"]
    return str(labels["app.kubernetes.io/name"])


def has_labels(labels: Labels, wanted: Labels) -> bool:
    """Whether all of `wanted` are among `labels`."""
    return wanted.items() <= labels.items()
