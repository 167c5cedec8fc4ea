"""What the supervisor knows of a service: data, so that any program can be one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

GRPC = "grpc"
HTTP = "http"
OPERATIONS = "operations"


@dataclass(frozen=True, slots=True)
class Port:
    """A port a service listens on, and the variable that moves it."""

    kind: str
    number: int
    variable: str


@dataclass(frozen=True, slots=True)
class Service:
    """A program to keep running.

    It is ready when `/readyz` on its operations port says so, or at once if it has no such port.
    `environment` is the whole of what the program sees.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()

    def port(self, kind: str) -> int | None:
        """Number of its port of that kind."""
        return next((port.number for port in self.ports if port.kind == kind), None)
