"""Every check that needs nothing but the objects."""

from collections.abc import Callable, Iterator
from typing import Final

from tests.k8s.checks import mesh, metrics, network, pods, references, routes, scaling
from tests.k8s.cluster import Cluster

Check = Callable[[Cluster], Iterator[str]]

CHECKS: Final[tuple[Check, ...]] = (
    pods.confinement,
    pods.identities,
    pods.resources,
    pods.cards,
    pods.probes,
    pods.stopping,
    references.selectors,
    references.services,
    references.budgets,
    references.volumes,
    references.configuration,
    references.targets,
    references.releases,
    network.policies,
    network.dns,
    network.calls,
    mesh.encryption,
    mesh.authorization,
    mesh.waypoints,
    mesh.proxies,
    mesh.ingress,
    mesh.outside,
    routes.kinds,
    routes.destinations,
    routes.patience,
    routes.balancing,
    routes.counting,
    scaling.autoscalers,
    scaling.cpu,
    scaling.arithmetic,
    scaling.monitors,
    metrics.runbooks,
    metrics.labels,
)


def problems(cluster: Cluster) -> list[str]:
    """What all of them find."""
    return [problem for check in CHECKS for problem in check(cluster)]
