"""What a set is asked for: one seam, with a task behind it for each kind of answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from triptych_client.evaluation.scores import Scores

PROBE: Final = "probe"
"""The text that a model is asked before all others, to see what it answers with."""

E_contra = TypeVar("E_contra", contravariant=True)
P = TypeVar("P")
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What answers: `name` or `name@version`, an alias or a head; and a head beside it."""

    model: str
    head: str = ""

    def __str__(self) -> str:
        return f"{self.model} with {self.head}" if self.head else self.model


class Task(Protocol[E_contra, P]):
    """One way to ask, to read an answer and to score it."""

    @property
    def path(self) -> str:
        """Of the route."""

    @property
    def unit(self) -> str:
        """What the examples are, in the plural."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of its scores' statistics."""

    def probe(self, target: Target) -> dict[str, Any]:
        """The request for PROBE."""

    def request(self, target: Target, examples: Sequence[E_contra]) -> dict[str, Any]:
        """The request for some examples."""

    def read(self, example: E_contra, entry: Entry) -> P:
        """What an entry of the answer says. Raises KeyError, TypeError or ValueError for others."""

    def expected_labels(self, examples: Sequence[E_contra]) -> Mapping[str, int]:
        """How often the set has each label."""

    def model_labels(self, entry: Entry, card: Entry) -> frozenset[str]:
        """The labels that a model can answer, by its entry for the probe and its card."""

    def score(self, examples: Sequence[E_contra], answers: Sequence[P | None]) -> Scores:
        """Hold answers against what they should be; None is no answer."""
