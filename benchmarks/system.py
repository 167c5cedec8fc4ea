"""What is measured, whatever it is."""

from collections.abc import Sequence
from typing import Final, Protocol

from benchmarks.cell import Cell
from benchmarks.rows import Row
from benchmarks.runtimes import Vectors
from benchmarks.texts import Text

PLATFORM: Final = "platform"
BARE: Final = "bare"
OWN: Final = (PLATFORM, BARE)


class System(Protocol):
    """Gives vectors, and is timed at it."""

    @property
    def name(self) -> str:
        """For the report."""

    @property
    def precision(self) -> str:
        """fp32, bf16 or int8."""

    @property
    def kinds(self) -> Sequence[str]:
        """Of texts that it is measured with."""

    def embed(self, texts: Sequence[Text]) -> Vectors:
        """float32[texts, hidden], normalised or not."""

    def measure(self, row: Row, number: int, seconds: float) -> Cell:
        """One round of a row, in about so many seconds."""
