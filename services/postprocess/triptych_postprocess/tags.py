"""What the labels of tokens mean: B- begins an entity, I- goes on with one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TagScheme:
    """L labels of tokens, and the G labels of the entities that they form.

    As transformers 4.57 and 5 read them in TokenClassificationPipeline: `get_tag` says which tokens
    belong together, `group_sub_entities` what the entity is called.
    """

    labels: tuple[str, ...]
    """[L]: as the model was trained with them, e.g. `B-PER`."""
    groups: tuple[str, ...]
    """[G]: without what stands before the first hyphen, e.g. `PER`; each once."""
    tag: NDArray[np.int32]
    """[L]: which labels are of one tag, `B-PER` and `I-PER`."""
    begins: NDArray[np.bool_]
    """[L]: which never go on with the entity before."""
    group: NDArray[np.int32]
    """[L]: index into `groups`."""


def read_scheme(labels: Sequence[str]) -> TagScheme | None:
    """The scheme of a model's labels; None where it has none."""
    if not labels:
        return None
    groups = [label.split("-", 1)[-1] for label in labels]
    return TagScheme(
        tuple(labels),
        tuple(dict.fromkeys(groups)),
        _numbered([_tag(label) for label in labels]),
        np.array([label.startswith("B-") for label in labels]),
        _numbered(groups),
    )


def ignored(labels: Sequence[str], names: Collection[str]) -> NDArray[np.bool_]:
    """bool, one a label: whether it is among the names."""
    return np.array([label in names for label in labels])


def _tag(label: str) -> str:
    # a label without B- or I- is its own tag, and goes on
    return label[2:] if label.startswith(("B-", "I-")) else label


def _numbered(names: Sequence[str]) -> NDArray[np.int32]:
    """Each name's number among the distinct ones, in the order of their first occurrence."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int32)
