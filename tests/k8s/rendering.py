"""Kustomizations as `kubectl` renders them, and the combinations that are checked."""

import functools
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.k8s.cluster import Cluster

MANIFESTS: Final = Path(__file__).parents[2] / "deploy/k8s"
OVERLAYS: Final = ("dev", "cpu", "gpu", "production")
STAGES: Final = ("tokenizer", "encoder", "postprocess")
MESHES: Final = ("istio/sidecar", "istio/ambient")
# On trial, in any mesh: one service at a time, or everything that goes together.
TRIALS: Final = (
    *((f"canary/{name}",) for name in ("gateway", *STAGES)),
    *((f"mirror/{name}",) for name in STAGES),
    ("canary/gateway", "canary/postprocess", "mirror/tokenizer", "mirror/encoder"),
)

Components = tuple[str, ...]


class RenderingError(Exception):
    """`kubectl kustomize` failed; the message is what it said."""


def render(folder: Path) -> Cluster:
    """The objects of one kustomization."""
    if shutil.which("kubectl") is None:
        raise RenderingError("kubectl is not on the PATH: 1.32 or later, with kustomize 5.5")
    outcome = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise RenderingError(outcome.stderr.strip())
    return Cluster(list(yaml.load_all(outcome.stdout, yaml.CSafeLoader)))


@functools.cache
def overlay(name: str) -> Cluster:
    """An overlay as it is in the repository."""
    return render(MANIFESTS / "overlays" / name)


@functools.cache
def combined(components: Components) -> Cluster:
    """The base with some components, in this order."""
    with tempfile.TemporaryDirectory(prefix=".combination-", dir=MANIFESTS) as folder:
        content: dict[str, Any] = {
            "namespace": "triptych",
            "resources": ["../base"],
            "components": [f"../components/{name}" for name in components],
        }
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(content))
        return render(Path(folder))


def combinations() -> Iterator[Components]:
    """Every combination: each component in or out, with each mesh or none, and what is on trial."""
    for store, gpu, mesh, policies, scaling, monitoring in itertools.product(
        (False, True), (False, True), (None, *MESHES), (False, True), (False, True), (False, True)
    ):
        yield (
            *(("object-store",) if store else ()),
            *(("gpu",) if gpu else ()),
            *((mesh,) if mesh else ()),
            *(("network-policies",) if policies else ()),
            *(("network-policies/object-store",) if policies and store else ()),
            *(("istio/object-store",) if mesh == "istio/sidecar" and store else ()),
            *(("autoscaling",) if scaling else ()),
            *(("autoscaling/gpu",) if scaling and gpu else ()),
            *(("monitoring",) if monitoring else ()),
            *(("monitoring/istio",) if monitoring and mesh else ()),
        )
    for mesh in MESHES:
        yield (mesh, "istio/traces")
        yield (mesh, "istio/traces", "network-policies", "network-policies/traces")
    for mesh, trial, gpu in itertools.product(MESHES, TRIALS, (False, True)):
        yield (mesh, *trial, *(("gpu",) if gpu else ()), "network-policies", "autoscaling")
