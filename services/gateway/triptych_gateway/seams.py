"""The seams of the pipeline: the stages it submits to and the calls it makes there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from triptych_bundles.manifest import Bundle
from triptych_gateway.entries import Callers, StageCall
from triptych_gateway.tasks import ChosenHead, RankOptions, Task, TextOptions


class SubmitsWork(Protocol):
    """A stage: see stage.Stage."""

    async def submit(
        self, work: Any, call: StageCall, weight: int, callers: Callers, alone: bool = False
    ) -> tuple[Any, float]:
        """Send work, gathered with what else waits for an equal call, or `alone`.

        Returns its result and the seconds it was held before it went out.
        """

    def replicas(self) -> int:
        """How many serve."""


class Calls(Protocol):
    """Makes the calls of the stages: the seam to the wire.

    `outputs` are names of the graph's outputs; `inputs` says which of them each task reads.
    """

    def tokenize(self, model: Bundle, text: TextOptions) -> StageCall: ...
    def detokenize(self, model: Bundle, include_special_tokens: bool) -> StageCall: ...
    def encode(self, model: Bundle, outputs: Sequence[str]) -> StageCall: ...
    def answer(self, model: Bundle, tasks: Sequence[Task], inputs: Sequence[int]) -> StageCall: ...
    def answer_documents(
        self, model: Bundle, tasks: Sequence[Task], inputs: Sequence[int]
    ) -> StageCall: ...
    def similarity(self, model: Bundle) -> StageCall: ...
    def rank(self, model: Bundle, head: ChosenHead | None, options: RankOptions) -> StageCall: ...


@dataclass(frozen=True, slots=True)
class StageSet:
    """The three stages."""

    tokenizer: SubmitsWork
    encoder: SubmitsWork
    postprocess: SubmitsWork

    def missing(self) -> list[str]:
        """Names of those without a serving replica."""
        names = ("tokenizer", "encoder", "postprocess")
        return [name for name in names if not getattr(self, name).replicas()]
