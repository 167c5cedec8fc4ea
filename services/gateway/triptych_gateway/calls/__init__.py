"""The calls of the stages: domain works in, one gRPC call, domain results out."""

from collections.abc import Sequence
from dataclasses import replace

from triptych_bundles.manifest import Bundle
from triptych_gateway.calls.compare import RankCall, SimilarityCall
from triptych_gateway.calls.documents import DocumentCall
from triptych_gateway.calls.encode import EncodeCall
from triptych_gateway.calls.postprocess import AnalyzeCall, ClassifyCall, EmbedCall, TagCall
from triptych_gateway.calls.tokenize import DetokenizeCall, TokenizeCall
from triptych_gateway.entries import StageCall
from triptych_gateway.tasks import (
    ChosenHead,
    Classify,
    EmbedOptions,
    RankOptions,
    Task,
    TextOptions,
)


class GrpcCalls:
    """Makes the calls; equal ones are gathered."""

    def tokenize(self, model: Bundle, text: TextOptions) -> TokenizeCall:
        """Text to token ids."""
        return TokenizeCall(model.digest, text)

    def detokenize(self, model: Bundle, include_special_tokens: bool) -> DetokenizeCall:
        """Token ids to text."""
        return DetokenizeCall(model.digest, include_special_tokens)

    def encode(self, model: Bundle, outputs: Sequence[str]) -> EncodeCall:
        """Token ids to outputs of the graph."""
        return EncodeCall(model.digest, tuple(outputs))

    def answer(self, model: Bundle, tasks: Sequence[Task], inputs: Sequence[int]) -> StageCall:
        """Outputs of the graph to answers; `inputs` says which of them each task reads."""
        steps = _steps(tasks, inputs)
        if len(steps) > 1:
            return AnalyzeCall(model.digest, steps)
        task = steps[0][0]
        if isinstance(task, EmbedOptions):
            return EmbedCall(model.digest, task)
        if isinstance(task, Classify):
            return ClassifyCall(model.digest, task)
        return TagCall(model.digest, task)

    def answer_documents(
        self, model: Bundle, tasks: Sequence[Task], inputs: Sequence[int]
    ) -> DocumentCall:
        """The same for inputs of several windows."""
        return DocumentCall(model.digest, _steps(tasks, inputs))

    def similarity(self, model: Bundle) -> SimilarityCall:
        """Raw vectors to similarities."""
        return SimilarityCall(model.digest)

    def rank(self, model: Bundle, head: ChosenHead | None, options: RankOptions) -> RankCall:
        """Raw vectors or logits to a ranking."""
        return RankCall(model.digest, head, options)


def _steps(tasks: Sequence[Task], inputs: Sequence[int]) -> tuple[tuple[Task, int], ...]:
    return tuple(zip(map(_pooled, tasks), inputs, strict=True))


def _pooled(task: Task) -> Task:
    """The task once pooling is done: whichever it was, what follows is the same."""
    return replace(task, pooling="") if isinstance(task, EmbedOptions) and task.pooling else task


__all__ = ["GrpcCalls"]
