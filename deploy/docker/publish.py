"""Fills a model repository with the bundles of an image: `publish.py BUNDLES REPOSITORY`.

It may run any number of times: what is there and intact stays as it is, other names and other
versions are left alone, and a bundle appears whole or not at all.
"""

import shutil
import sys
from pathlib import Path

from triptych_bundles import Bundle, BundleError, HeadBundle, Repository, read_bundle, verify_files
from triptych_models.staging import install, staging


def publish(baked: Bundle | HeadBundle, repository: Path) -> str:
    """Put one bundle in its place; returns what was done."""
    target = repository / baked.name / baked.version
    if is_intact(target, baked.digest):
        return "is up to date"
    with staging(repository) as staged:
        copy = staged / baked.name / baked.version
        shutil.copytree(baked.path, copy)
        verify_files(read_bundle(copy))
        install(copy, target)
    return "is published"


def is_intact(folder: Path, digest: str) -> bool:
    """Whether the folder holds the bundle with this digest, every file matching its hash."""
    try:
        bundle = read_bundle(folder)
        verify_files(bundle)
    except (BundleError, OSError):
        return False
    return bundle.digest == digest


def publish_all(source: Path, repository: Path) -> None:
    """Publish every bundle of `source`; the first that cannot be read or copied is an error."""
    found = Repository(source).scan()
    if found.errors:
        raise found.errors[0]
    for bundle in found.bundles():
        outcome = publish(bundle, repository)
        sys.stdout.write(f"{bundle.identity} {bundle.digest[:12]} {outcome}\n")


def main(source: Path, repository: Path) -> int:
    """Exit code: 0, or 1 with one line that says why."""
    try:
        publish_all(source, repository)
    except (BundleError, OSError) as error:
        sys.stderr.write(f"publish: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
