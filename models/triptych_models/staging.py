"""Folders that appear whole or not at all: written hidden beside their place, then renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A hidden temporary folder on the same file system as `parent`, removed in the end."""
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix=".staging-") as folder:
        yield Path(folder)


def install(staged: Path, target: Path) -> None:
    """Move a staged folder into place; what was there goes where `staged` was, and with it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(staged.with_name(f"{staged.name}.replaced"))
    staged.rename(target)
