"""aliases.yaml at a repository's root: names that stand for its bundles.

schema: 1
aliases:
  support:
    targets:
      - {model: "all-minilm-l6-v2@1", weight: 90}
      - {model: "all-minilm-l6-v2@2", weight: 10}
    shadow: {model: "all-minilm-l6-v2@3", share: 0.1}
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from triptych_bundles.documents import parse_document, read_document
from triptych_bundles.errors import BundleError
from triptych_bundles.fields import Fields
from triptych_bundles.paths import NAME_RULE, is_name

ALIASES_NAME: Final = "aliases.yaml"
ALIASES_SCHEMA: Final = 1
MAX_TARGETS: Final = 16
MAX_WEIGHT: Final = 1_000_000

_REFERENCE_RULE: Final = "must be a bundle's name, or <name>@<version>"


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """A bundle, as `name` or `name@version`, and its part of the requests, relative to others'."""

    model: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class AliasShadow:
    """A bundle that is asked as well, for this `share` of the requests, and never heard."""

    model: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Alias:
    """What a name stands for: one of `targets`, of which there is at least one."""

    name: str
    targets: tuple[AliasTarget, ...]
    shadow: AliasShadow | None = None


Aliases = Mapping[str, Alias]
NO_ALIASES: Final[Aliases] = MappingProxyType({})


def read_aliases(root: Path) -> Aliases:
    """The aliases of a repository by name; none where it has no such file.

    Raises BundleError, naming file and field, for a file that cannot be read or says what it may
    not. Whether the bundles are there is not looked at.
    """
    path = root / ALIASES_NAME
    content = _read(path)
    if content is None:
        return NO_ALIASES
    fields = Fields(path, parse_document(path, content))
    schema = fields.count("schema")
    if schema != ALIASES_SCHEMA:
        fields.refuse("schema", f"version {schema} is unknown, this reader knows {ALIASES_SCHEMA}")
    section = fields.section("aliases")
    fields.end()
    names = frozenset(section)
    return MappingProxyType({name: _alias(section, name, names) for name in section})


def check_alias_names(aliases: Aliases, bundles: Collection[str], root: Path) -> None:
    """Raises BundleError for an alias that has the name of a bundle."""
    for name in aliases:
        if name in bundles:
            path = root / ALIASES_NAME
            raise BundleError(path, "is the name of a bundle, an alias needs another", _of(name))


def _of(name: str) -> str:
    return f"aliases.{name}"


def _alias(section: Fields, name: str, names: Collection[str]) -> Alias:
    if not is_name(name):
        section.refuse(name[:80], NAME_RULE)
    fields = section.section(name)
    targets = tuple(_target(entry, names) for entry in fields.sections("targets"))
    if not 1 <= len(targets) <= MAX_TARGETS:
        fields.refuse("targets", f"has {len(targets)} entries, must have 1 to {MAX_TARGETS}")
    if len({target.model for target in targets}) < len(targets):
        fields.refuse("targets", "names a bundle twice")
    shadow = _shadow(fields.section("shadow"), names) if "shadow" in fields else None
    fields.end()
    return Alias(name, targets, shadow)


def _target(fields: Fields, names: Collection[str]) -> AliasTarget:
    model = _model(fields, names)
    weight = fields.count("weight", maximum=MAX_WEIGHT) if "weight" in fields else 1
    fields.end()
    return AliasTarget(model, weight)


def _shadow(fields: Fields, names: Collection[str]) -> AliasShadow:
    model = _model(fields, names)
    share = fields.fraction("share") if "share" in fields else 1.0
    fields.end()
    return AliasShadow(model, share)


def _model(fields: Fields, names: Collection[str]) -> str:
    model = fields.text("model", _is_reference, _REFERENCE_RULE)
    if model.partition("@")[0] in names:
        fields.refuse("model", f"{model!r} is an alias, and aliases name bundles only")
    return model


def _is_reference(text: str) -> bool:
    name, at, version = text.partition("@")
    return is_name(name) and (is_name(version) if at else True)


def _read(path: Path) -> bytes | None:
    try:
        return read_document(path.parent, path.name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(path, f"cannot be read: {error.strerror}") from error
