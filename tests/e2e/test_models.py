"""The one-shot `models` container: idempotent, verified, careful with what is there."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.engine import Project, docker, lasting

BUNDLE = "/models/all-minilm-l6-v2"
BUNDLES = ["all-minilm-l6-v2@1", "banking77@1", "financial-sentiment@1"]


@pytest.fixture(scope="module")
def repository(images: None) -> Iterator[Project]:
    """A project of which only the models service is used."""
    yield from lasting(Project("triptych-e2e-models"))


def run(project: Project, *command: str) -> str:
    return project.compose("run", "--rm", "-T", "models", *command)


def published(repository: Project) -> list[str]:
    """Names of what a run had to publish; the others were up to date."""
    outcomes = re.findall(
        r"^(\S+) \w+ is (published|up to date)\s*$", run(repository), re.MULTILINE
    )
    assert sorted(name for name, _ in outcomes) == BUNDLES
    return sorted(name for name, outcome in outcomes if outcome == "published")


def test_a_volume_is_filled_verified_and_mended(repository: Project) -> None:
    assert published(repository) == BUNDLES
    assert published(repository) == []
    # Another version, and damage to the one that is ours.
    run(repository, "sh", "-c", f"cp -r {BUNDLE}/1 {BUNDLE}/0 && printf x >>{BUNDLE}/1/config.json")
    assert published(repository) == [BUNDLES[0]]
    assert published(repository) == []
    assert run(repository, "ls", "-A", "/models", BUNDLE).split("\n")[-3:] == ["0", "1", ""]


def test_the_tooling_verifies_what_was_published(repository: Project) -> None:
    run(repository)
    assert " ok: " in run(repository, "triptych-models", "verify", "all-minilm-l6-v2@1")


def test_no_network_is_needed(repository: Project) -> None:
    image = repository.compose("config", "--images", "models").strip()
    options = ("--rm", "--network", "none", "--volume", "/models", "--read-only")
    assert "is published" in docker("run", *options, image)
