"""The model card of a head: what it is, what it was made of, how good it is, how to repeat it."""

from collections.abc import Sequence

from triptych_models.heads.job import Training
from triptych_models.heads.scoring import Scores
from triptych_models.heads.selection import FOLDS

_WEAKEST = 5


def card(training: Training) -> str:
    """Markdown, without a date or a place, so that the same training gives the same card."""
    sections = (_head, _data, _scores, _repeat, _limits)
    return "\n".join(section(training) for section in sections)


def _head(training: Training) -> str:
    job, trunk, labels = training.job, training.trunk, training.data.labels
    return f"""\
# {job.name}, version {job.version}

Gives a text one of {len(labels)} labels: {", ".join(f"`{label}`" for label in labels)}.

A head over the frozen trunk `{trunk.name}`, weights of sha256
`{trunk.base.weights_sha256}`: it reads the trunk's {trunk.pooling} vector at
length 1. Licence: {job.terms.licence}.
"""


def _data(training: Training) -> str:
    origin, terms, parts = training.examples.origin, training.job.terms, training.parts
    sizes = ", ".join(str(len(rows)) for rows in (parts.train, parts.validation, parts.test))
    return f"""\
## Data

| | |
|---|---|
| source | {terms.source} |
| licence | {terms.data_licence} |
| file | `{origin.file}`, sha256 `{origin.sha256}` |
| rows | {origin.rows} |
| left out as repeated | {origin.duplicates} |
| left out as labelled in several ways | {origin.contradictions} |
| training, validation, test | {sizes} |

The split follows from the seed, {training.job.seed}; every label has its share in each part. The
test had no say in anything: this head is fitted on training and validation.
"""


def _scores(training: Training) -> str:
    outcome = training.outcome
    tried = [
        _row(f"{recipe}{' (chosen)' if recipe == outcome.recipe else ''}", scores)
        for recipe, scores in outcome.validation.items()
    ]
    return "\n".join(
        (
            "## Scores\n",
            "| | accuracy | macro F1 |",
            "|---|---|---|",
            _row("test, held out", outcome.test),
            _range_row(outcome.folds),
            "",
            "| fitted on the training part | validation accuracy | macro F1 |",
            "|---|---|---|",
            *tried,
            "",
            f"Weakest labels of the test, by F1: {_weakest(training)}.\n",
        )
    )


def _weakest(training: Training) -> str:
    by_class = sorted(zip(training.outcome.test.by_class, training.data.labels, strict=True))
    return ", ".join(f"`{label}` {share:.2f}" for share, label in by_class[:_WEAKEST])


def _repeat(training: Training) -> str:
    command = " \\\n  ".join(training.job.command)
    return f"""\
## Repeat it

```sh
{command}
```

The same data, trunk and seed give the same split everywhere, and the same bytes on the same kind of
machine. On another kind the last digits of vectors and weights differ.
"""


def _limits(training: Training) -> str:
    return f"""\
## Limits

- Every text gets one of the labels, also one that has nothing to do with any of them. Texts of
  another kind, language or time than the data's may be labelled worse than the scores say.
- What a text holds beyond the trunk's {training.trunk.max_length} tokens is not seen.
- A probability is the head's own; it was not calibrated against how often it is right.
- Errors and leanings of the data and of the trunk are the head's too.
"""


def _row(name: str, scores: Scores) -> str:
    return f"| {name} | {scores.accuracy:.4f} | {scores.macro_f1:.4f} |"


def _range_row(scores: Sequence[Scores]) -> str:
    columns = ([each.accuracy for each in scores], [each.macro_f1 for each in scores])
    cells = (f"{sum(c) / len(c):.4f} ({min(c):.4f} to {max(c):.4f})" for c in columns)
    return f"| {FOLDS} folds of the rest: mean (least to most) | {' | '.join(cells)} |"
