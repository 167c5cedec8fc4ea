"""Whether a set and a model speak of the same labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from triptych_client.errors import MismatchedLabels

MAX_NAMED: Final = 8
"""Labels that a message names."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Labels that only one side has."""

    unknown: Mapping[str, int]
    """Of the set but not of the model, and how often: their examples cannot be answered right."""
    unused: tuple[str, ...]
    """Of the model but not of the set: to answer one is always wrong."""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"unknown_to_model": dict(self.unknown), "not_in_set": list(self.unused)}

    def warnings(self, model: str) -> list[str]:
        """For a person; none where all is known."""
        lines = []
        if self.unknown:
            count = sum(self.unknown.values())
            labels = named(list(self.unknown))
            lines.append(f"{model} does not know {labels} of the set: {count:,} cannot be right")
        if self.unused:
            lines.append(f"the set has no {named(self.unused)}, which {model} may answer")
        return lines


def cover(expected: Mapping[str, int], known: frozenset[str], model: str) -> Coverage:
    """Hold the set's labels against the model's. Raises MismatchedLabels where none is shared."""
    unknown = {label: count for label, count in sorted(expected.items()) if label not in known}
    if expected and len(unknown) == len(expected):
        reason = f"the set has {named(list(unknown))}, the model {named(sorted(known))}"
        raise MismatchedLabels(f"{model} knows no label of the set: {reason}")
    return Coverage(unknown, tuple(sorted(known - expected.keys())))


def named(labels: list[str] | tuple[str, ...]) -> str:
    """The first few labels."""
    if not labels:
        return "none"
    more = f" and {len(labels) - MAX_NAMED:,} more" if len(labels) > MAX_NAMED else ""
    return ", ".join(map(repr, labels[:MAX_NAMED])) + more
