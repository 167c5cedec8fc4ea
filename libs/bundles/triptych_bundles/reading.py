"""From the bytes of a bundle.yaml to a Bundle, or to an error that says where it is wrong."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

from triptych_bundles.errors import BundleError
from triptych_bundles.fields import Fields
from triptych_bundles.manifest import (
    HIDDEN_OUTPUT,
    MANIFEST_NAME,
    POOLINGS,
    SCHEMA_VERSION,
    BaseModel,
    Bundle,
    FileRecord,
    GoldenRecord,
    pooled_output,
)
from triptych_bundles.paths import NAME_RULE, inside, is_name, is_relative

MAX_MANIFEST_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OUTPUTS = {HIDDEN_OUTPUT, *map(pooled_output, POOLINGS)}


def read_bundle(path: Path) -> Bundle:
    """Read and validate the bundle.yaml of a folder `<name>/<version>`; no other file is read."""
    manifest = path / MANIFEST_NAME
    content = _read_bounded(manifest)
    bundle = _parse(path, content, Fields(manifest, _load_yaml(manifest, content)))
    folder, stated = f"{path.parent.name}/{path.name}", f"{bundle.name}/{bundle.version}"
    if folder != stated:
        raise BundleError(manifest, f"is {stated}, but its folder is {folder}", "name")
    return bundle


def _read_bounded(manifest: Path) -> bytes:
    try:
        with inside(manifest.parent, manifest.name).open("rb") as stream:
            content = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(manifest, f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError(manifest, f"is larger than {MAX_MANIFEST_BYTES} bytes")
    return content


def _load_yaml(manifest: Path, content: bytes) -> object:
    try:
        return yaml.safe_load(content)
    # beside syntax errors: numbers that Python will not parse, and nesting beyond its stack
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(manifest, f"is not valid YAML: {reason}") from error


def _parse(path: Path, content: bytes, fields: Fields) -> Bundle:
    schema = fields.count("schema")
    if schema != SCHEMA_VERSION:
        fields.refuse("schema", f"version {schema} is unknown, this reader knows {SCHEMA_VERSION}")
    files = _files(path, fields.section("files"))
    bundle = Bundle(
        path=path,
        name=fields.text("name", is_name, NAME_RULE),
        version=fields.text("version", is_name, NAME_RULE),
        digest=hashlib.sha256(content).hexdigest(),
        created=fields.count("created", minimum=0),
        task=fields.text("task"),
        architecture=fields.text("architecture"),
        pooling=fields.choice("pooling", POOLINGS),
        normalize=fields.flag("normalize"),
        max_length=fields.count("max_length"),
        hidden_size=fields.count("hidden_size"),
        vocab_size=fields.count("vocab_size"),
        prompts=fields.text_map("prompts"),
        outputs=_outputs(fields),
        graphs=_graphs(fields.section("graphs"), files),
        base=_base(fields.section("base")),
        golden=_golden(fields.section("golden"), files),
        recipe=_sha256(fields, "recipe"),
        files=files,
    )
    fields.end()
    if pooled_output(bundle.pooling) not in bundle.outputs:
        fields.refuse("pooling", f"{bundle.pooling!r} is not among the outputs")
    return bundle


def _outputs(fields: Fields) -> tuple[str, ...]:
    outputs = fields.texts("outputs")
    for unknown in set(outputs) - _OUTPUTS:
        fields.refuse("outputs", f"unknown output {unknown!r}")
    return outputs


def _files(path: Path, fields: Fields) -> Mapping[str, FileRecord]:
    records = {}
    for name in fields:
        if not is_relative(name):
            fields.refuse(name, "is not a plain path below the bundle's folder")
        inside(path, name)
        records[name] = _file_record(fields.section(name))
    return MappingProxyType(records)


def _file_record(fields: Fields) -> FileRecord:
    record = FileRecord(_sha256(fields, "sha256"), fields.count("bytes", minimum=0))
    fields.end()
    return record


def _sha256(fields: Fields, name: str) -> str:
    return fields.text(name, lambda text: _SHA256.fullmatch(text) is not None, "is not a sha256")


def _graphs(fields: Fields, files: Mapping[str, FileRecord]) -> Mapping[str, str]:
    graphs = {variant: _recorded(fields, variant, files) for variant in fields}
    return MappingProxyType(graphs)


def _recorded(fields: Fields, name: str, files: Mapping[str, FileRecord]) -> str:
    return fields.text(name, files.__contains__, "is not recorded under files")


def _base(fields: Fields) -> BaseModel:
    origin, licence = fields.text("origin"), fields.text("licence")
    base = BaseModel(origin, licence, _sha256(fields, "weights_sha256"))
    fields.end()
    return base


def _golden(fields: Fields, files: Mapping[str, FileRecord]) -> GoldenRecord:
    golden = GoldenRecord(
        vectors=_recorded(fields, "vectors", files),
        texts=_recorded(fields, "texts", files),
        source=fields.text("source"),
        min_cosine=fields.fraction("min_cosine"),
    )
    fields.end()
    return golden
