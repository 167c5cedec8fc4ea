"""From the bytes of a bundle.yaml to a Bundle, or to an error that says where it is wrong."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from triptych_bundles.documents import parse_document, read_document
from triptych_bundles.errors import BundleError
from triptych_bundles.fields import Fields, recorded, sha256
from triptych_bundles.heads import read_head, read_head_bundle, shared
from triptych_bundles.manifest import (
    HIDDEN_OUTPUT,
    KINDS,
    LOGITS_OUTPUT,
    MANIFEST_NAME,
    POOLINGS,
    PRECISIONS_SCHEMA_VERSION,
    SCHEMA_VERSIONS,
    TASKS,
    TOKEN_LOGITS_OUTPUT,
    BaseModel,
    Bundle,
    FileRecord,
    Folder,
    GoldenRecord,
    HeadBundle,
    pooled_output,
)
from triptych_bundles.paths import NAME_RULE, inside, is_name, is_relative
from triptych_bundles.precisions import PrecisionRecord, read_precisions

# Queues have a place for every length up to it.
MAX_LENGTH = 1 << 20
# The end of the year 9999, the last second that a Timestamp can be.
MAX_CREATED = 253_402_300_799
# As many files as a manifest has room for add up to what 64 bits hold.
MAX_FILE_BYTES = 1 << 48
_OUTPUTS = {HIDDEN_OUTPUT, LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT, *map(pooled_output, POOLINGS)}


def read_bundle(path: Path) -> Bundle | HeadBundle:
    """Read and validate the bundle.yaml of a folder `<name>/<version>`; no other file is read."""
    manifest = path / MANIFEST_NAME
    content = _read(manifest)
    bundle = _parse(path, content, Fields(manifest, parse_document(manifest, content)))
    folder = f"{path.parent.name}/{path.name}"
    if folder != f"{bundle.name}/{bundle.version}":
        reason = f"is {bundle.name}/{bundle.version}, but its folder is {folder}"
        raise BundleError(manifest, reason, "name")
    return bundle


def read_model(path: Path) -> Bundle:
    """As `read_bundle`, where only a model will do."""
    bundle = read_bundle(path)
    if isinstance(bundle, HeadBundle):
        raise BundleError(path / MANIFEST_NAME, "is a head, not a model", "kind")
    return bundle


def _read(manifest: Path) -> bytes:
    try:
        return read_document(manifest.parent, manifest.name)
    except OSError as error:
        raise BundleError(manifest, f"cannot be read: {error.strerror}") from error


def _parse(path: Path, content: bytes, fields: Fields) -> Bundle | HeadBundle:
    schema = fields.count("schema")
    if schema not in SCHEMA_VERSIONS:
        known = " and ".join(map(str, SCHEMA_VERSIONS))
        fields.refuse("schema", f"version {schema} is unknown, this reader knows {known}")
    if "precisions" in fields and schema < PRECISIONS_SCHEMA_VERSION:
        fields.refuse("precisions", f"needs schema {PRECISIONS_SCHEMA_VERSION}")
    # a bundle that says nothing is a model
    kind = fields.choice("kind", KINDS) if "kind" in fields else "model"
    folder = Folder(
        path=path,
        name=fields.text("name", is_name, NAME_RULE),
        version=fields.text("version", is_name, NAME_RULE),
        digest=hashlib.sha256(content).hexdigest(),
        created=fields.count("created", minimum=0, maximum=MAX_CREATED),
        task=fields.choice("task", TASKS),
        files=_files(path, fields.section("files")),
    )
    bundle = (_model if kind == "model" else read_head_bundle)(folder, fields)
    fields.end()
    return bundle


def _model(folder: Folder, fields: Fields) -> Bundle:
    files, graphs = folder.files, _graphs(fields.section("graphs"), folder.files)
    bundle = Bundle(
        **shared(folder),
        architecture=fields.text("architecture"),
        pooling=fields.choice("pooling", POOLINGS),
        normalize=fields.flag("normalize"),
        max_length=fields.count("max_length", maximum=MAX_LENGTH),
        hidden_size=fields.count("hidden_size"),
        vocab_size=fields.count("vocab_size"),
        prompts=fields.text_map("prompts"),
        outputs=_outputs(fields),
        graphs=graphs,
        base=_base(fields.section("base")),
        golden=_golden(fields.section("golden"), files),
        recipe=sha256(fields, "recipe"),
        head=read_head(fields.section("head"), files) if "head" in fields else None,
        token_labels=fields.texts("token_labels") if "token_labels" in fields else (),
        precisions=_precisions(fields, graphs),
    )
    _check_outputs(bundle, fields)
    return bundle


def _check_outputs(bundle: Bundle, fields: Fields) -> None:
    """Refuse a model that names an output which its graph does not have."""
    pools = any(output in bundle.outputs for output in map(pooled_output, POOLINGS))
    if pools and pooled_output(bundle.pooling) not in bundle.outputs:
        fields.refuse("pooling", f"{bundle.pooling!r} is not among the outputs")
    if bundle.head and bundle.head.input not in bundle.outputs:
        fields.refuse("head.input", f"{bundle.head.input!r} is not among the outputs")
    if LOGITS_OUTPUT in bundle.outputs and not bundle.head:
        fields.refuse("head", f"must say what the output {LOGITS_OUTPUT} means")
    if bool(bundle.token_labels) != (TOKEN_LOGITS_OUTPUT in bundle.outputs):
        reason = f"go with the output {TOKEN_LOGITS_OUTPUT}, and the one is there without the other"
        fields.refuse("token_labels", reason)


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
    size = fields.count("bytes", minimum=0, maximum=MAX_FILE_BYTES)
    record = FileRecord(sha256(fields, "sha256"), size)
    fields.end()
    return record


def _graphs(fields: Fields, files: Mapping[str, FileRecord]) -> Mapping[str, str]:
    graphs = {variant: recorded(fields, variant, files) for variant in fields}
    return MappingProxyType(graphs)


def _precisions(fields: Fields, graphs: Mapping[str, str]) -> Mapping[str, PrecisionRecord]:
    return read_precisions(fields.section("precisions"), graphs) if "precisions" in fields else {}


def _base(fields: Fields) -> BaseModel:
    origin, licence = fields.text("origin"), fields.text("licence")
    base = BaseModel(origin, licence, sha256(fields, "weights_sha256"))
    fields.end()
    return base


def _golden(fields: Fields, files: Mapping[str, FileRecord]) -> GoldenRecord:
    golden = GoldenRecord(
        vectors=recorded(fields, "vectors", files),
        texts=recorded(fields, "texts", files),
        source=fields.text("source"),
        min_cosine=fields.fraction("min_cosine"),
        **_optional_error(fields),
    )
    fields.end()
    return golden


def _optional_error(fields: Fields) -> dict[str, float]:
    name = "max_logit_error"
    return {name: fields.fraction(name)} if name in fields else {}
