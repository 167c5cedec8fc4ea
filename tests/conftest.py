"""What tests of several packages start from."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from triptych_local.session import Session, running
from triptych_servicekit.settings import load, setting

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis_settings.register_profile(
    "triptych", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("triptych")

CLONE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Models:
    """The bundles under test."""

    repository: str = setting(str(CLONE / "model-repository"), "Folder of bundles.")


@dataclass(frozen=True, slots=True)
class External:
    """What lies outside the clone."""

    data: str = setting("", "Folder of data sets for tests marked `data`.")


@dataclass(frozen=True, slots=True)
class SuiteSettings:
    """What the tests read of the environment."""

    models: Models
    test: External


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only what nothing refers to any more goes away: what is in a cycle stays, and shows."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def settings() -> SuiteSettings:
    return load(SuiteSettings)


@pytest.fixture(scope="session")
def bundle_repository(settings: SuiteSettings) -> Path:
    """The repository with the default bundle."""
    folder = Path(settings.models.repository)
    if not any(folder.glob("*/*/bundle.yaml")):
        pytest.fail(f"no bundle in {folder}: run `make bundle`, or set TRIPTYCH_MODELS_REPOSITORY")
    return folder


@pytest.fixture(scope="session")
def data_folder(settings: SuiteSettings) -> Path:
    """The folder of data sets, for tests marked `data`."""
    folder = Path(settings.test.data)
    if not settings.test.data or not folder.is_dir():
        pytest.fail("tests marked `data` need TRIPTYCH_TEST_DATA, a folder of data sets")
    return folder


@pytest.fixture(scope="session")
def platform(bundle_repository: Path) -> Iterator[Session]:
    """All services as processes on free ports, ready, and stopped in order at the end."""
    with running(bundle_repository) as session:
        yield session
