"""The seam between the gateway's edges (REST, gRPC) and what answers."""

from collections.abc import Sequence
from typing import Protocol

from triptych_bundles.manifest import Bundle
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.tasks import (
    Analyzed,
    ChosenHead,
    Detokenized,
    EmbedOptions,
    Input,
    Origin,
    Pair,
    Pieced,
    Ranked,
    Ranking,
    Similarities,
    Task,
    TextOptions,
    TokenIds,
    Tokens,
)


class Platform(Protocol):
    """Every task, for a model that is resolved already and can do it.

    All methods refuse with Overloaded when full, and raise DeadlineExceeded, Unavailable or
    Internal for the request as a whole; bad inputs come back in `errors`, by index. Cancelling
    the call cancels the work.
    """

    @property
    def catalog(self) -> Catalog:
        """The models."""

    async def analyze(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        tasks: Sequence[Task],
        origin: Origin,
    ) -> Analyzed:
        """A result for each of the tasks, all of one pass of the inputs through the encoder.

        Entities come without what the texts say there.
        """

    async def pieces(
        self,
        model: Bundle,
        texts: Sequence[str],
        text: TextOptions,
        options: EmbedOptions,
        late: bool,
        origin: Origin,
    ) -> Pieced:
        """An embedding for each window of the texts, or with `late` for what would be a window.

        What is `late` is pooled by the mean of its tokens in a pass over the whole text, where the
        model can take that.
        """

    async def rank(
        self,
        model: Bundle,
        head: ChosenHead | None,
        ranking: Ranking,
        text: TextOptions,
        origin: Origin,
    ) -> Ranked:
        """Documents by relevance: by what `head` makes of query and document read together, or
        without one by cosine. Raises what is wrong with the query, which it calls `query`.
        """

    async def similarity(
        self, model: Bundle, pairs: Sequence[Pair], text: TextOptions, origin: Origin
    ) -> Similarities:
        """Cosine similarity of pairs; a text that occurs several times is encoded once."""

    async def tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> Tokens:
        """Token ids of inputs."""

    async def detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> Detokenized:
        """Texts of token ids."""

    def unready(self) -> Sequence[str]:
        """Why requests cannot be answered now; empty while they can."""
