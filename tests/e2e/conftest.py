"""Compose projects for the tests, and the figures they print at the end."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.engine import STAGES, EngineError, Project, docker, lasting
from triptych_local.ports import choose

FIGURES = pytest.StashKey[list[str]]()
REPLICAS = tuple(option for stage in STAGES for option in ("--scale", f"{stage}=2"))

Report = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was measured, whether or not the tests passed."""
    if config.stash[FIGURES]:
        terminalreporter.section("containers, measured")
    for line in config.stash[FIGURES]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """Adds a line to the figures."""
    return request.config.stash[FIGURES].append


@pytest.fixture(scope="session")
def engine() -> str:
    """The engine's version; without an engine there is nothing here that could pass."""
    try:
        return docker("version", "--format", "{{.Server.Version}}").strip()
    except (EngineError, FileNotFoundError) as error:
        pytest.fail(f"these tests need a Docker engine with compose: {error}")


@pytest.fixture(scope="session")
def images(engine: str) -> None:
    """All images but the GPU's, built from the clone."""
    Project("triptych-e2e-images").compose("build")


def project(role: str, *layers: str) -> Project:
    """A project whose ports are free; the stages' are ranges, which projects share."""
    http, grpc, prometheus = choose(3)
    ports = {
        "TRIPTYCH_HTTP_PORT": str(http),
        "TRIPTYCH_LOCAL_GATEWAY_PORT": str(grpc),
        "TRIPTYCH_PROMETHEUS_PORT": str(prometheus),
    }
    return Project(f"triptych-e2e-{role}", layers, ports)


@pytest.fixture
def fresh(images: None) -> Iterator[Project]:
    """A project that has not been started."""
    yield from lasting(project("fresh"))


@pytest.fixture(scope="session")
def scaled(images: None) -> Iterator[Project]:
    """The platform with two replicas of each stage, and Prometheus beside it."""
    for running in lasting(project("scaled", "observability")):
        running.up(*REPLICAS)
        yield running
