"""Puts the heads that come with this package beside the models that they were trained on."""

import shutil
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from triptych_bundles import Bundle, BundleError, HeadBundle, Repository, read_bundle, verify_files
from triptych_models.errors import FetchError
from triptych_models.heads.verification import has_trunk, open_head, verify_head
from triptych_models.progress import Say
from triptych_models.staging import install, staging

SHIPPED = "shipped"


def install_heads(repository: Path, wanted: str, replace: bool, say: Say) -> list[Path]:
    """Install one head, `name` or `name@version`, or all; returns the folders they are in.

    A head whose trunk the repository lacks is left out. What is intact under its name and version
    stays, unless `replace` says otherwise and it is other content. Raises FetchError where no such
    head is shipped, BundleError and GoldenMismatch where one is not intact.
    """
    installed = []
    with as_file(files("triptych_models") / SHIPPED) as shipped:
        for head in _wanted(shipped, wanted):
            if has_trunk(Repository(repository), head):
                installed.append(_install(head, repository, replace, say))
            else:
                say(f"{head.identity} is left out: its trunk {head.trunk.name} is not there")
    return installed


def _wanted(shipped: Path, wanted: str) -> Iterator[HeadBundle]:
    found = Repository(shipped).scan()
    if found.errors:
        raise found.errors[0]
    heads = [head for head in found.heads if wanted in ("", head.name, head.identity)]
    if wanted and not heads:
        raise FetchError(f"no head {wanted!r} comes with this package")
    yield from heads


def _install(head: HeadBundle, repository: Path, replace: bool, say: Say) -> Path:
    target = repository / head.name / head.version
    existing = _intact(target)
    if existing is not None and existing.digest == head.digest:
        say(f"{head.identity} is up to date: {head.digest[:12]}")
    elif existing is not None and not replace:
        say(f"{head.identity} holds other content, which is kept: replace it with --replace")
    else:
        _copy(head, repository, target)
        say(f"{head.identity} is installed: {head.digest[:12]}")
    return target


def _intact(folder: Path) -> Bundle | HeadBundle | None:
    try:
        bundle = read_bundle(folder)
        verify_files(bundle)
    except BundleError:
        return None
    return bundle


def _copy(head: HeadBundle, repository: Path, target: Path) -> None:
    with staging(repository) as staged:
        copy = staged / head.name / head.version
        shutil.copytree(head.path, copy)
        verify_head(open_head(copy))
        install(copy, target)
