"""What the repository holds at this moment, at the price of a few stats."""

import os
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import MANIFEST_NAME, Bundle, Folder, HeadBundle
from triptych_bundles.paths import is_name
from triptych_bundles.reading import read_bundle

B_co = TypeVar("B_co", bound=Folder, covariant=True)

# inode, size, mtime and ctime in nanoseconds; None for a file that is not there
Mark: TypeAlias = tuple[int, int, int, int] | None
Signature: TypeAlias = tuple[Mark, ...]
Key: TypeAlias = tuple[str, str]

# A file changed again within a tick of its clock looks the same as before (git calls it racy): what
# is younger than this when it is read is read again.
RACY_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Sighting(Generic[B_co]):
    """A bundle whose bundle.yaml could be read, and the marks of all its files."""

    bundle: B_co
    signature: Signature

    @property
    def key(self) -> Key:
        """Name and version."""
        return self.bundle.name, self.bundle.version


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder whose bundle.yaml is missing or wrong."""

    key: Key
    reason: str
    """With the name of the file, without its folder."""
    present: bool
    """Whether there is a bundle.yaml."""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything there is, in no order."""

    sightings: tuple[Sighting[Bundle | HeadBundle], ...]
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    mark: Mark
    settled: bool
    outcome: Bundle | HeadBundle | BundleError


class RepositoryWatch:
    """Looks at a repository again and again, and reads only the bundle.yaml that changed."""

    def __init__(self, root: Path, names: Collection[str] = ()) -> None:
        self.root = root
        self._names = names
        self._reads: dict[Path, _Read] = {}

    def look(self) -> Look:
        """Blocks for as long as the file system takes.

        OSError where the repository cannot be listed, which says nothing about what it holds.
        """
        sightings, unreadable, reads = [], [], {}
        for folder in self._folders():
            read = reads[folder] = self._read(folder)
            if isinstance(read.outcome, BundleError):
                key = folder.parent.name, folder.name
                reason = f"{read.outcome.path.name}: {read.outcome.reason}"
                unreadable.append(Unreadable(key, reason, read.mark is not None))
            else:
                sightings.append(Sighting(read.outcome, _signature(read.mark, read.outcome)))
        self._reads = reads
        return Look(tuple(sightings), tuple(unreadable))

    def _folders(self) -> Iterator[Path]:
        for name in _subfolders(self.root):
            if not self._names or name.name in self._names:
                try:
                    yield from _subfolders(name)
                except FileNotFoundError:  # gone since it was listed
                    continue

    def _read(self, folder: Path) -> _Read:
        manifest = folder / MANIFEST_NAME
        mark, now = _mark(manifest), time.time_ns()
        known = self._reads.get(folder)
        if known is not None and known.settled and known.mark == mark:
            return known
        settled = mark is not None and mark[2] < now - RACY_NS
        try:
            return _Read(mark, settled, read_bundle(folder))
        except BundleError as error:
            # its traceback would keep what was read alive for as long as the file stays wrong
            return _Read(mark, settled, error.with_traceback(None))


def _subfolders(path: Path) -> Iterator[Path]:
    """Folders that may be meant; hidden ones are still being written."""
    with os.scandir(path) as entries:
        found = [entry.name for entry in entries if is_name(entry.name) and entry.is_dir()]
    yield from (path / name for name in sorted(found))


def _signature(mark: Mark, bundle: Folder) -> Signature:
    return mark, *(_mark(bundle.path / name) for name in bundle.files)


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
