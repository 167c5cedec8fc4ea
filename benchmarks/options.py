"""The command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.equality import MIN_COSINE
from benchmarks.peers.known import NAMES
from benchmarks.rows import BARS, MATRIX, Row
from benchmarks.system import OWN

ROUNDS: Final = 3
SECONDS: Final = 2.2
QUICK_PRECISIONS: Final = ("fp32",)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    repository: Path
    rows: Sequence[Row]
    systems: Sequence[str]
    precisions: Sequence[str]
    rounds: int
    seconds: float
    """Of one measurement, without its warm-up."""
    out: Path
    whole: bool
    """Whether nothing was left away, so that the results speak for the machine."""


def read(arguments: Sequence[str] | None = None) -> Options:
    """Of the command line, or of these arguments."""
    parser = _parser()
    given = parser.parse_args(arguments)
    partial = given.quick or given.only or given.systems or given.precision
    rows = given.only or (tuple(BARS) if given.quick else MATRIX)
    systems = given.systems or (OWN if partial else (*OWN, *NAMES))
    precisions = given.precision or (QUICK_PRECISIONS if given.quick else tuple(MIN_COSINE))
    return Options(
        *(given.repository, rows, systems, precisions, given.rounds, given.seconds),
        given.out,
        whole=not partial,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    add = parser.add_argument
    add("--repository", type=Path, default=Path("model-repository"), help="folder of bundles")
    add("--quick", action="store_true", help="the rows that have bars, fp32, without peers")
    add("--only", type=_rows, help="rows: short-1x64,mixed-1x1000,...")
    add("--systems", type=_names, help=f"some of {','.join((*OWN, *NAMES))}")
    add("--precision", type=_precisions, help=f"some of {','.join(MIN_COSINE)}")
    add("--rounds", type=int, default=ROUNDS, help="interleaved; medians are reported")
    add("--seconds", type=float, default=SECONDS, help="of one measurement, after its warm-up")
    add("--out", type=Path, default=Path(".cache/bench/results"), help="folder for the results")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _rows(text: str) -> tuple[Row, ...]:
    try:
        return tuple(map(Row.parse, _names(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _precisions(text: str) -> tuple[str, ...]:
    unknown = set(_names(text)) - set(MIN_COSINE)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not of {', '.join(MIN_COSINE)}")
    return _names(text)
