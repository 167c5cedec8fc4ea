"""Two encoders instead of one, on the same cores: what sharing work between them costs.

Beside a running platform stand a second encoder and a second gateway, which knows both encoders;
through the first gateway one encoder answers, through the second both.
"""

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.bars import REPLICATED
from benchmarks.closed_loop import LoadError, Target
from benchmarks.platform import MODEL, PATH, PATIENT, chosen
from benchmarks.served import Served
from triptych_local.ports import LOOPBACK, choose
from triptych_local.session import INTERVAL, READY_TIMEOUT, STOP_TIMEOUT, Session
from triptych_local.settings import inherited


@contextlib.contextmanager
def doubled(session: Session, repository: Path, served: Served) -> Iterator[Served]:
    """The same platform through a gateway that has two encoders."""
    encoder, encoder_operations, grpc, operations, port = choose(5)
    stages = {name: session.grpc_address(name) for name in ("tokenizer", "encoder", "postprocess")}
    stages["encoder"] += f",{LOOPBACK}:{encoder}"
    addresses = {f"TRIPTYCH_STAGES_{name.upper()}": value for name, value in stages.items()}
    common = {"TRIPTYCH_MODELS_REPOSITORY": str(repository), **PATIENT, **chosen(served.precision)}
    with (
        _service("encoder", encoder, encoder_operations, common) as second,
        _service(
            "gateway", grpc, operations, {**common, **addresses, "TRIPTYCH_HTTP_PORT": str(port)}
        ) as gateway,
    ):
        roots = {**served.roots, "gateway": gateway, "encoder 2": second}
        target = Target(port, PATH, MODEL)
        yield Served(REPLICATED, served.precision, target, roots, served.source, served.rates)


@contextlib.contextmanager
def _service(
    name: str, port: int, operations: int, environment: Mapping[str, str]
) -> Iterator[int]:
    """A service of the platform, ready; its pid."""
    ports = {
        "TRIPTYCH_LISTEN_PORT": str(port),
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": str(operations),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", f"triptych_{name}"],
        env={**inherited(), **environment, **ports},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, operations, name)
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT)


def _wait(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while not _ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LoadError(f"the second {name} did not become ready")
        time.sleep(INTERVAL)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=READY_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
