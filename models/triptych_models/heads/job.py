"""What a head is trained from, and everything that came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych_bundles import Bundle
from triptych_models.heads.examples import Columns, Examples
from triptych_models.heads.selection import Data, Outcome
from triptych_models.heads.splitting import Split


@dataclass(frozen=True, slots=True)
class Terms:
    """What people may want to know of a head and its data, as the card tells it."""

    source: str
    data_licence: str
    licence: str


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a head depends on, beside the trunk."""

    data: Path
    columns: Columns
    names: Mapping[str, str] | None
    """Labels by the data's values, in the order of the classes; None for the values themselves."""
    name: str
    version: str
    seed: int
    terms: Terms
    command: tuple[str, ...]
    """The command that repeats it, without folders of this machine."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a head is written from."""

    job: Job
    trunk: Bundle
    examples: Examples
    data: Data
    parts: Split
    outcome: Outcome
