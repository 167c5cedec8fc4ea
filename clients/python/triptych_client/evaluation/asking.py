"""A whole set asked in bounded batches, a bounded number of them at once."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from triptych_client.connection import Connection, Reply
from triptych_client.errors import ClientError, DeadlinePassed, Refused
from triptych_client.evaluation.task import Target, Task

DEFAULT_BATCH_SIZE: Final = 32
"""Inputs of a request: enough for full batches, and little to repeat where one is refused."""
DEFAULT_CONCURRENCY: Final = 8
"""Requests at once: with 32 inputs each, two full rounds of an encoder on a CPU wait."""
DEFAULT_DEADLINE: Final = 3600.0
"""Seconds for all requests together."""
# how the platform names the input that a request fails for when all of its inputs do
_OF_AN_INPUT: Final = re.compile(r"(inputs|pairs)\[\d+\]")

E = TypeVar("E")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Load:
    """How fast a set is asked."""

    batch_size: int = DEFAULT_BATCH_SIZE
    concurrency: int = DEFAULT_CONCURRENCY
    deadline: float = DEFAULT_DEADLINE


@dataclass(slots=True)
class Answers(Generic[P]):
    """What came back for N examples."""

    values: list[P | None]
    """[N]: None where there is none."""
    errors: dict[int, str] = field(default_factory=dict)
    """Why there is none, by the example's position."""
    answered_by: Counter[str] = field(default_factory=Counter)
    """Examples by the `name@version` and digest in the answer."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of each request that was answered, waits for a repeat not counted."""
    truncated: int = 0
    """Inputs that were cut to the model's length."""
    tokens: int = 0
    repeats: int = 0
    """Attempts that the platform was too busy for, or could not be reached for."""
    seconds: float = 0.0
    """From the first request to the last answer."""


async def ask(
    task: Task[E, P],
    target: Target,
    examples: Sequence[E],
    connection: Connection,
    load: Load,
    done: Callable[[int], object],
) -> Answers[P]:
    """Ask for every example; `done` hears how many more have come back.

    An example that the platform refuses has an error in the answers; a request that it refuses as a
    whole ends all. Raises ClientError.
    """
    answers: Answers[P] = Answers([None] * len(examples))
    batches = _batches(examples, load.batch_size)

    async def work() -> None:
        for first, batch in batches:
            await _ask_batch(task, target, batch, first, connection, answers)
            done(len(batch))

    started = time.perf_counter()
    try:
        async with asyncio.timeout(load.deadline):
            await _together(work, load.concurrency)
    except TimeoutError:
        answered = len(examples) - answers.values.count(None) + len(answers.errors)
        reason = f"{answered:,} of {len(examples):,} {task.unit} after {load.deadline:g} s"
        raise DeadlinePassed(f"--deadline: {reason}") from None
    answers.seconds = time.perf_counter() - started
    return answers


async def _together(work: Callable[[], Coroutine[Any, Any, None]], workers: int) -> None:
    """Several of the same; the first ClientError of one ends all."""
    errors: list[ClientError] = []
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except* ClientError as failed:
        errors.extend(_leaves(failed))
    if errors:
        raise errors[0]


def _batches(examples: Sequence[E], size: int) -> Iterator[tuple[int, Sequence[E]]]:
    """Shared by all workers, so that each takes the next batch."""
    return ((first, examples[first : first + size]) for first in range(0, len(examples), size))


async def _ask_batch(
    task: Task[E, P],
    target: Target,
    batch: Sequence[E],
    first: int,
    connection: Connection,
    answers: Answers[P],
) -> None:
    try:
        reply = await connection.post(task.path, task.request(target, batch))
    except Refused as error:
        if not _OF_AN_INPUT.match(error.param):
            raise
        # the platform refuses a request for an input only where all of its inputs fail
        answers.errors.update(dict.fromkeys(range(first, first + len(batch)), error.message))
        return
    answers.latencies.append(reply.seconds)
    answers.tokens += reply.tokens
    answers.repeats += reply.attempts - 1
    _take(task, batch, first, reply, answers)


def _take(
    task: Task[E, P], batch: Sequence[E], first: int, reply: Reply, answers: Answers[P]
) -> None:
    try:
        answers.answered_by[identity(reply.body["model"])] += len(batch)
        for index, (example, entry) in enumerate(zip(batch, reply.body["data"], strict=True)):
            if "error" in entry:
                answers.errors[first + index] = entry["error"]["message"]
            else:
                answers.values[first + index] = task.read(example, entry)
                answers.truncated += bool(entry.get("truncated"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Refused(f"{task.path} gave an answer of another shape: {error!r}", 200) from error


def identity(model: Any) -> str:
    """`name@version` and the digest's beginning, of a model in an answer."""
    return f"{model['name']}@{model['version']} ({model['digest'][:12]})"


def _leaves(group: BaseExceptionGroup[ClientError]) -> Iterator[ClientError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
