"""The report for programs: JSON, whose fields are told in docs/evaluate.md."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from triptych_client.connection import public
from triptych_client.errors import NotWritten
from triptych_client.evaluation import latency
from triptych_client.evaluation.asking import Load
from triptych_client.evaluation.bootstrap import Plan
from triptych_client.evaluation.evaluating import Comparison, Outcome
from triptych_client.evaluation.examples import LabelledSet

SCHEMA: Final = 1
"""Grows when a field goes or changes its meaning."""
MAX_ERRORS: Final = 20
"""Inputs without an answer that are told one by one."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of an evaluation."""

    url: str
    data: LabelledSet[Any]
    unit: str
    load: Load
    plan: Plan
    outcomes: Sequence[Outcome]
    """Of the model, and of the baseline where there is one."""
    comparison: Comparison | None

    @property
    def unanswered(self) -> int:
        """Inputs of all models that have no answer."""
        return sum(len(outcome.answers.errors) for outcome in self.outcomes)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        data = {"file": self.data.file, "sha256": self.data.sha256, "unit": self.unit}
        return {
            "schema": SCHEMA,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "url": public(self.url),
            "data": {**data, "items": len(self.data.examples)},
            "load": asdict(self.load),
            "bootstrap": asdict(self.plan),
            "models": [_outcome(one, self.plan.confidence) for one in self.outcomes],
            "comparison": _comparison(self.comparison) if self.comparison else None,
        }


def check_folder(path: Path, option: str) -> None:
    """Raises NotWritten where a file could not be: before anything is asked, not afterwards."""
    if not path.parent.is_dir():
        raise NotWritten(f"{option}: {path.parent} is not a folder")


def write(report: Report, path: Path) -> None:
    """The JSON. Raises NotWritten."""
    text = json.dumps(report.document(), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise NotWritten(f"--json: {path}: {error.strerror}") from error


def _outcome(outcome: Outcome, confidence: float) -> dict[str, Any]:
    answers = outcome.answers
    listed = sorted(answers.errors.items())[:MAX_ERRORS]
    intervals = outcome.intervals(confidence)
    return {
        "model": outcome.target.model,
        "head": outcome.target.head or None,
        "answered_by_head": outcome.known.head or None,
        "answered_by": dict(answers.answered_by),
        "scores": {name: one.document() for name, one in intervals.items()},
        **outcome.scores.document(),
        "labels": outcome.known.coverage.document(),
        "unanswered": {
            "count": len(answers.errors),
            "first": [{"item": item, "message": message} for item, message in listed],
        },
        "truncated": answers.truncated,
        "repeated_attempts": answers.repeats,
        **latency.document(answers),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    test = comparison.test
    return {
        "differences": {name: one.document() for name, one in comparison.differences.items()},
        "mcnemar": test.document() if test else None,
    }
