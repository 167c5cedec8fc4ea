"""The REST edge: OpenAI's routes under /v1, our own under /api/v1."""

from triptych_gateway.routes.app import build_app

__all__ = ["build_app"]
