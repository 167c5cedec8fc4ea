"""Free ports: checked before anything starts, or chosen."""

import random
import socket
from collections.abc import Iterable
from typing import Final

from triptych_local.service import Service
from triptych_servicekit.settings import SettingsError

LOOPBACK: Final = "127.0.0.1"
# Below the ranges from which systems take ports for outgoing connections, so that a service that
# is restarted finds its port as it left it.
CHOICE: Final = range(20_000, 32_000)


def check(services: Iterable[Service]) -> None:
    """Raises SettingsError for the first port that is in use or is given to two services."""
    owners: dict[int, str] = {}
    for service in services:
        for port in service.ports:
            advice = f"set {port.variable} to another, or use --ports auto"
            if port.number in owners:
                raise SettingsError(
                    f"port {port.number} is given to {owners[port.number]} and {service.name}:"
                    f" {advice}"
                )
            if not is_free(port.number):
                raise SettingsError(
                    f"port {port.number} ({service.name}, {port.kind}) is in use: {advice}"
                )
            owners[port.number] = service.name


def is_free(number: int) -> bool:
    """Whether a service could listen on the port now."""
    with socket.socket() as probe:
        # Connections of an earlier run that linger in TIME_WAIT do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, number))
        except OSError:
            return False
    return True


def choose(count: int) -> list[int]:
    """As many different free ports. Raises SettingsError where there are not enough."""
    chosen: list[int] = []
    for number in random.sample(CHOICE, len(CHOICE)):
        if len(chosen) == count:
            return chosen
        if is_free(number):
            chosen.append(number)
    raise SettingsError(f"no {count} free ports from {CHOICE.start} to {CHOICE.stop - 1}")
