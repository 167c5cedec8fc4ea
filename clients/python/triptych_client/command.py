"""The subcommands."""

import argparse

from triptych_client.evaluation.arguments import EVALUATE_EPILOG, EVALUATE_HELP, add_evaluating
from triptych_client.settings import Settings


def parser(settings: Settings) -> argparse.ArgumentParser:
    """The command line; what is parsed has `run`, which takes it and gives the exit code."""
    root = argparse.ArgumentParser(prog="triptych", description="Asks a running platform.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    evaluate = commands.add_parser(
        "evaluate", help=EVALUATE_HELP, description=EVALUATE_HELP, epilog=EVALUATE_EPILOG
    )
    add_evaluating(evaluate, settings)
    return root
