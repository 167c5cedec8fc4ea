"""YAML files of a repository as they are read: bounded, and each key once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from triptych_bundles.errors import BundleError
from triptych_bundles.paths import regular

MAX_DOCUMENT_BYTES = 1 << 20


def read_document(folder: Path, name: str) -> bytes:
    """The bytes of a file; OSError where it cannot be read, BundleError where it is too long."""
    path = regular(folder, name)
    with path.open("rb") as stream:
        content = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise BundleError(path, f"is larger than {MAX_DOCUMENT_BYTES} bytes")
    return content


def parse_document(path: Path, content: bytes) -> object:
    """What a file says. Raises BundleError for what is not YAML."""
    try:
        return yaml.load(content, _Loader)  # noqa: S506 (a SafeLoader)
    # beside syntax errors: numbers that Python will not parse, and nesting beyond its stack
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BundleError(path, f"is not valid YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML's reader would silently keep the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := _twice(keys):
            reason = f"the key {twice.value[:80]!r} is there twice"
            raise yaml.composer.ComposerError(None, None, reason, twice.start_mark)
        return node


def _twice(keys: Iterable[yaml.ScalarNode]) -> yaml.ScalarNode | None:
    seen: set[str] = set()
    for key in keys:
        if key.value in seen:
            return key
        seen.add(key.value)
    return None
