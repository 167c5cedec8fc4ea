"""The client is installed alone: it imports what it declares, and nothing of the platform."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "clients" / "python"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
NAMES = {requirement.partition(">")[0] for requirement in PROJECT["dependencies"]}
DRAWING = {"matplotlib"}


def imported(path: Path) -> set[str]:
    """Top-level names of every import, also of those inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_every_import_is_declared() -> None:
    files = list((PACKAGE / "triptych_client").rglob("*.py"))
    names = set().union(*map(imported, files)) - set(sys.stdlib_module_names)
    assert names - {"triptych_client"} == NAMES | DRAWING
    drawing = [path.name for path in files if DRAWING & imported(path)]
    assert drawing == ["picture.py"]
    assert [one.partition(">")[0] for one in PROJECT["optional-dependencies"]["plots"]] == [
        "matplotlib"
    ]


def test_the_command_starts_without_what_draws_and_without_the_platform() -> None:
    code = "import sys, triptych_client.__main__; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded >= NAMES
    ours = {name for name in loaded if name.startswith("triptych")}
    assert ours == {"triptych_client"}
    assert not loaded & {"matplotlib", "grpc", "fastapi", "onnxruntime", "tokenizers", "torch"}
