"""The subcommand `score`."""

import argparse
import os
import sys
from pathlib import Path

from triptych_bundles import Bundle, HeadBundle, Repository
from triptych_models.errors import UnsupportedModel
from triptych_models.heads.command import add_columns, columns, label_names, positive
from triptych_models.progress import say

SCORE_HELP = "score a bundle on labelled data in each precision, and write the scores into it"


def add_scoring(command: argparse.ArgumentParser) -> None:
    """The options of `score`."""
    command.add_argument("bundle", metavar="NAME[@VERSION]")
    command.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV in UTF-8 with a header, or CoNLL for a bundle that tags",
    )
    command.add_argument("--data-name", default="", help="of the data (default: the file's)")
    add_columns(command)
    command.add_argument("--head", default="", metavar="NAME[@VERSION]", help="over the bundle")
    command.add_argument(
        "--threads", type=positive, default=os.cpu_count() or 1, help="default: one a core"
    )
    command.set_defaults(run=run_score)


def run_score(arguments: argparse.Namespace) -> int:
    """Print the scores by graph; they are in the bundle then."""
    # the runtime takes most of a second to import: only who needs it waits
    from triptych_models.scores.measuring import LabelledFile, measure
    from triptych_models.scores.recording import record

    repository = Repository(arguments.repository)
    bundle = repository.find_model(*_named(arguments.bundle))
    head = _head(repository, arguments.head)
    name = arguments.data_name or arguments.data.stem
    data = LabelledFile(arguments.data, name, columns(arguments), label_names(arguments))
    measured = measure(bundle, head, data, arguments.threads, say)
    written = record(bundle, measured, arguments.repository)
    for variant, score in measured.by_variant.items():
        sys.stdout.write(f"{written.identity} {variant} {measured.metric} {score:.4f}\n")
    return 0


def _named(text: str) -> tuple[str, str]:
    name, _, version = text.partition("@")
    return name, version


def _head(repository: Repository, named: str) -> HeadBundle | None:
    if not named:
        return None
    found: Bundle | HeadBundle = repository.find(*_named(named))
    if isinstance(found, Bundle):
        raise UnsupportedModel(f"--head: {found.identity} is a model, not a head")
    return found
