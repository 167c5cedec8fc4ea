"""A peer behind HTTP as a system."""

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.closed_loop import LoadError, Target
from benchmarks.peers.known import SERVED_NAME
from benchmarks.peers.peer import ENVIRONMENTS, Peer, started
from benchmarks.peers.tuning import Best
from benchmarks.served import Served
from benchmarks.texts import Source
from triptych_local.ports import choose

READY_TIMEOUT: Final = 120.0
INTERVAL: Final = 0.2
PATH: Final = "/v1/embeddings"


@contextmanager
def serving(
    peer: Peer, best: Best, precision: str, model: Path, source: Source
) -> Iterator[Served]:
    """A peer that answers. Raises LoadError where it does not come to that."""
    target = Target(choose(1)[0], PATH, SERVED_NAME)
    launch = peer.launch(best.setting, precision, target.port, model)
    log = ENVIRONMENTS / f"{peer.name}.log"
    with started(launch, log) as process:
        _wait(process, target, peer.name)
        yield Served(
            *(peer.name, precision, target, {peer.name: process.pid}, source, best.rates),
            counts="characters",
            rests=True,
            kinds=best.kinds,
        )


def _wait(process: subprocess.Popen[str], target: Target, name: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while not _answers(target):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LoadError(f"it did not start: see {name}.log among the environments")
        time.sleep(INTERVAL)


def _answers(target: Target) -> bool:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=READY_TIMEOUT)
    body = json.dumps({"model": target.model, "input": "hello"})
    try:
        connection.request("POST", target.path, body, {"content-type": "application/json"})
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
