"""Every overlay and every combination of components: rendered, valid, and as they must be."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.k8s import schemas
from tests.k8s.checks import all as checks
from tests.k8s.checks import metrics, references
from tests.k8s.cluster import Cluster
from tests.k8s.rendering import OVERLAYS, combinations, combined, overlay

# `kubectl` is a process that waits for its files as much as for a core.
RENDERERS = 4


@pytest.fixture(scope="module")
def everything() -> dict[str, Cluster]:
    """All renderings by their names."""
    found = {f"overlays/{name}": overlay(name) for name in OVERLAYS}
    listed = list(combinations())
    with ThreadPoolExecutor(RENDERERS) as pool:
        for parts, cluster in zip(listed, pool.map(combined, listed), strict=True):
            found["+".join(parts) or "base"] = cluster
    return found


def distinct(clusters: dict[str, Cluster]) -> Cluster:
    """Each object once, however many renderings have it."""
    return Cluster(
        list({repr(one): one for all_ in clusters.values() for one in all_.objects}.values())
    )


def test_every_combination_renders(everything: dict[str, Cluster]) -> None:
    assert len(everything) == len(OVERLAYS) + len(set(combinations()))
    assert all(len(cluster.workloads) >= 4 for cluster in everything.values())


def test_every_object_is_valid_in_every_version(
    everything: dict[str, Cluster], schema_folder: Path
) -> None:
    found = list(schemas.problems(distinct(everything), schema_folder, schemas.VERSIONS))
    assert found == []


def test_every_combination_is_as_it_must_be(everything: dict[str, Cluster]) -> None:
    found = {name: checks.problems(cluster) for name, cluster in everything.items()}
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_every_metric_is_exported(everything: dict[str, Cluster], exported: frozenset[str]) -> None:
    found = {name: list(metrics.names(one, exported)) for name, one in everything.items()}
    # what the autoscaler reads alone is recorded where autoscaling is
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("name", ["production"])
def test_production_names_its_images_by_digest(name: str) -> None:
    assert list(references.digests(overlay(name))) == []


def test_prometheus_reads_every_expression() -> None:
    assert list(metrics.syntax(overlay("production"))) == []
