"""What read_bundle accepts, and what it says of everything else."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triptych_bundles import BundleError, FileRecord, read_bundle, read_model

WriteBundle = Callable[..., Path]
Facts = dict[str, Any]


def test_reads_every_field(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    bundle = read_model(folder)
    assert (bundle.name, bundle.version, bundle.task) == ("tiny", "1", "embed")
    assert (bundle.pooling, bundle.normalize, bundle.max_length) == ("mean", True, 8)
    assert (bundle.hidden_size, bundle.vocab_size, bundle.created) == (4, 10, 1627776000)
    assert bundle.prompts == {"query": "query: "}
    assert bundle.outputs[-1] == "last_hidden_state"
    assert bundle.graphs == {"cpu-fp32": "model.onnx"}
    assert bundle.base.licence == "apache-2.0"
    assert bundle.golden.min_cosine == 0.99999
    assert bundle.files["model.onnx"] == FileRecord(hashlib.sha256(b"graph").hexdigest(), 5)


def test_digest_is_the_hash_of_the_manifest(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    expected = hashlib.sha256((folder / "bundle.yaml").read_bytes()).hexdigest()
    assert read_bundle(folder).digest == expected


def test_file_gives_recorded_paths_only(write_bundle: WriteBundle) -> None:
    bundle = read_bundle(write_bundle())
    assert bundle.file("model.onnx").read_bytes() == b"graph"
    with pytest.raises(BundleError, match=r"bundle\.yaml: records no file 'head\.safetensors'"):
        bundle.file("head.safetensors")


def put(*path: str, value: object) -> Callable[[Facts], None]:
    def spoil(facts: Facts) -> None:
        for key in path[:-1]:
            facts = facts[key]
        facts[path[-1]] = value

    return spoil


def drop(name: str) -> Callable[[Facts], object]:
    return lambda facts: facts.pop(name)


SPOILT = [
    (put("schema", value=3), "schema: version 3 is unknown, this reader knows 1 and 2"),
    (drop("schema"), "schema: is missing"),
    (drop("pooling"), "pooling: is missing"),
    (put("colour", value="blue"), "colour: unknown field"),
    (put("base", "colour", value="blue"), "base.colour: unknown field"),
    (put("version", value=1), "version: must be a string"),
    (put("name", value="Tiny"), "name: 'Tiny' must match"),
    (put("name", value="../tiny"), "name: '../tiny' must match"),
    (put("version", value="2"), "name: is tiny/2, but its folder is tiny/1"),
    (put("pooling", value="max"), "pooling: 'max' is not one of cls, mean, last_token"),
    (put("outputs", value=["pooled.cls"]), "pooling: 'mean' is not among the outputs"),
    (put("outputs", value=["pooled.max"]), "outputs: unknown output 'pooled.max'"),
    (put("outputs", value=[]), "outputs: must hold at least one string"),
    (put("normalize", value=1), "normalize: must be true or false"),
    (put("max_length", value=True), "max_length: must be a whole number"),
    (put("max_length", value=0), "max_length: must be at least 1"),
    (put("max_length", value=10**9), "max_length: must be at most 1048576"),
    (put("vocab_size", value=10**10), "vocab_size: must be at most 2147483647"),
    (put("created", value=-1), "created: must be at least 0"),
    (put("created", value=10**12), "created: must be at most 253402300799"),
    (put("prompts", value=["query"]), "prompts: must be a mapping"),
    (put("prompts", value={1: "query"}), "prompts.1: must be a string"),
    (put("graphs", "cpu-int8", value="int8.onnx"), "graphs.cpu-int8: 'int8.onnx' is not recorded"),
    (put("golden", "texts", value="no.json"), "golden.texts: 'no.json' is not recorded"),
    (put("golden", "min_cosine", value=1.5), "golden.min_cosine: must be between 0 and 1"),
    (put("recipe", value="123"), "recipe: '123' is not a sha256"),
    (put("files", "model.onnx", "sha256", value="123"), "files.model.onnx.sha256: '123' is not"),
    (put("files", "model.onnx", "bytes", value=-1), "files.model.onnx.bytes: must be at least 0"),
    (put("files", "model.onnx", "bytes", value=1 << 60), "files.model.onnx.bytes: must be at most"),
    (put("files", "/etc/passwd", value={}), "files./etc/passwd: is not a plain path"),
    (put("files", "../other", value={}), "files.../other: is not a plain path"),
    (put("files", "a/../../b", value={}), "files.a/../../b: is not a plain path"),
    (put("files", "a\\b", value={}), "files.a\\b: is not a plain path"),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILT, ids=[reason for _, reason in SPOILT])
def test_refuses_and_names_file_field_and_reason(
    write_bundle: WriteBundle, spoil: Callable[[Facts], object], reason: str
) -> None:
    folder = write_bundle(spoil=spoil)
    with pytest.raises(BundleError) as refusal:
        read_bundle(folder)
    assert refusal.value.path == folder / "bundle.yaml"
    assert str(refusal.value).startswith(f"{folder / 'bundle.yaml'}: {reason}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name: [", "is not valid YAML"),
        (b"[" * 5000, "is not valid YAML"),
        (b"!!python/object/apply:os.system [true]", "is not valid YAML"),
        (b"schema: " + b"9" * 5000, "is not valid YAML"),
        (b"name: a\nname: b", "is not valid YAML: the key 'name' is there twice"),
        (b"- 1", "must be a mapping"),
        (b"", "must be a mapping"),
        (b"#" * (1 << 20) + b"#", "is larger than 1048576 bytes"),
    ],
)
def test_refuses_what_is_no_manifest(
    write_bundle: WriteBundle, content: bytes, reason: str
) -> None:
    manifest = write_bundle() / "bundle.yaml"
    manifest.write_bytes(content)
    with pytest.raises(BundleError, match=f"bundle.yaml: {reason}"):
        read_bundle(manifest.parent)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle\.yaml: cannot be read: No such file"):
        read_bundle(tmp_path)


def test_a_recorded_file_may_not_link_out_of_the_folder(
    write_bundle: WriteBundle, tmp_path: Path
) -> None:
    folder = write_bundle()
    (tmp_path / "secret").write_bytes(b"graph")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match=r"model\.onnx: leads out of the bundle's folder"):
        read_bundle(folder)


def test_a_link_made_after_reading_is_refused_too(
    write_bundle: WriteBundle, tmp_path: Path
) -> None:
    bundle = read_bundle(write_bundle())
    (tmp_path / "secret").write_bytes(b"graph")
    (bundle.path / "model.onnx").unlink()
    (bundle.path / "model.onnx").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="leads out of the bundle's folder"):
        bundle.file("model.onnx")


def test_a_pipe_in_place_of_the_manifest_is_not_waited_for(write_bundle: WriteBundle) -> None:
    folder = write_bundle()
    (folder / "bundle.yaml").unlink()
    os.mkfifo(folder / "bundle.yaml")
    with pytest.raises(BundleError, match=r"bundle\.yaml: is not a file"):
        read_bundle(folder)


def test_a_manifest_may_not_link_out_of_the_folder(
    write_bundle: WriteBundle, tmp_path: Path
) -> None:
    folder = write_bundle()
    (folder / "bundle.yaml").rename(tmp_path / "bundle.yaml")
    (folder / "bundle.yaml").symlink_to(tmp_path / "bundle.yaml")
    with pytest.raises(BundleError, match=r"bundle\.yaml: leads out of the bundle's folder"):
        read_bundle(folder)
