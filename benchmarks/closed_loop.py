"""The closed loop: wrk, which costs little, so that its share of the cores is small."""

import json
import math
import re
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.texts import Text, requests

SCRIPT: Final = Path(__file__).with_name("load.lua")
TIMEOUT: Final = "60s"
"""Of wrk, for an answer: a peer may need long for what waits before it."""
CONNECTING: Final = 0.3
"""Seconds that connections take to be made, at most; wrk's duration begins before them."""


class LoadError(Exception):
    """A run that does not count: not all answers were 200, or the texts ran out."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go and what counts them in an answer."""

    port: int
    path: str
    model: str
    host: str = "127.0.0.1"
    counter: str = "prompt_tokens"

    def body(self, asked: str | list[str]) -> bytes:
        """The JSON of a request for float vectors."""
        return json.dumps({"model": self.model, "input": asked}).encode()


@dataclass(frozen=True, slots=True)
class Plan:
    """How a system is loaded. Times are in seconds."""

    per_request: int
    at_once: int
    warm_up: float
    """Until answers count: queues are as full as they will be."""
    window: float
    """In which they count."""

    @property
    def duration(self) -> int:
        """Of the whole run. wrk knows whole seconds only: what is left over warms up."""
        return math.ceil(self.warm_up + self.window + CONNECTING)


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk says of a run. Times are in seconds; latencies are those of the whole run."""

    answers: int
    counted: int
    exhausted: bool
    duration: float
    p50: float
    p95: float
    p99: float
    cpu: float


def run(target: Target, texts: Sequence[Text], plan: Plan) -> Load:
    """Keep `at_once` requests under way, over as many connections.

    Raises LoadError where an answer was not 200 or did not count its texts.
    """
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        lines = [target.body(asked) + b"\n" for asked in requests(texts, plan.per_request)]
        file.write(b"".join(lines))
        file.flush()
        warm_up = plan.duration - plan.window - CONNECTING
        command = ["wrk", "-t1", f"-c{plan.at_once}", f"-d{plan.duration}s", "--timeout", TIMEOUT]
        command += ["-s", str(SCRIPT), f"http://{target.host}:{target.port}", "--"]
        command += [file.name, target.path, target.counter, str(warm_up), str(plan.window)]
        return parse(*_output(command))


def _output(command: Sequence[str]) -> tuple[str, float]:
    """What a program printed, and its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def parse(output: str, cpu: float) -> Load:
    """The line that the script writes. Raises LoadError where it is missing or tells a failure."""
    found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    if not found:
        raise LoadError(f"wrk told no result: {output[-500:]}")
    said: dict[str, int] = json.loads(found[1])
    failed = {name: said[name] for name in ("failures", "socket_errors", "timeouts") if said[name]}
    if failed or not (said["answers"] or said["exhausted"]):
        raise LoadError(f"{said['answers']} answers, failed: {failed}")
    p50, p95, p99, duration = (said[name] / 1e6 for name in ("p50", "p95", "p99", "run_us"))
    exhausted = bool(said["exhausted"])
    return Load(said["answers"], said["counted"], exhausted, duration, p50, p95, p99, cpu)
