"""What a repository holds, read again and again at the price of a few stats."""

import logging
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from triptych_bundles.aliases import ALIASES_NAME, NO_ALIASES, Aliases, read_aliases
from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import MANIFEST_NAME, Bundle, HeadBundle
from triptych_bundles.paths import is_name
from triptych_bundles.reading import read_bundle
from triptych_bundles.repository import version_key

logger = logging.getLogger(__name__)

# inode, size, mtime and ctime in nanoseconds; None for a file that is not there
Mark = tuple[int, int, int, int] | None

# A file that changes again within a tick of its clock looks as before (git calls it racy): what is
# younger than this when it is read is read again.
RACY_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Holdings:
    """Bundles by name and natural version, and aliases: the last of each that could be read."""

    models: tuple[Bundle, ...] = ()
    heads: tuple[HeadBundle, ...] = ()
    aliases: Aliases = field(default_factory=lambda: NO_ALIASES)


@dataclass(slots=True)
class _File:
    """A file as it was read last."""

    mark: Mark = None
    settled: bool = False
    missed: bool = False
    """Whether the last look did not find it. What is being replaced may be gone for a moment, so
    that only the second look in a row counts."""

    def changed(self, mark: Mark, now: int) -> bool:
        """Whether it has to be read, which is then taken as done."""
        if self.settled and self.mark == mark:
            return False
        self.settled = mark is None or mark[2] < now - RACY_NS
        self.mark = mark
        return True


@dataclass(slots=True)
class _Folder:
    """A bundle's folder; `bundle` is the last that could be read."""

    file: _File = field(default_factory=_File)
    bundle: Bundle | HeadBundle | None = None


class HoldingsReader:
    """Looks at a repository; of what cannot be read it keeps what it had."""

    def __init__(self, root: Path, names: Collection[str] = ()) -> None:
        """`names` are those of the bundles that count; empty: all."""
        self._root = root
        self._names = names
        self._folders: dict[Path, _Folder] = {}
        self._alias_file = _File()
        self._aliases = NO_ALIASES
        self._refusals: dict[Path, str] = {}

    def look(self) -> Holdings:
        """What there is now. Blocks for as long as the file system takes."""
        try:
            found = list(self._found())
        except OSError as error:  # says nothing about what the repository holds
            self._refuse(self._root, f"cannot be listed: {error.strerror}")
        else:
            self._refusals.pop(self._root, None)
            self._look_at_folders(found)
        self._look_at_aliases()
        bundles = [folder.bundle for folder in self._folders.values() if folder.bundle]
        bundles.sort(key=lambda bundle: (bundle.name, version_key(bundle.version)))
        return Holdings(
            tuple(bundle for bundle in bundles if isinstance(bundle, Bundle)),
            tuple(bundle for bundle in bundles if isinstance(bundle, HeadBundle)),
            self._aliases,
        )

    def _found(self) -> Iterator[Path]:
        for name in _subfolders(self._root):
            if not self._names or name.name in self._names:
                try:
                    yield from _subfolders(name)
                except FileNotFoundError:  # gone since it was listed
                    continue

    def _look_at_folders(self, found: Collection[Path]) -> None:
        marks = {path: _mark(path / MANIFEST_NAME) for path in found}
        there = {path for path, mark in marks.items() if mark is not None}
        for path in there:
            self._read(path, marks[path])
        for path in self._folders.keys() - there:
            if self._folders[path].file.missed:
                del self._folders[path]
                self._refusals.pop(path, None)
            else:
                self._folders[path].file.missed = True

    def _read(self, path: Path, mark: Mark) -> None:
        folder = self._folders.setdefault(path, _Folder())
        folder.file.missed = False
        if not folder.file.changed(mark, time.time_ns()):
            return
        try:
            folder.bundle = read_bundle(path)
        except BundleError as error:
            self._refuse(path, str(error))
        else:
            self._refusals.pop(path, None)

    def _look_at_aliases(self) -> None:
        path, file = self._root / ALIASES_NAME, self._alias_file
        mark = _mark(path)
        if mark is None and file.mark is not None and not file.missed:
            file.missed = True
            return
        file.missed = False
        if not file.changed(mark, time.time_ns()):
            return
        try:
            self._aliases = read_aliases(self._root)
        except BundleError as error:
            self._refuse(path, str(error))
        else:
            self._refusals.pop(path, None)

    def _refuse(self, path: Path, reason: str) -> None:
        """Say once what is wrong."""
        if self._refusals.get(path) != reason:
            self._refusals[path] = reason
            logger.error("refused, what was read before stays", extra={"reason": reason})


def _subfolders(path: Path) -> Iterator[Path]:
    """Folders that may be meant; hidden ones are still being written."""
    with os.scandir(path) as entries:
        found = [entry.name for entry in entries if is_name(entry.name) and entry.is_dir()]
    yield from (path / name for name in sorted(found))


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
