"""How a version gets into the repository: verified before anybody can see it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from triptych_bundles import (
    Bundle,
    BundleError,
    BundleNotFound,
    Repository,
    read_model,
    verify_files,
)
from triptych_models.errors import BundleExists
from triptych_models.progress import Say
from triptych_models.staging import install, staging
from triptych_models.verification import verify_bundle


class Planned(Protocol):
    """A bundle whose content is decided."""

    @property
    def name(self) -> str:
        """The bundle's."""

    @property
    def version(self) -> str:
        """The bundle's."""

    def recipe(self) -> str:
        """sha256 that two plans share only when they would write the same."""


def put_version(
    plan: Planned,
    write: Callable[[Path], None],
    repository: Path,
    replace: bool,
    say: Say,
) -> Bundle:
    """Let `write` fill a folder, and make it the plan's version, unless that is there already.

    Raises BundleExists where the version holds other, intact content and `replace` is false, and
    what `write` and the verification raise.
    """
    existing = _existing(plan, repository, say)
    if existing is not None and existing.recipe == plan.recipe():
        say(f"{plan.name}@{plan.version} is up to date: {existing.digest[:12]}")
        return existing
    if existing is not None and not replace:
        reason = "holds other content: choose another version, or replace it with --replace"
        raise BundleExists(f"{plan.name}@{plan.version} {reason}")
    with staging(repository) as staged:
        folder = staged / plan.name / plan.version
        folder.mkdir(parents=True)
        write(folder)
        say("verifying against the golden vectors")
        verify_bundle(read_model(folder), say)
        target = repository / plan.name / plan.version
        install(folder, target)
    return read_model(target)


def _existing(plan: Planned, repository: Path, say: Say) -> Bundle | None:
    """The intact bundle in the plan's place; a broken one counts as none."""
    try:
        bundle = Repository(repository).find_model(plan.name, plan.version)
        verify_files(bundle)
    except BundleNotFound:
        return None
    except BundleError as error:
        say(f"making it again, since {error}")
        return None
    return bundle
