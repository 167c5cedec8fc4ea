"""The folder that holds all bundles, as `<root>/<name>/<version>`."""

import re
from collections.abc import Iterator
from pathlib import Path

from triptych_bundles.errors import BundleError, BundleNotFound
from triptych_bundles.manifest import Bundle
from triptych_bundles.paths import is_name
from triptych_bundles.reading import read_bundle


class Repository:
    """Finds bundles; every call reads the folder anew, so a version may appear at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def scan(self) -> tuple[list[Bundle], list[BundleError]]:
        """All bundles by name and natural version, and apart from them what could not be read."""
        bundles, errors = [], []
        for name in _folders(self.root):
            for version in sorted(_folders(name), key=lambda folder: version_key(folder.name)):
                try:
                    bundles.append(read_bundle(version))
                except BundleError as error:
                    errors.append(error)
        return bundles, errors

    def bundles(self) -> list[Bundle]:
        """The bundles that can be read, by name and natural version: 2 comes before 10."""
        return self.scan()[0]

    def find(self, name: str, version: str = "") -> Bundle:
        """One version, or the latest that can be read. `name` and `version` need not be trusted.

        Raises BundleNotFound where there is none, BundleError where none of them can be read.
        """
        if not is_name(name) or (version and not is_name(version)):
            raise BundleNotFound(self.root, name[:128], version[:128])
        if version:
            return self._read(name, version)
        return self._latest(name)

    def _read(self, name: str, version: str) -> Bundle:
        folder = self.root / name / version
        if not folder.is_dir():
            raise BundleNotFound(self.root, name, version)
        return read_bundle(folder)

    def _latest(self, name: str) -> Bundle:
        failures: list[BundleError] = []
        versions = (folder.name for folder in _folders(self.root / name))
        for version in sorted(versions, key=version_key, reverse=True):
            try:
                return self._read(name, version)
            except BundleError as error:
                failures.append(error)
        # the newest version's failure is the one worth telling
        raise failures[0] if failures else BundleNotFound(self.root, name)


def version_key(version: str) -> list[tuple[int, str]]:
    """Sorts digits as numbers and words as words, a word before a number: 1, 1.rc, 1.2, 1.10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.findall(r"[0-9]+|[a-z]+", version)
    ]


def _folders(path: Path) -> Iterator[Path]:
    """Sub-folders that may hold a bundle, sorted; hidden ones are still being written."""
    if path.is_dir():
        yield from sorted(child for child in path.iterdir() if _may_hold(child))


def _may_hold(child: Path) -> bool:
    return is_name(child.name) and child.is_dir()
