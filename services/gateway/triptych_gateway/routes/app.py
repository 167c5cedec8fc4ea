"""The table of REST routes."""

from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from triptych_gateway.bounds import Bounds
from triptych_gateway.guard import Guard
from triptych_gateway.models.router import Router
from triptych_gateway.platform import Platform
from triptych_gateway.routes import native_schemas as native
from triptych_gateway.routes import openai_schemas as openai
from triptych_gateway.routes import task_schemas as task
from triptych_gateway.routes.description import (
    SUMMARY,
    TITLE,
    described,
    described_task,
    path_parameter,
)
from triptych_gateway.routes.edge import Edge, EdgeRoute, TaskRoute
from triptych_gateway.routes.failures import failure
from triptych_gateway.routes.model_schemas import ModelCards
from triptych_gateway.routes.native import NativeRoutes
from triptych_gateway.routes.openai import OpenAIRoutes
from triptych_gateway.routes.pages import ASSETS, ASSETS_PACKAGE, Pages
from triptych_gateway.routes.reading import BodyReader
from triptych_gateway.routes.tasks import TaskRoutes
from triptych_gateway.settings import GatewaySettings
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.http import Message, Receive, Send
from triptych_servicekit.metrics import Metrics

OPENAI: Final = "OpenAI"
NATIVE: Final = "Native"
STATE: Final = "State"


class RestApplication(FastAPI):
    """FastAPI with Edge in front of it."""

    def __init__(self, routes: Sequence[EdgeRoute], settings: GatewaySettings, metrics: Metrics):
        super().__init__(
            title=TITLE,
            version=metadata.version("triptych-gateway"),
            description=SUMMARY,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            exception_handlers=dict.fromkeys((TriptychError, HTTPException, Exception), _tell),
            # Requests are measured and traced by Edge.
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        self.router.routes.extend(routes)
        self._edge = Edge(super().__call__, routes, settings, metrics)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._edge(scope, receive, send)


def build_app(
    platform: Platform, settings: GatewaySettings, metrics: Metrics, router: Router | None = None
) -> FastAPI:
    """The REST application over a platform."""
    guard = Guard(platform, Bounds.of(settings.requests), router or Router())
    reader, pages = BodyReader(settings.http), Pages(platform)
    routes = [
        *_openai_routes(OpenAIRoutes(guard), reader),
        *_native_routes(NativeRoutes(guard), TaskRoutes(guard), reader),
        *_page_routes(pages),
    ]
    app = RestApplication(routes, settings, metrics)
    app.mount(ASSETS, StaticFiles(packages=[ASSETS_PACKAGE]))
    return app


def _openai_routes(routes: OpenAIRoutes, reader: BodyReader) -> Iterator[EdgeRoute]:
    yield TaskRoute(
        "/v1/embeddings",
        routes.embeddings,
        reader,
        **described_task("Embed texts", OPENAI, openai.EmbeddingsBody, openai.EmbeddingsAnswer),
    )
    yield EdgeRoute(
        "/v1/models", routes.models, **described("List models", OPENAI, openai.ModelObjects)
    )
    yield EdgeRoute(
        "/v1/models/{model:path}",
        routes.model,
        **described("Describe a model", OPENAI, openai.ModelObject, 404),
        **path_parameter("model", "Id of the model."),
    )


def _native_routes(
    routes: NativeRoutes, tasks: TaskRoutes, reader: BodyReader
) -> Iterator[EdgeRoute]:
    described_tasks = (
        (routes.embed, "Embed inputs", native.EmbedBody, native.EmbedAnswer),
        (tasks.classify, "Classify inputs", task.ClassifyBody, task.ClassifyAnswer),
        (tasks.tag, "Find entities", task.TagBody, task.TagAnswer),
        (tasks.rank, "Rank documents", task.RankBody, task.RankAnswer),
        (routes.similarity, "Compare texts", native.SimilarityBody, native.SimilarityAnswer),
        (tasks.analyze, "Do several tasks at once", task.AnalyzeBody, task.AnalyzeAnswer),
        (routes.tokenize, "Tokenize", native.TokenizeBody, native.TokenizeAnswer),
        (
            routes.detokenize,
            "Turn token ids into text",
            native.DetokenizeBody,
            native.DetokenizeAnswer,
        ),
    )
    for endpoint, summary, body, answer in described_tasks:
        description = described_task(summary, NATIVE, body, answer)
        yield TaskRoute(f"/api/v1/{endpoint.__name__}", endpoint, reader, **description)
    yield EdgeRoute("/api/v1/models", routes.models, **described("List models", NATIVE, ModelCards))


def _page_routes(pages: Pages) -> Iterator[EdgeRoute]:
    yield EdgeRoute("/", pages.index, include_in_schema=False, response_model=None)
    yield EdgeRoute("/docs", pages.docs, include_in_schema=False, response_model=None)
    yield EdgeRoute("/health", pages.health, **described("Whether it can serve", STATE, None, 503))


async def _tell(_: Request, error: Exception) -> Response:
    answer = failure(error)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type.decode())
