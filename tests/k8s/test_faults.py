"""The checks are held against faults: what they would let pass, they do not check."""

from pathlib import Path

import pytest

from tests.k8s import schemas
from tests.k8s.checks import all as checks
from tests.k8s.checks import metrics, references
from tests.k8s.cluster import Cluster
from tests.k8s.faults import FAULTS, Fault
from tests.k8s.faults_of_components import MORE_FAULTS
from tests.k8s.rendering import Components, combined, overlay

NEWEST = schemas.VERSIONS[-1:]
ALL = (*FAULTS, *MORE_FAULTS)


def whole(components: Components) -> Cluster:
    """What faults are seeded into."""
    return combined(components) if components else overlay("production")


def found(
    cluster: Cluster, components: Components, folder: Path, exported: frozenset[str]
) -> list[str]:
    """Everything that any check says; what is as it was needs no second look by schemas."""
    present = whole(components).objects
    changed = Cluster([one for one in cluster.objects if one not in present])
    return [
        *schemas.problems(changed, folder, NEWEST),
        *checks.problems(cluster),
        *(() if components else references.digests(cluster)),
        *metrics.names(cluster, exported),
        *metrics.syntax(changed),
    ]


def test_there_is_nothing_to_find(schema_folder: Path, exported: frozenset[str]) -> None:
    production = overlay("production")
    assert list(schemas.problems(production, schema_folder, NEWEST)) == []
    for components in {fault.components for fault in ALL}:
        assert found(whole(components), components, schema_folder, exported) == []


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_a_fault_is_found(fault: Fault, schema_folder: Path, exported: frozenset[str]) -> None:
    broken = whole(fault.components).copy()
    fault.seed(broken)
    said = found(broken, fault.components, schema_folder, exported)
    assert any(fault.said.lower() in one.lower() for one in said), said
