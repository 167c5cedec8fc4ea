"""Whether a service can be called: `/readyz` of its operations port."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Final

from triptych_local.ports import LOOPBACK
from triptych_local.service import OPERATIONS, Service

INTERVAL: Final = 0.05
# Longer than a start takes: what is still missing then is worth a line.
REPORT_INTERVAL: Final = 10.0
# A service that accepts and does not answer counts as not ready.
PROBE_TIMEOUT: Final = 2.0
LARGEST_ANSWER: Final = 64 * 1024
REQUEST: Final = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class NotReadyError(Exception):
    """Services did not become ready in time; the message says which and why."""


async def wait_ready(
    services: Iterable[Service], timeout: float, tell: Callable[[str], None]
) -> None:
    """Return once every service is ready; every REPORT_INTERVAL `tell` is told what is missing.

    Raises NotReadyError after `timeout` seconds.
    """
    missing = {service.name: "was not asked yet" for service in services}
    telling = asyncio.create_task(_report(missing, tell))
    try:
        async with asyncio.timeout(timeout):
            await asyncio.gather(*(_wait(service, missing) for service in services))
    except TimeoutError:
        raise NotReadyError(f"not ready after {timeout:g} s: {_reasons(missing)}") from None
    finally:
        telling.cancel()


async def _report(missing: dict[str, str], tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(REPORT_INTERVAL)
        tell(f"waiting: {_reasons(missing)}")


def _reasons(missing: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in missing.items())


async def _wait(service: Service, missing: dict[str, str]) -> None:
    port = service.port(OPERATIONS)
    while port is not None and (reason := await _problem(port)):
        missing[service.name] = reason
        await asyncio.sleep(INTERVAL)
    del missing[service.name]


async def _problem(port: int) -> str:
    """Why the service behind an operations port cannot be called; empty when it can."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            answer = await _get(port)
    except (OSError, TimeoutError) as error:
        return str(error) or "no answer"
    head, _, body = answer.partition(b"\r\n\r\n")
    return "" if head.split(b" ", 2)[1:2] == [b"200"] else _explain(body)


async def _get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(REQUEST)
        return await _read_all(reader)
    finally:
        writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """Up to LARGEST_ANSWER bytes: head and body may come in pieces."""
    answer = b""
    while len(answer) < LARGEST_ANSWER and (piece := await reader.read(LARGEST_ANSWER)):
        answer += piece
    return answer


def _explain(body: bytes) -> str:
    try:
        return ", ".join(json.loads(body)["problems"])
    except (ValueError, KeyError, TypeError):
        return "an answer that is not ours"
