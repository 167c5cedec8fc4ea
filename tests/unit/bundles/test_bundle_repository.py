"""Finding bundles and versions, with broken and unfinished neighbours."""

from collections.abc import Callable
from pathlib import Path

import pytest

from triptych_bundles import BundleError, BundleNotFound, Repository, Scan

WriteBundle = Callable[..., Path]


def names(repository: Repository) -> list[str]:
    return [f"{bundle.name}@{bundle.version}" for bundle in repository.bundles()]


def test_lists_by_name_and_natural_version(root: Path, write_bundle: WriteBundle) -> None:
    for name, version in [("b", "1"), ("a", "10"), ("a", "2"), ("a", "1.10"), ("a", "1.9")]:
        write_bundle(name, version)
    assert names(Repository(root)) == ["a@1.9", "a@1.10", "a@2", "a@10", "b@1"]


def test_an_absent_or_empty_root_holds_nothing(root: Path) -> None:
    assert Repository(root).scan() == Scan()
    root.mkdir()
    assert Repository(root).scan() == Scan()


def test_a_broken_bundle_hides_no_other(root: Path, write_bundle: WriteBundle) -> None:
    write_bundle("a", "1")
    (write_bundle("a", "2") / "bundle.yaml").write_text("schema: 9")
    found = Repository(root).scan()
    assert [bundle.version for bundle in found.models] == ["1"]
    assert ["version 9 is unknown" in str(error) for error in found.errors] == [True]


def test_unfinished_and_foreign_entries_are_ignored(root: Path, write_bundle: WriteBundle) -> None:
    write_bundle("a", "1")
    (root / ".staging-x" / "a" / "2").mkdir(parents=True)
    (root / "a" / ".staging-y").mkdir()
    (root / "README").write_text("not a bundle")
    assert names(Repository(root)) == ["a@1"]
    assert Repository(root).scan().errors == []


def test_finds_the_latest_or_the_asked_version(root: Path, write_bundle: WriteBundle) -> None:
    for version in ("2", "10", "9"):
        write_bundle("a", version)
    repository = Repository(root)
    assert repository.find("a").version == "10"
    assert repository.find("a", "2").version == "2"


@pytest.mark.parametrize(
    ("name", "version"),
    [("b", ""), ("a", "3"), ("../a", "1"), ("a", "../1"), ("", ""), (".", "1"), ("A", "")],
)
def test_what_is_not_there_is_not_found(
    root: Path, write_bundle: WriteBundle, name: str, version: str
) -> None:
    write_bundle("a", "1")
    with pytest.raises(BundleNotFound, match="no bundle"):
        Repository(root).find(name, version)


def test_the_latest_readable_version_stands_in_for_a_broken_one(
    root: Path, write_bundle: WriteBundle
) -> None:
    write_bundle("a", "1")
    (write_bundle("a", "2") / "bundle.yaml").unlink()
    repository = Repository(root)
    assert repository.find("a").version == "1"
    with pytest.raises(BundleError, match="cannot be read"):
        repository.find("a", "2")


def test_where_no_version_can_be_read_the_newest_failure_is_told(
    root: Path, write_bundle: WriteBundle
) -> None:
    for version in ("1", "2"):
        (write_bundle("a", version) / "bundle.yaml").write_text(f"schema: 9{version}")
    with pytest.raises(BundleError, match="version 92 is unknown"):
        Repository(root).find("a")
