"""The /api/v1 routes: everything the platform does with texts."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from triptych_bundles.manifest import Bundle, Folder, pooled_output
from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.guard import Guard
from triptych_gateway.models.target import Target
from triptych_gateway.pairs import distinct_texts
from triptych_gateway.routes.answers import (
    VECTOR_FORMATS,
    Entry,
    dump,
    entries,
    native,
)
from triptych_gateway.routes.bodies import parse
from triptych_gateway.routes.exchange import Answer, Cost, Exchange
from triptych_gateway.routes.inputs import (
    read_inputs,
    read_pairs,
    read_plain_texts,
    read_sequences,
)
from triptych_gateway.routes.native_schemas import (
    DetokenizeBody,
    EmbedBody,
    SimilarityBody,
    TokenizeBody,
)
from triptych_gateway.routes.options import embed_options, text_options
from triptych_gateway.routes.task_entries import embedding_entries, piece_entries
from triptych_gateway.routes.token_entries import token_entries
from triptych_gateway.spreading import raise_first
from triptych_gateway.tasks import Pair, Similarities
from triptych_servicekit.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class NativeRoutes:
    """Endpoints."""

    guard: Guard

    async def embed(self, exchange: Exchange) -> Answer:
        """An embedding for each input."""
        body = parse(EmbedBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        if body.chunks:
            return await self._pieces(exchange, body, target, late=body.chunks == "late")
        inputs, names = read_inputs(body.take("inputs"), "inputs", self.guard.bounds)
        embedded = await self.guard.embed(
            target, inputs, names, text_options(body), embed_options(body), exchange.origin()
        )
        if len(embedded.errors) == len(inputs):
            raise_first(embedded.errors)
        rows = embedding_entries(embedded.embeddings, VECTOR_FORMATS[body.encoding_format])
        cost = Cost.of(embedded.usage, embedded.errors)
        data = entries(len(inputs), embedded.errors, rows)
        for index in cost.cut:
            data[index]["truncated"] = True
        return native(embedded.model, data, cost, embedded.timing)

    async def _pieces(
        self, exchange: Exchange, body: EmbedBody, target: Target, *, late: bool
    ) -> Answer:
        """An embedding for each piece of each text."""
        texts, names = read_plain_texts(body.take("inputs"), "inputs", self.guard.bounds)
        found = await self.guard.pieces(
            target, texts, names, text_options(body), embed_options(body), late, exchange.origin()
        )
        if len(found.errors) == len(texts):
            raise_first(found.errors)
        good = [index for index in range(len(texts)) if index not in found.errors]
        rows = piece_entries(found, good, VECTOR_FORMATS[body.encoding_format])
        data, cost = entries(len(texts), found.errors, rows), Cost.of(found.usage, found.errors)
        return native(found.model, data, cost, found.timing)

    async def similarity(self, exchange: Exchange) -> Answer:
        """The cosine of each pair of texts."""
        body = parse(SimilarityBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        pairs, names = _read_pairs(body, self.guard.bounds)
        found = await self.guard.similarity(
            target, pairs, names, text_options(body), exchange.origin()
        )
        if len(found.errors) == len(pairs):
            raise_first(found.errors)
        cost = Cost.of(found.usage)
        data = entries(len(pairs), found.errors, _scores(found, pairs, cost))
        return native(found.model, data, cost, found.timing)

    async def tokenize(self, exchange: Exchange) -> Answer:
        """The tokens of each input and their places in it."""
        body = parse(TokenizeBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        inputs, names = read_inputs(body.take("inputs"), "inputs", self.guard.bounds)
        text = text_options(body, layout=True, add_special_tokens=body.add_special_tokens)
        found = await self.guard.tokenize(target, inputs, names, text, exchange.origin())
        if len(found.errors) == len(inputs):
            raise_first(found.errors)
        data = entries(len(inputs), found.errors, token_entries(found, inputs))
        return native(found.model, data, Cost.of(found.usage, found.errors), found.timing)

    async def detokenize(self, exchange: Exchange) -> Answer:
        """The text behind each sequence of token ids."""
        body = parse(DetokenizeBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        sequences, names = read_sequences(body.take("input_ids"), "input_ids", self.guard.bounds)
        found = await self.guard.detokenize(
            target, sequences, names, not body.skip_special_tokens, exchange.origin()
        )
        if len(found.errors) == len(sequences):
            raise_first(found.errors)
        texts = ({"text": text} for i, text in enumerate(found.texts) if i not in found.errors)
        data = entries(len(sequences), found.errors, texts)
        cost = Cost(sum(len(sequence.ids) for sequence in sequences))
        return native(found.model, data, cost, found.timing)

    async def models(self, exchange: Exchange) -> Answer:  # noqa: ARG002
        """The models that are served and what they can do."""
        catalog = self.guard.platform.catalog
        models = [_card(model) for model in catalog.models()]
        targets = [catalog.resolve("", digest=head.digest) for head in catalog.heads()]
        heads = list(map(_head_card, targets))
        aliases = [asdict(alias) for alias in catalog.aliases().values()]
        return Answer(dump({"data": [*models, *heads], "aliases": aliases}))


def _read_pairs(body: SimilarityBody, bounds: Bounds) -> tuple[list[Pair], Names]:
    source, targets = body.source, body.targets
    if body.pairs is not None and source is None and targets is None:
        return read_pairs(body.pairs, "pairs", bounds)
    if body.pairs is not None or source is None or targets is None:
        message = "give either pairs, or source and targets"
        raise InvalidArgument(message, field="source" if body.pairs is None else "pairs")
    bounds.check_count(len(targets), "targets")
    names = Names("targets[{}]", "source", "targets[{}]")
    return [Pair(source, target) for target in targets], names


def _scores(found: Similarities, pairs: list[Pair], cost: Cost) -> Iterator[Entry]:
    good = [pair for index, pair in enumerate(pairs) if index not in found.errors]
    distinct = distinct_texts(pairs) if cost.cut else []
    cut = {distinct[row] for row in cost.cut}
    for pair, score in zip(good, found.scores, strict=True):
        truncated = pair.first in cut or pair.second in cut
        yield {"score": score, **({"truncated": True} if truncated else {})}


def _card(model: Bundle) -> Entry:
    return {
        **_identity(model),
        "task": model.task,
        "dimensions": model.hidden_size if pooled_output(model.pooling) in model.outputs else 0,
        "max_length": model.max_length,
        "pooling": model.pooling,
        "normalize": model.normalize,
        "prompts": sorted(model.prompts),
        "labels": model.head.labels if model.head else (),
        "token_labels": model.token_labels,
    }


def _head_card(target: Target) -> Entry:
    """Of a head, which with its trunk is a target."""
    head = target.head
    assert head is not None  # noqa: S101 (a head's digest was resolved)
    return {
        **_identity(head),
        "task": head.task,
        "max_length": target.model.max_length,
        "labels": head.head.labels,
        "trunk": _identity(target.model),
    }


def _identity(bundle: Folder) -> Entry:
    return {"name": bundle.name, "version": bundle.version, "digest": bundle.digest}
