"""A compose project on a real Docker engine, from outside: through the `docker` command only."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CLONE: Final = Path(__file__).parents[2]
STAGES: Final = ("tokenizer", "encoder", "postprocess")
SERVICES: Final = ("gateway", *STAGES)
LAYERS: Final = ("gpu", "observability")


class EngineError(Exception):
    """A docker command failed; the message is what it said."""


def docker(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Standard output of `docker ARGUMENTS`, run in the clone."""
    outcome = subprocess.run(
        ["docker", *arguments],
        cwd=CLONE,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode:
        raise EngineError(f"docker {' '.join(arguments)}: {outcome.stderr.strip()[-4000:]}")
    return outcome.stdout


@dataclass(frozen=True, slots=True)
class Container:
    """One container as it was when it was listed."""

    id: str
    service: str
    facts: Mapping[str, Any]

    @property
    def address(self) -> str:
        """Its address in the project's network, which a Linux host reaches."""
        networks = self.facts["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    @property
    def limits(self) -> Mapping[str, Any]:
        """What it may do and take."""
        result: Mapping[str, Any] = self.facts["HostConfig"]
        return result

    @property
    def state(self) -> Mapping[str, Any]:
        """Whether and how it runs."""
        result: Mapping[str, Any] = self.facts["State"]
        return result

    def execute(self, *command: str) -> str:
        """Output of a command inside, as the container's own user."""
        return docker("exec", self.id, *command)

    def crash(self) -> None:
        """SIGKILL to everything but the init, as the kernel does where memory is short.

        `docker kill` would not do: the engine starts nothing again that it was asked to kill.
        """
        docker("exec", self.id, "sh", "-c", "kill -KILL -1")

    def logs(self) -> str:
        """What it has written to standard error so far."""
        command = ("docker", "logs", self.id)
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@dataclass(frozen=True, slots=True)
class Project:
    """A compose project of its own, with ports of its own."""

    name: str
    layers: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str) -> str:
        """Output of `docker compose ARGUMENTS` for this project."""
        files = ["compose.yaml", *(f"compose.{layer}.yaml" for layer in self.layers)]
        options = [option for name in files for option in ("-f", name)]
        command = ("compose", "-p", self.name, *options, *arguments)
        return docker(*command, environment=self.environment)

    def config(self) -> dict[str, Any]:
        """What its files and its environment come to."""
        result: dict[str, Any] = json.loads(self.compose("config", "--format", "json"))
        return result

    def up(self, *arguments: str) -> float:
        """Start everything; returns the seconds until all of it was healthy."""
        started = time.monotonic()
        try:
            self.compose("up", "-d", "--wait", *arguments)
        except EngineError as error:
            raise EngineError(f"{error}\n{self.compose('logs', '--tail', '20')}") from None
        return time.monotonic() - started

    def down(self) -> None:
        """Remove all that belongs to the project, volumes too."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def containers(self, *services: str) -> list[Container]:
        """The containers of some services, or of all, in the order of their numbers."""
        names = self.compose("ps", "--all", "--quiet", *services).split()
        found = json.loads(docker("inspect", *names)) if names else []
        return sorted(map(_container, found), key=lambda one: str(one.facts["Name"]))

    def url(self, service: str, port: int) -> str:
        """Where a service's port is published."""
        return f"http://{self.address(service, port)}"

    def address(self, service: str, port: int, index: int = 1) -> str:
        """`host:port` of a replica's port, as a client outside sees it."""
        return self.compose("port", "--index", str(index), service, str(port)).strip()


def _container(facts: Mapping[str, Any]) -> Container:
    service = facts["Config"]["Labels"]["com.docker.compose.service"]
    return Container(facts["Id"], service, facts)


def lasting(project: Project) -> Iterator[Project]:
    """A project to use: cleared of what an aborted run left behind, and removed in the end."""
    project.down()
    try:
        yield project
    finally:
        project.down()
