"""JSON files of a source, of the kind that is expected."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from triptych_models.errors import FetchError


def read_object(path: Path) -> Mapping[str, object]:
    """A JSON object; FetchError where the file holds anything else."""
    values = _read(path)
    if not isinstance(values, dict):
        raise FetchError(f"{path}: must hold a JSON object")
    return values


def read_optional(path: Path) -> Mapping[str, object]:
    """The same, empty where there is no file."""
    return read_object(path) if path.is_file() else {}


def read_list(path: Path) -> Sequence[object]:
    """A JSON list; FetchError where the file holds anything else."""
    values = _read(path)
    if not isinstance(values, list):
        raise FetchError(f"{path}: must hold a JSON list")
    return values


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FetchError(f"{path}: cannot be read: {error}") from error
