"""The folder that holds all bundles, as `<root>/<name>/<version>`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from triptych_bundles.errors import BundleError, BundleNotFound
from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_bundles.paths import is_name
from triptych_bundles.reading import read_bundle


@dataclass(frozen=True, slots=True)
class Scan:
    """What a repository holds, by name and natural version, and what in it could not be read."""

    models: list[Bundle] = field(default_factory=list)
    heads: list[HeadBundle] = field(default_factory=list)
    errors: list[BundleError] = field(default_factory=list)

    def bundles(self) -> list[Bundle | HeadBundle]:
        """Models and heads."""
        return [*self.models, *self.heads]

    def read(self, folder: Path) -> None:
        """Add what a folder holds."""
        try:
            bundle = read_bundle(folder)
        except BundleError as error:
            self.errors.append(error)
            return
        if isinstance(bundle, HeadBundle):
            self.heads.append(bundle)
        else:
            self.models.append(bundle)


class Repository:
    """Finds bundles; every call reads the folder anew, so a version may appear at any time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def scan(self) -> Scan:
        """Everything that there is."""
        found = Scan()
        for name in _folders(self.root):
            for version in sorted(_folders(name), key=lambda folder: version_key(folder.name)):
                found.read(version)
        return found

    def bundles(self) -> list[Bundle]:
        """The models that can be read, by name and natural version: 2 comes before 10."""
        return self.scan().models

    def find(self, name: str, version: str = "") -> Bundle | HeadBundle:
        """One version, or the latest that can be read. `name` and `version` need not be trusted.

        Raises BundleNotFound where there is none, BundleError where none of them can be read.
        """
        if not is_name(name) or (version and not is_name(version)):
            raise BundleNotFound(self.root, name[:128], version[:128])
        if version:
            return self._read(name, version)
        return self._latest(name)

    def _read(self, name: str, version: str) -> Bundle | HeadBundle:
        folder = self.root / name / version
        if not folder.is_dir():
            raise BundleNotFound(self.root, name, version)
        return read_bundle(folder)

    def _latest(self, name: str) -> Bundle | HeadBundle:
        failures: list[BundleError] = []
        versions = (folder.name for folder in _folders(self.root / name))
        for version in sorted(versions, key=version_key, reverse=True):
            try:
                return self._read(name, version)
            except BundleError as error:
                failures.append(error)
        # the newest version's failure is the one worth telling
        raise failures[0] if failures else BundleNotFound(self.root, name)

    def find_model(self, name: str, version: str = "") -> Bundle:
        """As `find`, where only a model will do."""
        bundle = self.find(name, version)
        if isinstance(bundle, HeadBundle):
            raise BundleError(bundle.path, f"{bundle.identity} is a head, not a model")
        return bundle


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
