"""The operations listener: /livez, /readyz and /metrics. It reads only."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from triptych_servicekit.http import AsgiApp, Message, Receive, Send
from triptych_servicekit.metrics import CONTENT_TYPE, Metrics

Problems = Callable[[], Sequence[str]]
Answer = tuple[int, str, bytes]

JSON: Final = "application/json"


def operations_app(metrics: Metrics, dead: Problems, unready: Problems) -> AsgiApp:
    """ASGI application. `dead` and `unready` give the reasons not to live, not to be called."""
    routes: dict[str, Callable[[], Answer]] = {
        "/livez": lambda: _state(dead()),
        "/readyz": lambda: _state([*dead(), *unready()]),
        "/metrics": lambda: (200, CONTENT_TYPE, metrics.expose()),
    }

    async def app(scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG001
        if scope["type"] != "http":
            return
        await _send(send, scope["method"], *_answer(routes, scope))

    return app


def _answer(routes: dict[str, Callable[[], Answer]], scope: Message) -> Answer:
    route = routes.get(scope["path"])
    if route is None:
        return 404, JSON, b'{"error":"not found"}'
    if scope["method"] not in ("GET", "HEAD"):
        return 405, JSON, b'{"error":"method not allowed"}'
    return route()


def _state(problems: Sequence[str]) -> Answer:
    state = {"status": "unavailable" if problems else "ok", "problems": list(problems)}
    return (503 if problems else 200), JSON, json.dumps(state).encode()


async def _send(send: Send, method: str, status: int, content_type: str, body: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
