"""The overlays that the guide shows render, and are as any other must be."""

import re
import tempfile
from pathlib import Path

import pytest

from tests.k8s import schemas
from tests.k8s.checks import all as checks
from tests.k8s.checks import references
from tests.k8s.checks.metrics import GUIDE
from tests.k8s.cluster import server
from tests.k8s.rendering import MANIFESTS, render

SHOWN = re.findall(r"^( *)```yaml\n(.*?)^ *```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
OVERLAYS = [
    "".join(line.removeprefix(indent) for line in block.splitlines(keepends=True))
    for indent, block in SHOWN
]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=("production", "canary"))
def test_a_shown_overlay_is_as_it_must_be(overlay: str, schema_folder: Path) -> None:
    assert overlay.startswith("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
    with tempfile.TemporaryDirectory(prefix=".shown-", dir=MANIFESTS / "overlays") as folder:
        Path(folder, "kustomization.yaml").write_text(overlay)
        cluster = render(Path(folder))
    assert checks.problems(cluster) == []
    assert list(references.digests(cluster)) == []
    assert list(schemas.problems(cluster, schema_folder, schemas.VERSIONS[-1:])) == []
    if cluster.has("Deployment", "postprocess-canary"):
        image = server(cluster.named("Deployment", "postprocess-canary"))["image"]
        assert image.endswith("5f2c7a1e0b9d4c386ea1d7f0935b8c42e6f1a09d7b3c58e4f60a2d91c7b8e354")
