"""What is written about the project is true of it."""

import importlib.util
import re
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[3]
DOCUMENTS = [CLONE / "README.md", CLONE / "CONTRIBUTING.md", *(CLONE / "docs").rglob("*.md")]


def test_the_page_of_settings_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("pages", CLONE / "docs" / "write_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (CLONE / "docs" / "settings.md").read_text() == module.settings_page(), "run `make docs`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_variables_in_the_manuals_exist() -> None:
    known = set(re.findall(r"`(TRIPTYCH_\w+)`", (CLONE / "docs" / "settings.md").read_text()))
    for name in ("operations.md", "decisions/0001-one-connection-a-replica.md"):
        text = (CLONE / "docs" / name).read_text()
        for variable in re.findall(r"`(TRIPTYCH_[A-Z_]+)`", text):
            stem = variable.rstrip("_")
            local = variable.startswith("TRIPTYCH_LOCAL_")
            assert local or any(one.startswith(stem) for one in known), variable


def test_the_readme_is_short() -> None:
    assert len((CLONE / "README.md").read_text().splitlines()) <= 150
