"""Analyze: several tasks over the outputs of one encoder pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from triptych.v1 import postprocess_service_pb2 as pb
from triptych_postprocess.analyzing import analyze
from triptych_postprocess.embedding import Pooled
from triptych_postprocess.layout import Sequences
from triptych_postprocess.loading import PostprocessModel
from triptych_postprocess.outcome import Job
from triptych_postprocess.windows import Windows
from triptych_postprocess.wire.classes import (
    FindHead,
    classify_job,
    read_classify_options,
    write_classes,
)
from triptych_postprocess.wire.columns import Rows, read_rows
from triptych_postprocess.wire.tokens import (
    read_sequences,
    read_tag_options,
    scheme_of,
    tag_job,
    write_entities,
)
from triptych_postprocess.wire.vectors import embed_job, read_embed_options, write_embeddings
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.items import check_count

# Twice the outputs that one encoder pass can have.
MAX_TASKS: Final = 16


def head_fields(request: pb.PostprocessServiceAnalyzeRequest) -> dict[str, str]:
    """The heads that the tasks name, and where."""
    return {
        task.classify.head: f"tasks[{number}].classify.head"
        for number, task in enumerate(request.tasks[:MAX_TASKS])
        if task.WhichOneof("task") == "classify"
    }


@dataclass(frozen=True, slots=True)
class Task:
    """One of the tasks: its work, and how its part of the answer is written."""

    job: Job[Any]
    write: Callable[[Any], pb.AnalyzeResult]


@dataclass(frozen=True, slots=True)
class Analysis:
    """The tasks of an Analyze request, over the same items."""

    tasks: tuple[Task, ...]

    @property
    def job(self) -> Job[list[Any]]:
        """All of their work."""
        jobs = [task.job for task in self.tasks]
        work = partial(analyze, [job.work for job in jobs])
        size, output = sum(job.size for job in jobs), sum(job.output for job in jobs)
        return Job(jobs[0].count, size, output, work)

    def write(self, rows: list[Any]) -> list[pb.AnalyzeResult]:
        """The answer to each."""
        return [task.write(made) for task, made in zip(self.tasks, rows, strict=True)]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the tasks of a request."""

    request: pb.PostprocessServiceAnalyzeRequest
    model: PostprocessModel
    find_head: FindHead
    max_items: int
    max_tokens: int

    def read(self) -> Analysis:
        """All tasks. Raises InvalidArgument, and what finding a head raises."""
        check_count(len(self.request.tasks), MAX_TASKS, "tasks")
        sequences = None
        if self.request.HasField("sequences"):
            sequences = read_sequences(self.request.sequences, self.max_items)
        tasks = tuple(
            self._task(f"tasks[{number}]", task, sequences)
            for number, task in enumerate(self.request.tasks)
        )
        self._check_counts(tasks, sequences.items if sequences else tasks[0].job.count)
        return Analysis(tasks)

    def _task(self, field: str, task: pb.AnalyzeTask, sequences: Sequences | None) -> Task:
        kind = task.WhichOneof("task")
        if task.input_index >= len(self.request.inputs):
            message = f"{field}.input_index is {task.input_index}, there are"
            message = f"{message} {len(self.request.inputs)} inputs"
            raise InvalidArgument(message, field=f"{field}.input_index")
        if kind == "embed":
            return self._embed(field, task, sequences)
        if kind == "classify":
            return self._classify(field, task, sequences)
        if kind == "tag":
            return self._tag(field, task, sequences)
        raise InvalidArgument(f"{field} must say what to do", field=field)

    def _embed(self, field: str, task: pb.AnalyzeTask, sequences: Sequences | None) -> Task:
        options = read_embed_options(task.embed, f"{field}.embed", self.model.bundle)
        rows = self._rows(task, self.model.bundle.hidden_size, self.max_items)
        job = embed_job(Pooled(rows, self._windows(task, rows, sequences)), options)
        return Task(job, lambda made: pb.AnalyzeResult(embed=write_embeddings(made)))

    def _classify(self, field: str, task: pb.AnalyzeTask, sequences: Sequences | None) -> Task:
        classifier = self.find_head(task.classify.head, f"{field}.classify.head")
        rows = self._rows(task, classifier.input_size, self.max_items)
        options = read_classify_options(task.classify, f"{field}.classify", classifier)
        job = classify_job(rows, classifier, options, self._windows(task, rows, sequences))
        write = partial(write_classes, classifier.head.labels)
        return Task(job, lambda made: pb.AnalyzeResult(classify=write(made)))

    def _tag(self, field: str, task: pb.AnalyzeTask, sequences: Sequences | None) -> Task:
        if sequences is None:
            raise InvalidArgument(f"{field} needs sequences", field="sequences")
        scheme, options = scheme_of(self.model), read_tag_options(task.tag, f"{field}.tag")
        rows = self._rows(task, len(scheme.labels), self.max_tokens)
        job = tag_job(rows, self.request.sequences, sequences, scheme, options)
        write = partial(write_entities, options.labels(scheme))
        return Task(job, lambda made: pb.AnalyzeResult(tag=write(made)))

    def _windows(
        self, task: pb.AnalyzeTask, rows: Rows, sequences: Sequences | None
    ) -> Windows | None:
        """Which rows are whose, where items have several."""
        if sequences is None or not sequences.windowed:
            return None
        if len(rows) != len(sequences.item):
            raise _wrong_count(task, len(rows), len(sequences.item))
        return Windows(sequences.first_rows, sequences.lengths)

    def _rows(self, task: pb.AnalyzeTask, width: int, limit: int) -> Rows:
        field = f"inputs[{task.input_index}]"
        return read_rows(self.request.inputs[task.input_index], field, width, limit)

    def _check_counts(self, tasks: Sequence[Task], count: int) -> None:
        for message, task in zip(self.request.tasks, tasks, strict=True):
            if task.job.count != count:
                raise _wrong_count(message, task.job.count, count)


def _wrong_count(task: pb.AnalyzeTask, rows: int, wanted: int) -> InvalidArgument:
    field = f"inputs[{task.input_index}]"
    return InvalidArgument(f"{field} has {rows} rows, the request {wanted}", field=field)
