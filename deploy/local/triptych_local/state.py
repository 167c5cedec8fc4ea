"""The state file: what runs where, for tests and tools."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service. `pid` is None while it is down."""

    pid: int | None
    restarts: int
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class State:
    """The supervisor's pid, whether everything has been ready, and the services by name."""

    pid: int
    ready: bool
    services: Mapping[str, ServiceState]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The state in a file. Raises FileNotFoundError where no supervisor keeps it."""
        document = json.loads(path.read_text())
        services = {name: ServiceState(**item) for name, item in document["services"].items()}
        return cls(document["pid"], document["ready"], services)

    def write(self, path: Path) -> None:
        """Replace the file as a whole: a reader finds the old state or the new one."""
        draft = path.with_name(f"{path.name}.{self.pid}")
        draft.write_text(json.dumps(asdict(self), indent=2))
        draft.replace(path)
