"""The subcommand `import`: arguments in, one call, the bundle's folder out."""

import argparse
import sys
from pathlib import Path

from triptych_bundles import POOLINGS
from triptych_models.progress import say
from triptych_models.sentence import Choices


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What `import` takes beside what every subcommand does."""
    add = command.add_argument
    add("source", type=Path, metavar="SOURCE", help="an ONNX file, or the folder that holds it")
    add("--tokenizer", type=Path, metavar="FILE", help="default: tokenizer.json of the folder")
    add("--config", type=Path, metavar="FILE", help="default: config.json of the folder")
    add("--name", default="", help="the bundle's name (default: the source's)")
    add("--version", default="1", help="the bundle's version (default: 1)")
    add("--origin", default="", help="where the model came from (default: the folder's name)")
    add("--licence", default="", help="default: as the model card says")
    add("--pooling", choices=POOLINGS, help="default: as the model's files say")
    add("--max-length", type=int, metavar="TOKENS", help="special tokens included")
    add("--normalize", action=argparse.BooleanOptionalAction, help="default: as the files say")
    add("--replace", action="store_true", help="replace a version that holds other content")
    command.set_defaults(run=run_import)


def run_import(arguments: argparse.Namespace) -> int:
    """Print the bundle's folder."""
    # the runtime takes most of a second to import: only who needs it waits
    from triptych_models.importing.bundle import import_bundle
    from triptych_models.importing.plan import plan_import
    from triptych_models.importing.source import open_source

    given = arguments.tokenizer, arguments.config, arguments.origin, arguments.licence
    source = open_source(arguments.source, *given)
    choices = Choices(arguments.pooling, arguments.normalize, arguments.max_length)
    plan = plan_import(source, arguments.name, arguments.version, choices)
    bundle = import_bundle(plan, arguments.repository, arguments.replace, say)
    sys.stdout.write(f"{bundle.path}\n")
    return 0
