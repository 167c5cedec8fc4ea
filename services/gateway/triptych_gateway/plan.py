"""What a request needs of each stage, so that all its tasks share one pass of the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from triptych_bundles.manifest import (
    LOGITS_OUTPUT,
    TOKEN_LOGITS_OUTPUT,
    Bundle,
    pooled_output,
)
from triptych_gateway.tasks import Classify, EmbedOptions, Task, TextOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """The outputs of the graph that are needed, each once, and which of them each task reads."""

    model: Bundle
    outputs: tuple[str, ...]
    tasks: tuple[Task, ...] = ()
    inputs: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: Bundle, tasks: Sequence[Task]) -> "Plan":
        """The plan of several tasks on the same inputs."""
        reads = [output_of(model, task) for task in tasks]
        outputs = tuple(dict.fromkeys(reads))
        return cls(model, outputs, tuple(tasks), tuple(map(outputs.index, reads)))

    @property
    def layout(self) -> bool:
        """Whether a task reads where the tokens are."""
        return TOKEN_LOGITS_OUTPUT in self.outputs

    def text(self, text: TextOptions) -> TextOptions:
        """The options with what the tokenizer has to say beside the ids."""
        return replace(text, layout=True, word_ids=True) if self.layout else text

    def numbers(self) -> int:
        """Numbers that the encoder returns for a sequence, at most."""
        return sum(_numbers(self.model, output) for output in self.outputs)


def output_of(model: Bundle, task: Task) -> str:
    """The output of the graph that a task reads."""
    if isinstance(task, EmbedOptions):
        return pooled_output(task.pooling or model.pooling)
    return task.head.head.input if isinstance(task, Classify) else TOKEN_LOGITS_OUTPUT


def _numbers(model: Bundle, output: str) -> int:
    if output == TOKEN_LOGITS_OUTPUT:
        return model.max_length * len(model.token_labels)
    if output == LOGITS_OUTPUT and model.head:
        return len(model.head.labels)
    return model.hidden_size
