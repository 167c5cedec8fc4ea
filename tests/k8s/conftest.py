"""What the tests of the manifests start from: schemas outside the clone, and a running platform."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.engine import SERVICES
from triptych_local.session import Session
from triptych_servicekit.settings import load, setting


@dataclass(frozen=True, slots=True)
class External:
    """What lies outside the clone."""

    schemas: str = setting("", "Folder with crds/: definitions of the custom resources.")


@dataclass(frozen=True, slots=True)
class Settings:
    """What these tests read of the environment."""

    test: External


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """Without them there is nothing here that could pass."""
    for name, source in (("kubectl", "1.32 or later"), ("promtool", "Debian: prometheus")):
        if shutil.which(name) is None:
            pytest.fail(f"these tests need {name} on the PATH ({source})")


@pytest.fixture(scope="session")
def schema_folder() -> Path:
    """The folder of definitions."""
    folder = Path(load(Settings).test.schemas)
    if not any(folder.glob("crds/*.yaml")):
        pytest.fail("these tests need TRIPTYCH_TEST_SCHEMAS, a folder with crds/*.yaml")
    return folder


@pytest.fixture(scope="session")
def exported(platform: Session) -> frozenset[str]:
    """Names of all series of a platform that runs, as its services describe them."""
    found: set[str] = set()
    for service in SERVICES:
        for line in httpx.get(f"{platform.operations_url(service)}/metrics").text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
                found |= {name + part for part in parts}
    return frozenset(found)
