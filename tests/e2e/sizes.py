"""How large images and the build context are."""

import gzip
import hashlib
import json
import subprocess
import tarfile
from collections.abc import Collection
from typing import Final

from tests.e2e.engine import CLONE, docker

# What registries and `docker push` use.
GZIP_LEVEL: Final = 6
COPY_ALL: Final = b"FROM scratch\nCOPY . /\n"


def compressed(image: str, base: str) -> int:
    """Bytes that a machine with `base` has to fetch for `image`."""
    own = set(_layers(image)) - set(_layers(base))
    process = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, tarfile.open(fileobj=process.stdout, mode="r|") as archive:
        members = (archive.extractfile(member) for member in archive)
        return sum(_size(member.read(), own) for member in members if member is not None)


def tar_of_context() -> bytes:
    """Everything that a build is given."""
    command = ("docker", "build", "--quiet", "--output", "type=tar,dest=-", "--file", "-", ".")
    return subprocess.run(
        command, cwd=CLONE, input=COPY_ALL, capture_output=True, check=True
    ).stdout


def _layers(image: str) -> list[str]:
    layers: list[str] = json.loads(docker("image", "inspect", image))[0]["RootFS"]["Layers"]
    return layers


def _size(content: bytes, layers: Collection[str]) -> int:
    """Compressed size of what is one of the layers, which are named by their hash."""
    if f"sha256:{hashlib.sha256(content).hexdigest()}" not in layers:
        return 0
    return len(gzip.compress(content, GZIP_LEVEL))
