"""Pushes a release's images and writes their digests into the production overlay.

`python -m deploy.k8s.release_images registry.example.com/triptych`, after `docker login` and the
builds of `make images` and `docker compose -f compose.yaml -f compose.gpu.yaml build encoder
models`.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CLONE: Final = Path(__file__).parents[2]
OVERLAY: Final = CLONE / "deploy/k8s/overlays/production/images/kustomization.yaml"
VERSION: Final = re.compile(r"^TRIPTYCH_VERSION=(\S+)$", re.MULTILINE)
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
# Name in the manifests → repository and what its tag has beyond the version.
IMAGES: Final = {
    "gateway": ("gateway", ""),
    "tokenizer": ("tokenizer", ""),
    "encoder": ("encoder", ""),
    "encoder-gpu": ("encoder", "-gpu"),
    "postprocess": ("postprocess", ""),
    # graphs for both: the fallback on CPUs reads the same bundle
    "models": ("models", "-gpu"),
}
HEAD: Final = """\
# Written by `make release-images REGISTRY=...`, which pushes a release and reads its digests back.
# Digests of zeros are a place to fill: no registry has them, so that nothing starts unreleased.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
images:
"""


class ReleaseError(Exception):
    """An image could not be pushed; the message is what the engine said."""


def push(local: str, remote: str) -> str:
    """Push an image under another name; its digest there. Raises ReleaseError."""
    _docker("tag", local, remote)
    found = DIGEST.search(_docker("push", remote))
    if found is None:
        raise ReleaseError(f"{remote}: the registry named no digest")
    return found[0]


def component(registry: str, digests: Mapping[str, str]) -> str:
    """The overlay's component: every image by its digest in `registry`."""
    lines = [
        f"  - {{ name: triptych/{name}, newName: {registry}/{IMAGES[name][0]},"
        f' digest: "{digest}" }}\n'
        for name, digest in digests.items()
    ]
    return HEAD + "".join(lines)


def release(registry: str, version: str) -> str:
    """Push all images of a version; the component that names them."""
    digests = {
        name: push(f"triptych/{image}:{version}{suffix}", f"{registry}/{image}:{version}{suffix}")
        for name, (image, suffix) in IMAGES.items()
    }
    return component(registry, digests)


def _docker(*arguments: str) -> str:
    outcome = subprocess.run(  # noqa: S603
        ["docker", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode:
        raise ReleaseError(outcome.stderr.strip())
    return outcome.stdout


def main(arguments: list[str]) -> int:
    """Exit code: 0, 1 for a push that failed, 2 for no registry."""
    if len(arguments) != 1:
        sys.stderr.write("usage: make release-images REGISTRY=registry.example.com/triptych\n")
        return 2
    found = VERSION.search((CLONE / ".env").read_text())
    try:
        OVERLAY.write_text(release(arguments[0].rstrip("/"), found[1] if found else ""))
    except ReleaseError as error:
        sys.stderr.write(f"release-images: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
