"""The checks are held against faults: what they would let pass, they do not check."""

from pathlib import Path

import pytest

from tests.k8s import schemas
from tests.k8s.checks import all as checks
from tests.k8s.checks import metrics, references
from tests.k8s.cluster import Cluster
from tests.k8s.faults import FAULTS, Fault
from tests.k8s.rendering import overlay

NEWEST = schemas.VERSIONS[-1:]


def found(cluster: Cluster, folder: Path, exported: frozenset[str]) -> list[str]:
    """Everything that any check says; what is as in the overlay needs no second look by schemas."""
    present = overlay("production").objects
    changed = Cluster([one for one in cluster.objects if one not in present])
    return [
        *schemas.problems(changed, folder, NEWEST),
        *checks.problems(cluster),
        *references.digests(cluster),
        *metrics.names(cluster, exported),
        *metrics.syntax(changed),
    ]


def test_there_is_nothing_to_find(schema_folder: Path, exported: frozenset[str]) -> None:
    production = overlay("production")
    assert found(production, schema_folder, exported) == []
    assert list(schemas.problems(production, schema_folder, NEWEST)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found(fault: Fault, schema_folder: Path, exported: frozenset[str]) -> None:
    broken = overlay("production").copy()
    fault.seed(broken)
    said = found(broken, schema_folder, exported)
    assert any(fault.said.lower() in one.lower() for one in said), said
