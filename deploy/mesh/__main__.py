"""Writes the mesh of one machine: `python -m deploy.mesh POLICY FOLDER`.

POLICY is a kustomization that has the Istio component; FOLDER gets proxies/<account>.yaml,
identities/<account>/ and `revision`, a hash of all of it, by which compose knows what is new.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.mesh.identities import issue
from deploy.mesh.policy import Policies, PolicyError, principal
from deploy.mesh.proxies import NAMESPACE, proxies

# The user of every container of ours. Root gives it the keys; anybody else runs proxies as theirs.
CONTAINER_USER: Final = 10001


def render(policy: Path) -> list[Any]:
    """The objects of a kustomization. Raises PolicyError with what kubectl says."""
    try:
        outcome = subprocess.run(  # noqa: S603
            ["kubectl", "kustomize", str(policy)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise PolicyError("kubectl is not on the PATH: 1.32 or later") from None
    if outcome.returncode:
        raise PolicyError(outcome.stderr.strip())
    return list(yaml.safe_load_all(outcome.stdout))


def write(policy: Path, folder: Path) -> None:
    """Proxies, identities and the revision of both."""
    made = dict(proxies(Policies(render(policy))))
    (folder / "proxies").mkdir(parents=True, exist_ok=True)
    for account, bootstrap in made.items():
        (folder / "proxies" / f"{account}.yaml").write_text(yaml.safe_dump(bootstrap))
    identities = {account: principal(account, NAMESPACE) for account in made}
    issue(folder / "identities", identities, CONTAINER_USER if os.getuid() == 0 else None)
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".yaml", ".pem"))
    content = b"".join(file.read_bytes() for file in files)
    (folder / "revision").write_text(hashlib.sha256(content).hexdigest()[:16] + "\n")


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
    except PolicyError as error:
        sys.exit(f"mesh: {error}")
