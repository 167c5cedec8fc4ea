"""The subcommands `train-head` and `install-heads`."""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from triptych_bundles import Repository
from triptych_models.heads.examples import Columns, parse_label_names, read_labels
from triptych_models.progress import say

TRAIN_HELP = "train a head on labelled texts, over a model of the repository"
INSTALL_HELP = "put the heads that come with this package into the repository"
DEFAULT_TRUNK = "all-minilm-l6-v2"
UNSTATED = "not stated"


def add_training(command: argparse.ArgumentParser) -> None:
    """The options of `train-head`."""
    command.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="CSV in UTF-8 with a header"
    )
    add_columns(command, pairs=False)
    command.add_argument("--name", required=True, help="the head's name")
    command.add_argument("--version", default="1", help="the head's version (default: 1)")
    command.add_argument("--trunk", default=DEFAULT_TRUNK, metavar="NAME[@VERSION]")
    command.add_argument("--seed", type=_natural, default=0, help="of split and fit (default: 0)")
    command.add_argument("--source", default=UNSTATED, help="where the data is from, for the card")
    command.add_argument("--data-licence", default=UNSTATED, help="of the data, for the card")
    command.add_argument("--licence", default=UNSTATED, help="of the head itself")
    command.add_argument(
        "--threads", type=positive, default=os.cpu_count() or 1, help="default: one a core"
    )
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder of bundles (default: the repository)"
    )
    command.add_argument("--replace", action="store_true", help="replace a version that is there")
    command.set_defaults(run=run_train)


def add_columns(command: argparse.ArgumentParser, pairs: bool = True) -> None:
    """What says how a CSV file is read."""
    command.add_argument("--text-column", default="text", metavar="NAME")
    if pairs:
        command.add_argument("--pair-column", default="", metavar="NAME", help="of second texts")
    command.add_argument("--label-column", default="label", metavar="NAME")
    labels = command.add_mutually_exclusive_group()
    labels.add_argument(
        "--labels", type=Path, metavar="FILE", help="JSON list of the labels, in order"
    )
    labels.add_argument(
        "--label-names", metavar="VALUE=NAME,…", help="labels of the column's values, in order"
    )


def columns(arguments: argparse.Namespace) -> Columns:
    """The columns that were named."""
    pair = getattr(arguments, "pair_column", "")
    return Columns(arguments.text_column, arguments.label_column, pair)


def add_installing(command: argparse.ArgumentParser) -> None:
    """The options of `install-heads`."""
    command.add_argument("head", nargs="?", default="", metavar="NAME[@VERSION]")
    command.add_argument(
        "--replace", action="store_true", help="replace a version that holds other content"
    )
    command.set_defaults(run=run_install)


def run_train(arguments: argparse.Namespace) -> int:
    """Print the head's folder."""
    from triptych_models.heads.job import Job, Terms
    from triptych_models.heads.training import train_head

    name, _, version = arguments.trunk.partition("@")
    trunk = Repository(arguments.repository).find_model(name, version)
    job = Job(
        data=arguments.data,
        columns=columns(arguments),
        names=label_names(arguments),
        name=arguments.name,
        version=arguments.version,
        seed=arguments.seed,
        terms=Terms(arguments.source, arguments.data_licence, arguments.licence),
        command=_repeated(arguments, trunk.identity),
    )
    output = arguments.output or arguments.repository
    head = train_head(job, trunk, output, arguments.threads, arguments.replace, say)
    sys.stdout.write(f"{head.path}\n")
    return 0


def run_install(arguments: argparse.Namespace) -> int:
    """Print the folders of the heads that are installed now."""
    from triptych_models.heads.installing import install_heads

    installed = install_heads(arguments.repository, arguments.head, arguments.replace, say)
    sys.stdout.write("".join(f"{folder}\n" for folder in installed))
    return 0


def _natural(text: str) -> int:
    """argparse tells a ValueError as an invalid value of the option."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    """A whole number of at least 1; argparse tells a ValueError as an invalid value."""
    if text == "0":
        raise ValueError(text)
    return _natural(text)


def label_names(arguments: argparse.Namespace) -> Mapping[str, str] | None:
    """Labels by the column's values; None where nothing was said."""
    if arguments.label_names is not None:
        return parse_label_names(arguments.label_names)
    return read_labels(arguments.labels) if arguments.labels else None


def _repeated(arguments: argparse.Namespace, trunk: str) -> tuple[str, ...]:
    """The command by what matters to its outcome; files without their folders."""
    values = {
        "--data": arguments.data.name,
        "--text-column": arguments.text_column,
        "--label-column": arguments.label_column,
        "--labels": arguments.labels.name if arguments.labels else None,
        "--label-names": arguments.label_names,
        "--name": arguments.name,
        "--version": arguments.version,
        "--trunk": trunk,
        "--seed": str(arguments.seed),
        "--source": arguments.source,
        "--data-licence": arguments.data_licence,
        "--licence": arguments.licence,
    }
    given = (f"{name} {shlex.quote(value)}" for name, value in values.items() if value is not None)
    return ("triptych-models train-head", *given)
