"""The command line of a service: read the settings once, build, serve until a signal."""

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
from collections.abc import Callable
from typing import Final, TypeVar

import uvloop

from triptych_servicekit import logs
from triptych_servicekit.application import Application, Settings
from triptych_servicekit.server import Server
from triptych_servicekit.settings import SettingsError, load, manual

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)

# More connections than the hard caps let in at once.
MAX_OPEN_FILES: Final = 65_536


class Dead(Exception):
    """The application has lost what it cannot get back."""


def main(
    settings_type: type[S],
    build: Callable[[S], Application],
    description: str,
) -> int:
    """The command line of a service: read the settings once, build, serve until a signal.

    Returns the process's exit code: 0 after an orderly stop, 1 after a failure, 2 for settings
    that cannot be used, a busy port among them. An application that is dead is stopped: whatever
    keeps the process running starts another.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=manual(settings_type),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    logs.configure("triptych", "INFO", "text")
    _allow_connections()
    try:
        settings = load(settings_type)
        application = build(settings)
        telemetry = settings.telemetry
        logs.configure(application.name, telemetry.log_level, telemetry.log_format)
        # gRPC wakes the loop about ten times a call: a fifth of a stage's CPU, with asyncio's own
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(application, settings))
    except SettingsError as error:
        logger.error("%s", error)
        return 2
    except Dead as error:
        logger.critical("the service cannot go on: %s", error)
        return 1
    except Exception:
        logger.exception("the service failed")
        return 1
    return 0


def _allow_connections() -> None:
    """Raise the soft limit of open files, often 1,024, to the hard one: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(application: Application, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(application, settings)
    starting = asyncio.create_task(server.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await _until(stopping, server)
        else:
            starting.cancel()
    finally:
        stopping.cancel()
        await server.stop()


async def _until(stopping: "asyncio.Task[bool]", server: Server) -> None:
    """Serve until the signal comes. Raises Dead where the application's death comes first."""
    dying = asyncio.create_task(server.died())
    await asyncio.wait({stopping, dying}, return_when=asyncio.FIRST_COMPLETED)
    if dying.done():
        raise Dead(", ".join(dying.result()))
    dying.cancel()
