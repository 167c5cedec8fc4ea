"""Writes a bundle.yaml: for people first, and the same bytes for the same content."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from triptych_bundles import (
    MANIFEST_NAME,
    PRECISIONS_SCHEMA_VERSION,
    SCHEMA_VERSION,
    sha256_file,
)

_HEADER = """\
# A Triptych model bundle. Its digest is the sha256 of this file, which pins every other by hash:
# change nothing by hand, compile a new version instead.
#
# graphs   variant: file; inputs int32[batch, sequence], outputs as listed, vectors raw
# golden   texts and vectors that a backend must reproduce before it may serve
# recipe   sha256 of what this was compiled from
"""
# written only where there are some: every other bundle keeps its bytes, and so its digest
_PRECISIONS_HEADER = """\
#
# precisions   how close each comes to fp32, over so many texts apart from those it was made with
#   min_cosine     least cosine of a pooled vector to its golden one, else a backend may not serve
#   worst_cosine, mean_cosine   what was measured, each text alone and in padded batches
#   batch_cosine   least cosine of a text's vector among batch mates to its vector alone
#   scores         of tasks on the same texts: in fp32, and the precision's own
"""


def write_manifest(folder: Path, facts: Mapping[str, object], header: str = _HEADER) -> None:
    """Record the facts and every file below `folder`, under a header of comments."""
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    files = {name: file_facts(folder / name) for name in names}
    schema = SCHEMA_VERSION
    if "precisions" in facts:
        schema, header = PRECISIONS_SCHEMA_VERSION, header + _PRECISIONS_HEADER
    content = yaml.safe_dump(
        {"schema": schema, **facts, "files": files},
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    (folder / MANIFEST_NAME).write_text(header + content, encoding="utf-8")


def file_facts(path: Path) -> Mapping[str, object]:
    """What the manifest says of a file."""
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}
