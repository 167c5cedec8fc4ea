"""Streaming sha256, so that a file larger than the memory can be checked."""

import hashlib
from pathlib import Path


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes; OSError where it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
