"""The heads that come with the package: intact, described, and installed beside their trunk."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from triptych_bundles import BundleError, HeadBundle, Repository, read_bundle, sha256_file
from triptych_models.__main__ import main
from triptych_models.errors import GoldenMismatch
from triptych_models.golden import COMMITTED_WEIGHTS
from triptych_models.heads.verification import open_head, verify_head
from triptych_models.listing import repository_table

CLONE = Path(__file__).parents[3]
SHIPPED = CLONE / "models" / "triptych_models" / "shipped"
HEADS = {"banking77": 77, "financial-sentiment": 3}
MAX_BYTES = 2 << 20


def shipped(name: str) -> HeadBundle:
    return open_head(SHIPPED / name / "1")


def test_all_of_them_are_known() -> None:
    found = Repository(SHIPPED).scan()
    assert not found.errors
    assert {head.name: len(head.head.labels) for head in found.heads} == HEADS


@pytest.mark.parametrize("name", HEADS)
def test_is_intact_small_and_over_the_default_trunk(name: str) -> None:
    head = shipped(name)
    assert verify_head(head) < 1e-4
    assert head.size < MAX_BYTES
    assert head.trunk.weights_sha256 == COMMITTED_WEIGHTS
    on_disk = {path.name for path in head.path.iterdir()}
    assert on_disk == {"bundle.yaml", *head.files}


@pytest.mark.parametrize("name", HEADS)
def test_the_card_says_what_it_was_made_of(name: str) -> None:
    card = shipped(name).file("model-card.md").read_text()
    for part in (COMMITTED_WEIGHTS, "train.csv`, sha256 `", "| licence | ", "test, held out"):
        assert part in card
    assert f"--name {name} " in card
    # paths of the machine that it was made on
    assert "/work" not in card
    assert "/home" not in card


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_logits_that_do_not_come_out_are_refused(tmp_path: Path, wrong: float) -> None:
    folder = tmp_path / "financial-sentiment" / "1"
    shutil.copytree(SHIPPED / "financial-sentiment" / "1", folder)
    weights, manifest = folder / "head.safetensors", folder / "bundle.yaml"
    before, tensors = sha256_file(weights), load_file(weights)
    tensors["out.bias"] += np.float32(wrong)
    weights.write_bytes(save(tensors))
    manifest.write_text(manifest.read_text().replace(before, sha256_file(weights)))
    with pytest.raises((GoldenMismatch, BundleError), match=r"is off by 0\.01|must be finite"):
        verify_head(open_head(folder))


def test_the_list_says_that_a_trunk_is_missing() -> None:
    assert repository_table(Repository(SHIPPED)).count("trunk is missing") == len(HEADS)


def test_installs_what_is_missing_or_broken(bundle_repository: Path, tmp_path: Path) -> None:
    trunk = bundle_repository / "all-minilm-l6-v2" / "1"
    (tmp_path / "all-minilm-l6-v2" / "1").mkdir(parents=True)
    shutil.copyfile(trunk / "bundle.yaml", tmp_path / "all-minilm-l6-v2" / "1" / "bundle.yaml")
    weights = tmp_path / "banking77" / "1" / "head.safetensors"
    install = ["install-heads", "--repository", str(tmp_path)]
    assert main([*install, "banking77@1"]) == 0
    assert not (tmp_path / "financial-sentiment").exists()
    weights.write_bytes(b"cut")
    assert main(install) == 0
    for name in HEADS:
        copy = open_head(tmp_path / name / "1")
        verify_head(copy)
        assert copy.digest == shipped(name).digest
    before = weights.stat().st_ino
    assert main(install) == 0
    assert weights.stat().st_ino == before


def test_keeps_other_content_unless_asked(bundle_repository: Path, tmp_path: Path) -> None:
    trunk = tmp_path / "all-minilm-l6-v2" / "1"
    trunk.mkdir(parents=True)
    shutil.copyfile(bundle_repository / "all-minilm-l6-v2/1/bundle.yaml", trunk / "bundle.yaml")
    install = ["install-heads", "banking77", "--repository", str(tmp_path)]
    assert main(install) == 0
    manifest = tmp_path / "banking77" / "1" / "bundle.yaml"
    manifest.write_text(manifest.read_text().replace("cc-by-4.0", "mine"))
    assert main(install) == 0
    assert read_bundle(manifest.parent).digest != shipped("banking77").digest
    assert main([*install, "--replace"]) == 0
    assert read_bundle(manifest.parent).digest == shipped("banking77").digest
