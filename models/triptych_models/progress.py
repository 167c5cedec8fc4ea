"""How a long task tells where it is; a test collects the lines instead."""

import sys
from collections.abc import Callable
from typing import TypeAlias

Say: TypeAlias = Callable[[str], object]


def say(line: str) -> None:
    """Write one line to standard error, where it is not mistaken for a result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
