"""Looking at a repository."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from triptych_bundles import HeadBundle
from triptych_bundles.live import RepositoryWatch

WriteBundle = Callable[..., Path]


def age(folder: Path) -> None:
    """Make a bundle.yaml older than what is looked at twice."""
    os.utime(folder / "bundle.yaml", (1_700_000_000, 1_700_000_000))


def test_what_has_not_changed_is_not_read_again(root: Path, write_bundle: WriteBundle) -> None:
    age(write_bundle("old"))
    write_bundle("young")
    watch = RepositoryWatch(root)
    first, second = ({s.bundle.name: s for s in watch.look().sightings} for _ in range(2))
    assert first["old"].bundle is second["old"].bundle
    assert first["young"].bundle is not second["young"].bundle, "may have changed unseen"
    assert first == second


def test_a_signature_changes_with_any_file(root: Path, write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    watch = RepositoryWatch(root)
    signatures = {watch.look().sightings[0].signature}
    (folder / "model.onnx").write_bytes(b"other")
    signatures.add(watch.look().sightings[0].signature)
    os.utime(folder / "tokenizer.json", (1, 1))
    signatures.add(watch.look().sightings[0].signature)
    (folder / "model.onnx").unlink()
    signatures.add(watch.look().sightings[0].signature)
    assert len(signatures) == 4


def test_both_kinds_are_seen_and_hidden_folders_are_not(
    root: Path, write_bundle: WriteBundle, write_head: WriteBundle
) -> None:
    write_bundle()
    write_head()
    (root / ".staging-x" / "1").mkdir(parents=True)
    (root / "file").write_text("")
    (root / "empty").mkdir()
    look = RepositoryWatch(root).look()
    assert {s.key: isinstance(s.bundle, HeadBundle) for s in look.sightings} == {
        ("tiny", "1"): False,
        ("mood", "1"): True,
    }
    assert look.unreadable == ()


def test_unreadable_bundles_are_told_apart_from_folders_without_one(
    root: Path, write_bundle: WriteBundle
) -> None:
    (write_bundle() / "bundle.yaml").write_text("a: [")
    (write_bundle("none") / "bundle.yaml").unlink()
    found = {item.key[0]: item for item in RepositoryWatch(root).look().unreadable}
    assert (found["tiny"].present, found["none"].present) == (True, False)
    assert found["none"].reason == "bundle.yaml: cannot be read: No such file or directory"


def test_a_missing_repository_is_an_error_not_an_empty_one(root: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        RepositoryWatch(root).look()
