"""Writes scores into a bundle: into bundle.yaml for programs, into the model card for people."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from triptych_bundles import INT8_GRAPHS, MANIFEST_NAME, Bundle, read_model
from triptych_models.facts import CPU_GRAPH
from triptych_models.manifest import write_manifest
from triptych_models.scores.measuring import Measured
from triptych_models.staging import install, staging

CARD = "model-card.md"
_TITLE = "## Scores by precision"
_SECTION = re.compile(rf"{re.escape(_TITLE)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_INTRODUCTION = """\
By onnxruntime on the CPU, each graph on the same inputs; repeated texts are left out.
"""
_HEADER = """\
| data | sha256 | inputs | measure | fp32 | int8 | int8 for OpenVINO |
|---|---|---|---|---|---|---|
"""


def record(bundle: Bundle, measured: Measured, repository: Path) -> Bundle:
    """Replace the version by itself with the scores; those of the same data are replaced.

    The digest changes, the recipe does not: compiling the same again leaves the scores there.
    """
    with staging(repository) as staged:
        folder = staged / bundle.name / bundle.version
        shutil.copytree(bundle.path, folder)
        facts = _facts(folder)
        if measured.int8 is not None and "int8" in facts.get("precisions", {}):
            facts["precisions"]["int8"]["scores"][measured.name] = _pair(measured)
        _write_card(folder / CARD, bundle.identity, measured)
        (folder / MANIFEST_NAME).unlink()
        write_manifest(folder, facts)
        target = repository / bundle.name / bundle.version
        read_model(folder)
        install(folder, target)
    return read_model(target)


def _facts(folder: Path) -> dict[str, Any]:
    """Of a manifest that has been read and found valid."""
    facts: dict[str, Any] = yaml.safe_load((folder / MANIFEST_NAME).read_bytes())
    del facts["schema"], facts["files"]
    return facts


def _pair(measured: Measured) -> Mapping[str, object]:
    return {
        "metric": measured.metric,
        "fp32": round(measured.fp32, 6),
        "own": round(measured.int8 or 0.0, 6),
    }


def _write_card(path: Path, identity: str, measured: Measured) -> None:
    card = path.read_text(encoding="utf-8") if path.is_file() else f"# {identity}\n"
    section = _SECTION.search(card)
    lines = section[0].splitlines() if section else []
    kept = [line for line in lines if line.startswith(("| `", "|`")) and not _is_of(line, measured)]
    table = "".join(f"{line}\n" for line in [*kept, _row(measured)])
    rest = _SECTION.sub("", card).rstrip("\n")
    written = f"{rest}\n\n{_TITLE}\n\n{_INTRODUCTION}\n{_HEADER}{table}"
    path.write_text(written, encoding="utf-8")


def _is_of(line: str, measured: Measured) -> bool:
    return line.startswith(f"| `{measured.name}` |")


def _row(measured: Measured) -> str:
    variants = (CPU_GRAPH, *INT8_GRAPHS)
    scores = [measured.by_variant.get(one) for one in variants]
    cells = ["" if score is None else f"{score:.4f}" for score in scores]
    facts = [f"`{measured.name}`", f"`{measured.sha256[:12]}…`", str(measured.rows)]
    return f"| {' | '.join([*facts, measured.metric, *cells])} |"
