"""Settings: frozen groups of fields, read from the environment once.

A service's settings are a frozen dataclass whose fields are groups, themselves frozen dataclasses
of `setting(...)` fields. Field `max_batch_tokens` of group `batching` is read from
`TRIPTYCH_BATCHING_MAX_BATCH_TOKENS`. The environment is read here and nowhere else.
"""

import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

PREFIX = "TRIPTYCH"

S = TypeVar("S")


class SettingsError(ValueError):
    """A setting is wrong; the message names the variable, its value and what is allowed."""


def setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    secret: bool = False,
) -> Any:
    """A field of a group: its default, one sentence for the manual, and its bounds (inclusive).

    A secret is left out of the group's repr, and so of every log.
    """
    metadata = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Documented:
    """One line of the manual: variable, type, default and meaning of a setting."""

    variable: str
    kind: str
    default: str
    description: str


def load(kind: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Settings of a service from `environment`, by default the process's own.

    Raises SettingsError for the first value that does not parse or is out of bounds.
    """
    environment = os.environ if environment is None else environment
    groups = {}
    for group in fields(_dataclass(kind)):
        group_type = typing.get_type_hints(kind)[group.name]
        groups[group.name] = _load_group(group.name, group_type, environment)
    return kind(**groups)


def describe(kind: type[Any]) -> Iterator[Documented]:
    """The manual of a service's settings, in the order of its fields."""
    for group in fields(_dataclass(kind)):
        group_type = typing.get_type_hints(kind)[group.name]
        hints = typing.get_type_hints(group_type)
        for item in fields(group_type):
            name = _variable(group.name, item.name)
            text = str(item.metadata.get("description", ""))
            yield Documented(name, _kind_name(hints[item.name]), _show(item.default), text)


def manual(kind: type[Any]) -> str:
    """The manual as text, for `--help`."""
    lines = ["environment variables:"]
    for entry in describe(kind):
        lines.append(f"  {entry.variable}={entry.default}\n      {entry.description}")
    return "\n".join(lines)


def _dataclass(kind: type[S]) -> Any:
    return kind


def _variable(group: str, name: str) -> str:
    return f"{PREFIX}_{group}_{name}".upper()


def _load_group(group: str, kind: Any, environment: Mapping[str, str]) -> Any:
    values = {}
    hints = typing.get_type_hints(kind)
    for item in fields(kind):
        variable = _variable(group, item.name)
        text = environment.get(variable)
        if text is not None:
            values[item.name] = _check(variable, _parse(variable, text, hints[item.name]), item)
        elif item.default is MISSING:
            raise SettingsError(f"{variable} must be set")
    return kind(**values)


def _parse(variable: str, text: str, kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    if kind is bool:
        return _parse_bool(variable, text)
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(f"{variable}={text!r} is not a valid {kind.__name__}") from None


def _parse_bool(variable: str, text: str) -> bool:
    try:
        return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
    except KeyError:
        raise SettingsError(f"{variable}={text!r} must be true or false") from None


def _check(variable: str, value: Any, item: Any) -> Any:
    rules = item.metadata
    if rules["minimum"] is not None and value < rules["minimum"]:
        raise SettingsError(f"{variable}={value} is below its minimum {rules['minimum']}")
    if rules["maximum"] is not None and value > rules["maximum"]:
        raise SettingsError(f"{variable}={value} is above its maximum {rules['maximum']}")
    if rules["choices"] is not None and value not in rules["choices"]:
        raise SettingsError(f"{variable}={value!r} must be one of {', '.join(rules['choices'])}")
    return value


def _kind_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind)) if not typing.get_args(kind) else str(kind)


def _show(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)
