"""What can be wrong with a bundle.

BundleError
└── BundleNotFound
"""

from pathlib import Path


class BundleError(Exception):
    """A bundle that cannot be used: `path` is the file at fault, `reason` says why without it."""

    def __init__(self, path: Path, reason: str, field: str = "") -> None:
        self.path = path
        self.field = field
        self.reason = f"{field}: {reason}" if field else reason
        super().__init__(f"{path}: {self.reason}")


class BundleNotFound(BundleError):
    """The repository holds no bundle of this name and version."""

    def __init__(self, root: Path, name: str, version: str = "") -> None:
        wanted = f"{name}@{version}" if version else name
        super().__init__(root, f"no bundle {wanted!r}")
