"""The command line: a recipe, and where things are on this machine."""

import argparse
import os
import sys
from pathlib import Path

from triptych_models.heads.command import positive
from triptych_models.progress import say
from triptych_models.settings import Settings
from triptych_train.recipe import read_recipe

CHECKPOINT_STEPS = 200
_WORK = Path(".cache/train")


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The options; `run` takes what it parses."""
    command = argparse.ArgumentParser(
        prog="triptych-train",
        description="Fine-tunes an encoder by a recipe, and makes a bundle of it with its scores.",
    )
    command.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    command.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="that the recipe's files are in"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[SECTION.]KEY=VALUE",
        help="change a setting of the recipe, such as seed=1 or fit.epochs=4; may be repeated",
    )
    command.add_argument(
        "--repository",
        type=Path,
        default=settings.repository,
        help="folder of bundles (TRIPTYCH_MODELS_REPOSITORY, default: %(default)s)",
    )
    command.add_argument(
        "--cache", type=Path, help="folder of fetched trunks (default: .cache in the repository)"
    )
    command.add_argument(
        "--work",
        type=Path,
        default=_WORK,
        metavar="FOLDER",
        help="of checkpoints and test parts, in NAME/VERSION of each (default: %(default)s)",
    )
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="of products while training; auto: bf16 where the device computes in it",
    )
    command.add_argument("--threads", type=positive, default=os.cpu_count() or 1)
    command.add_argument(
        "--checkpoint-steps", type=positive, default=CHECKPOINT_STEPS, help="default: %(default)s"
    )
    command.add_argument("--fresh", action="store_true", help="do not go on from a checkpoint")
    command.add_argument("--replace", action="store_true", help="replace a version that is there")
    command.set_defaults(hub_url=settings.hub_url)
    return command


def run(arguments: argparse.Namespace) -> int:
    """Print the bundle's folder."""
    recipe = read_recipe(arguments.recipe, arguments.set)
    # torch and transformers take seconds to import: a wrong recipe is told of before
    from triptych_train.devices import choose_device
    from triptych_train.job import Place, train

    place = Place(
        data=arguments.data,
        work=arguments.work / recipe.name / recipe.version,
        repository=arguments.repository,
        cache=arguments.cache or arguments.repository / ".cache",
        hub_url=arguments.hub_url,
        recipe_file=arguments.recipe.name,
        device=choose_device(arguments.device, arguments.precision),
        threads=arguments.threads,
        checkpoint_steps=arguments.checkpoint_steps,
    )
    bundle = train(recipe, place, arguments.fresh, arguments.replace, say)
    sys.stdout.write(f"{bundle.path}\n")
    return 0
