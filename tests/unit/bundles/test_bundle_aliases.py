"""What aliases.yaml may say, and how it is told where it is wrong."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from triptych_bundles.aliases import (
    Alias,
    AliasShadow,
    AliasTarget,
    check_alias_names,
    read_aliases,
)
from triptych_bundles.documents import MAX_DOCUMENT_BYTES
from triptych_bundles.errors import BundleError

TARGETS = [{"model": "tiny@1", "weight": 90}, {"model": "tiny@2", "weight": 10}]


def write(root: Path, document: object) -> None:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    (root / "aliases.yaml").write_text(text)


def of(alias: Any, name: str = "support") -> dict[str, object]:
    return {"schema": 1, "aliases": {name: alias}}


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    shadow = {"model": "tiny@3", "share": 0.25}
    plain = {"targets": [{"model": "tiny"}], "shadow": {"model": "other"}}
    document = of({"targets": TARGETS, "shadow": shadow})
    write(tmp_path, {**document, "aliases": {**document["aliases"], "plain": plain}})  # type: ignore[dict-item]
    assert dict(read_aliases(tmp_path)) == {
        "support": Alias(
            "support",
            (AliasTarget("tiny@1", 90), AliasTarget("tiny@2", 10)),
            AliasShadow("tiny@3", 0.25),
        ),
        "plain": Alias("plain", (AliasTarget("tiny", 1),), AliasShadow("other", 1.0)),
    }


def test_no_file_means_no_aliases(tmp_path: Path) -> None:
    assert read_aliases(tmp_path) == {}


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ([], "", "must be a mapping"),
        ({"aliases": {}}, "schema", "is missing"),
        ({"schema": 2, "aliases": {}}, "schema", "version 2 is unknown"),
        ({"schema": 1}, "aliases", "is missing"),
        ({"schema": 1, "aliases": []}, "aliases", "must be a mapping"),
        ({"schema": 1, "aliases": {}, "more": 1}, "more", "unknown field"),
        (of({}, "Upper"), "aliases.Upper", "must match"),
        (of([]), "aliases.support", "must be a mapping"),
        (of({}), "aliases.support.targets", "is missing"),
        (of({"targets": []}), "aliases.support.targets", "must have 1 to 16"),
        (
            of({"targets": [{"model": f"m{n}"} for n in range(17)]}),
            "aliases.support.targets",
            "has 17 entries",
        ),
        (of({"targets": ["tiny"]}), "aliases.support.targets[0]", "must be a mapping"),
        (of({"targets": [{"weight": 1}]}), "aliases.support.targets[0].model", "is missing"),
        (
            of({"targets": [{"model": "tiny@"}]}),
            "aliases.support.targets[0].model",
            "must be a bundle's name",
        ),
        (
            of({"targets": [{"model": "../tiny"}]}),
            "aliases.support.targets[0].model",
            "must be a bundle's name",
        ),
        (
            of({"targets": [TARGETS[0], {"model": "tiny@2", "weight": 0}]}),
            "aliases.support.targets[1].weight",
            "must be at least 1",
        ),
        (
            of({"targets": [{"model": "tiny", "weight": -5}]}),
            "aliases.support.targets[0].weight",
            "must be at least 1",
        ),
        (
            of({"targets": [{"model": "tiny", "weight": 1.5}]}),
            "aliases.support.targets[0].weight",
            "must be a whole number",
        ),
        (
            of({"targets": [{"model": "tiny", "weight": 10**12}]}),
            "aliases.support.targets[0].weight",
            "must be at most",
        ),
        (of({"targets": [TARGETS[0], TARGETS[0]]}), "aliases.support.targets", "twice"),
        (
            of({"targets": [{"model": "tiny", "share": 0.5}]}),
            "aliases.support.targets[0].share",
            "unknown field",
        ),
        (
            of({"targets": [{"model": "support@1"}]}),
            "aliases.support.targets[0].model",
            "is an alias",
        ),
        (
            of({"targets": TARGETS, "shadow": {"model": "support"}}),
            "aliases.support.shadow.model",
            "is an alias",
        ),
        (
            of({"targets": TARGETS, "shadow": {"model": "tiny", "share": 1.5}}),
            "aliases.support.shadow.share",
            "between 0 and 1",
        ),
        (
            of({"targets": TARGETS, "shadow": {"model": "tiny", "weight": 1}}),
            "aliases.support.shadow.weight",
            "unknown field",
        ),
        (of({"targets": TARGETS, "extra": 1}), "aliases.support.extra", "unknown field"),
        ("schema: [1", "", "is not valid YAML"),
        ("[" * 5000, "", "is not valid YAML"),
        ("schema: 1\naliases: {a: {}, b: {}, a: {}}", "", "the key 'a' is there twice"),
        ("#" * (MAX_DOCUMENT_BYTES + 1), "", "is larger than"),
    ],
)
def test_a_wrong_file_names_itself_and_the_field(
    tmp_path: Path, document: object, field: str, reason: str
) -> None:
    write(tmp_path, document)
    with pytest.raises(BundleError, match=r"aliases\.yaml") as caught:
        read_aliases(tmp_path)
    assert caught.value.field == field
    assert reason in caught.value.reason


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "aliases.yaml")
    with pytest.raises(BundleError, match=r"aliases\.yaml: is not a file"):
        read_aliases(tmp_path)


def test_a_file_elsewhere_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    write(tmp_path, of({"targets": TARGETS}))
    (root / "aliases.yaml").symlink_to(tmp_path / "aliases.yaml")
    with pytest.raises(BundleError, match="leads out"):
        read_aliases(root)


def test_an_alias_cannot_have_the_name_of_a_bundle(tmp_path: Path) -> None:
    aliases = {"tiny": Alias("tiny", (AliasTarget("other"),))}
    check_alias_names(aliases, {"other"}, tmp_path)
    with pytest.raises(BundleError) as caught:
        check_alias_names(aliases, {"other", "tiny"}, tmp_path)
    assert caught.value.field == "aliases.tiny"
