"""Typed access to a parsed mapping; every refusal names the file and the dotted field."""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn, TypeVar

from triptych_bundles.errors import BundleError

T = TypeVar("T")
C = TypeVar("C", bound=str)

_SHA256 = re.compile(r"[0-9a-f]{64}")
# What counts travel as in the contract.
MAX_COUNT: Final = 2**31 - 1


class Fields:
    """A mapping of which every field is taken once; what is left at the end is unknown."""

    def __init__(self, path: Path, values: object, prefix: str = "") -> None:
        self._path = path
        self._prefix = prefix
        if not isinstance(values, dict):
            self.refuse("", "must be a mapping")
        self._left: dict[object, object] = dict(values)

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raise the BundleError for a field."""
        raise BundleError(self._path, reason, f"{self._prefix}{name}".rstrip("."))

    def text(self, name: str, rule: Callable[[str], bool] = bool, reason: str = "is empty") -> str:
        """A string that satisfies `rule`."""
        value = self._take(name, str, "a string")
        return value if rule(value) else self.refuse(name, f"{value[:80]!r} {reason}")

    def choice(self, name: str, allowed: tuple[C, ...]) -> C:
        """One of the allowed strings."""
        rule = f"is not one of {', '.join(allowed)}"
        value = self.text(name, set(allowed).__contains__, rule)
        return next(known for known in allowed if known == value)

    def count(self, name: str, minimum: int = 1, maximum: int = MAX_COUNT) -> int:
        """A whole number from `minimum` to `maximum`."""
        value = self._take(name, int, "a whole number")
        if value < minimum:
            self.refuse(name, f"must be at least {minimum}")
        return value if value <= maximum else self.refuse(name, f"must be at most {maximum}")

    def flag(self, name: str) -> bool:
        """True or false, not a number."""
        return self._take(name, bool, "true or false")

    def fraction(self, name: str) -> float:
        """A number between 0 and 1."""
        value = self._take(name, float, "a number with a decimal point")
        return value if 0 <= value <= 1 else self.refuse(name, "must be between 0 and 1")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of distinct strings, at least one."""
        values = self._take(name, list, "a list")
        strings = tuple(value for value in values if isinstance(value, str))
        if not values or len(set(strings)) != len(values):
            self.refuse(name, "must hold at least one string, each once")
        return strings

    def text_map(self, name: str) -> Mapping[str, str]:
        """A mapping of strings to strings, which may be empty."""
        fields = self.section(name)
        return MappingProxyType({key: fields.text(key, lambda _: True) for key in fields})

    def section(self, name: str) -> "Fields":
        """A nested mapping."""
        return Fields(self._path, self._take(name, dict, "a mapping"), f"{self._prefix}{name}.")

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def sections(self, name: str) -> tuple["Fields", ...]:
        """A list of mappings, which may be empty."""
        values = self._take(name, list, "a list")
        prefix = f"{self._prefix}{name}"
        return tuple(
            Fields(self._path, value, f"{prefix}[{index}].") for index, value in enumerate(values)
        )

    def end(self) -> None:
        """Refuse fields that nobody took: a typing error, or a schema newer than this reader."""
        for name in self._left:
            self.refuse(str(name), "unknown field")

    def __iter__(self) -> Iterator[str]:
        """The names not yet taken; they may be taken meanwhile."""
        for name in tuple(self._left):
            yield name if isinstance(name, str) else self.refuse(str(name), "must be a string")

    def _take(self, name: str, kind: type[T], description: str) -> T:
        if name not in self._left:
            self.refuse(name, "is missing")
        value = self._left.pop(name)
        # bool is an int in Python, but `max_length: true` is a mistake
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(name, f"must be {description}")
        return value


def sha256(fields: Fields, name: str) -> str:
    """A hash in hexadecimal."""
    return fields.text(name, lambda text: _SHA256.fullmatch(text) is not None, "is not a sha256")


def recorded(fields: Fields, name: str, files: Container[str]) -> str:
    """The name of a file that the bundle records."""
    return fields.text(name, files.__contains__, "is not recorded under files")
