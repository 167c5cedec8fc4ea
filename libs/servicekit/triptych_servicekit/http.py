"""HTTP listeners on uvicorn: bound before anything is loaded, stopped by whoever started them."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from triptych_servicekit.groups import Tls
from triptych_servicekit.settings import SettingsError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

# As many connections as a burst of a few thousand clients opens at once.
BACKLOG = 4096
# Longer than common proxies keep idle connections (60 s), so that they close first.
KEEP_ALIVE = 75


class HttpListener:
    """One ASGI application on one port.

    `protocol` is uvicorn's class for connections; h11's bounds a request's head to 64 KiB.
    """

    def __init__(
        self,
        app: AsgiApp,
        host: str,
        port: int,
        tls: Tls,
        grace: float,
        protocol: type[asyncio.Protocol] = H11Protocol,
    ) -> None:
        self._socket = bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(grace)),
            ssl_certfile=tls.cert_file or None,
            ssl_keyfile=tls.key_file or None,
            ssl_ca_certs=tls.client_ca_file or None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls.client_ca_file else ssl.CERT_NONE,
        )
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections from now on."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 (uvicorn sets a flag)
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Close the port, finish what was read within grace, then cancel."""
        self._server.should_exit = True
        if self._task is None:
            self._socket.close()
        else:
            await self._task


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process that hosts it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket. Raises SettingsError where the port is taken or not ours to take."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
    except OSError as error:
        server.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return server
