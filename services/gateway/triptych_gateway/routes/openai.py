"""The /v1 routes: what OpenAI's clients know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triptych_bundles.manifest import Bundle
from triptych_gateway.guard import Guard
from triptych_gateway.routes.answers import VECTOR_FORMATS, Entry, dump, usage_object
from triptych_gateway.routes.bodies import parse
from triptych_gateway.routes.exchange import Answer, Cost, Exchange
from triptych_gateway.routes.inputs import read_texts
from triptych_gateway.routes.openai_schemas import EmbeddingsBody
from triptych_gateway.routes.options import openai_text_options
from triptych_gateway.tasks import Embedded, EmbedOptions
from triptych_servicekit.errors import NotFound


@dataclass(frozen=True, slots=True)
class OpenAIRoutes:
    """Endpoints."""

    guard: Guard

    async def embeddings(self, exchange: Exchange) -> Answer:
        """An embedding for each input. Where one input is wrong the request fails as a whole."""
        body = parse(EmbeddingsBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        inputs, names = read_texts(body.take("input"), "input", self.guard.bounds)
        embedded = await self.guard.embed(
            target,
            inputs,
            names,
            openai_text_options(body),
            EmbedOptions(dimensions=body.dimensions or 0),
            exchange.origin(),
            all_or_none=True,
        )
        return _embeddings(embedded, body.encoding_format)

    async def models(self, exchange: Exchange) -> Answer:  # noqa: ARG002
        """The models that are served."""
        models = self.guard.platform.catalog.models()
        return Answer(dump({"object": "list", "data": [_model(one, models) for one in models]}))

    async def model(self, exchange: Exchange) -> Answer:
        """One of them."""
        catalog = self.guard.platform.catalog
        name = exchange.path_params["model"]
        if not name:
            raise NotFound("There is no such route.")
        return Answer(dump(_model(catalog.resolve(name).model, catalog.models())))


def _embeddings(embedded: Embedded, encoding_format: str | None) -> Answer:
    encode = VECTOR_FORMATS[encoding_format]
    data: list[Entry] = [
        {"object": "embedding", "index": index, "embedding": encode(row)}
        for index, row in enumerate(embedded.embeddings)
    ]
    cost = Cost.of(embedded.usage)
    for index in cost.cut:
        data[index]["truncated"] = True
    answer = {
        "object": "list",
        "data": data,
        "model": embedded.model.name,
        "usage": usage_object(cost),
    }
    return Answer(dump(answer), cost=cost, timing=embedded.timing)


def _model(model: Bundle, models: Sequence[Bundle]) -> dict[str, Any]:
    # The plain name means the newest version; the others are told apart by theirs.
    newest = [one for one in models if one.name == model.name][-1]
    name = model.name if model is newest else f"{model.name}@{model.version}"
    return {"id": name, "object": "model", "created": model.created, "owned_by": "triptych"}
