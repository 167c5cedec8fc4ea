"""Objects against schemas: Kubernetes' own by version, custom resources by their definitions."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

from tests.k8s.cluster import Cluster, Object, name_of

VERSIONS: Final = ("1.33", "1.34", "1.35", "1.36", "1.37")
# Groups of Kubernetes itself have no dot, or one of these endings; `gateway.networking.k8s.io` is
# a definition that is installed.
CUSTOM: Final = ("gateway.networking.k8s.io", "istio.io", "keda.sh", "monitoring.coreos.com")
KEEP_UNKNOWN: Final = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"

Definitions = Mapping[tuple[str, str], Any]


def is_custom(one: Object) -> bool:
    """Whether the kind is one that somebody installs."""
    return str(one["apiVersion"]).partition("/")[0].endswith(CUSTOM)


@functools.cache
def definitions(folder: Path) -> Definitions:
    """Validators by apiVersion and kind, from all CustomResourceDefinitions of a folder."""
    found = {}
    for file in sorted(folder.glob("crds/*.yaml")):
        for one in filter(None, yaml.load_all(file.read_text(), yaml.CSafeLoader)):
            kind, group = one["spec"]["names"]["kind"], one["spec"]["group"]
            for version in one["spec"]["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # what every object has, said or not
                schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                found[f"{group}/{version['name']}", kind] = jsonschema.Draft202012Validator(schema)
    return found


def strict(schema: Any) -> Any:
    """A structural schema as JSON schema, with fields refused that it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get(INT_OR_STRING):
        made.pop("type", None)
        return {"anyOf": [{"type": "integer"}, {"type": "string"}], **made}
    named = isinstance(made.get("properties"), dict) and made.get("type") == "object"
    if named and "additionalProperties" not in made and not made.get(KEEP_UNKNOWN):
        made["additionalProperties"] = False
    return made


def problems(cluster: Cluster, folder: Path, versions: tuple[str, ...]) -> Iterator[str]:
    """What the schemas say against the objects."""
    for one in cluster.objects:
        if is_custom(one):
            yield from _custom(one, definitions(folder))
        else:
            for version in versions:
                yield from _builtin(one, version)


def _custom(one: Object, known: Definitions) -> Iterator[str]:
    validator = known.get((one["apiVersion"], one["kind"]))
    if validator is None:
        yield f"{name_of(one)}: no definition of {one['apiVersion']}"
        return
    for error in validator.iter_errors(one):
        yield f"{name_of(one)}: {error.json_path}: {error.message}"


def _builtin(one: Object, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(map(str, error.absolute_path))
        yield f"{name_of(one)}: {version}: {place}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield f"{name_of(one)}: {version}: {error.message}"
