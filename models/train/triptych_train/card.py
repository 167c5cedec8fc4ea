"""The model card: what it is, what it was made of, how good it is, how to repeat it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import yaml

from triptych_models.sources import SourceFolder
from triptych_train.fitting import Course
from triptych_train.parts import Dataset
from triptych_train.recipe import Recipe

_MOST_LABELS = 20


@dataclass(frozen=True, slots=True)
class Trained:
    """What a card tells of."""

    recipe: Recipe
    recipe_file: str
    """Its name, without folders."""
    source: SourceFolder
    dataset: Dataset
    courses: Sequence[Course]
    """Of each run."""
    device: str
    test: float
    """The score of the test part by the network itself."""


def card(trained: Trained) -> str:
    """Markdown, without a date or a place: the same training gives the same card."""
    sections = (_front, _head, _data, _training, _repeat, _limits)
    return "\n".join(section(trained) for section in sections)


def _front(trained: Trained) -> str:
    front = {"license": trained.recipe.licence, "base_model": trained.source.origin}
    return f"---\n{yaml.safe_dump(front, sort_keys=True)}---\n"


def _head(trained: Trained) -> str:
    recipe, labels = trained.recipe, trained.dataset.labels
    listed = ", ".join(f"`{label}`" for label in labels[:_MOST_LABELS])
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    what = "Gives a text" if recipe.task == "classify" else "Gives every token"
    return f"""\
# {recipe.name}, version {recipe.version}

{what} one of {len(labels)} labels: {listed}{more}.

Fine-tuned, every layer, from {trained.source.origin}.
"""


def _data(trained: Trained) -> str:
    dataset, data = trained.dataset, trained.recipe.data
    rows = [f"| {name} | sha256 `{sha256}` |" for name, sha256 in dataset.files.items()]
    rows += [f"| {name} | {count} |" for name, count in dataset.facts.items()]
    sizes = ", ".join(str(len(one)) for one in (dataset.fit, dataset.validation, dataset.test))
    return "\n".join(
        (
            "## Data\n",
            "| | |",
            "|---|---|",
            f"| source | {data.source} |",
            f"| licence | {data.licence} |",
            *rows,
            f"| training, validation, test | {sizes} |",
            "",
            _use(trained),
        )
    )


def _use(trained: Trained) -> str:
    if trained.recipe.fit.fit_validation:
        use = "It was fitted on training and validation, for as many epochs as the recipe says."
    else:
        use = "It was fitted on training; validation decided which epoch's weights are kept."
    return f"Parts without a file of their own follow from the seed. {use} The test had no say.\n"


def _training(trained: Trained) -> str:
    metric, courses = trained.dataset.metric, trained.courses
    rows = [row for run, course in enumerate(courses, 1) for row in _epochs(run, course)]
    averaged = f" The weights are the mean of {len(courses)} runs." if len(courses) > 1 else ""
    return "\n".join(
        (
            "## Training\n",
            f"On {trained.device}. On the test part the network itself has an {metric} of "
            f"**{trained.test:.4f}**.{averaged}\n",
            f"| run | epoch | loss | validation {metric} |",
            "|---|---|---|---|",
            *rows,
            "",
        )
    )


def _epochs(run: int, course: Course) -> list[str]:
    scores = [f"{score:.4f}" for score in course.scores] or [""] * len(course.losses)
    kept = [" (kept)" if number == course.best else "" for number in range(len(scores))]
    return [
        f"| {run} | {number}{mark} | {loss:.4f} | {score} |"
        for number, (mark, loss, score) in enumerate(
            zip(kept, course.losses, scores, strict=True), 1
        )
    ]


def _repeat(trained: Trained) -> str:
    recipe = yaml.safe_dump(asdict(trained.recipe), sort_keys=False, width=100)
    return f"""\
## Repeat it

```sh
triptych-train {trained.recipe_file} --data FOLDER
```

with this recipe:

```yaml
{recipe}```

The same data, trunk and seed give the same split everywhere, and the same weights on the same kind
of machine with the same number of threads.
"""


def _limits(trained: Trained) -> str:
    if trained.recipe.task == "classify":
        first = (
            "Every text gets one of the labels, also one that has nothing to do with any of them."
        )
    else:
        first = "Names that the data has none of, and other types than its own, are missed."
    return f"""\
## Limits

- {first} Texts of another kind, language or time than the data's may come out worse than the scores
  say.
- A probability is the model's own; it was not calibrated against how often it is right.
- Errors and leanings of the data and of the trunk are the model's too.
"""
