"""What a run tells while it goes on."""

import sys
import time
from typing import Final

STARTED: Final = time.monotonic()


def say(line: str) -> None:
    """A line with the seconds since the start."""
    sys.stderr.write(f"{elapsed():6.1f} s  {line}\n")
    sys.stderr.flush()


def elapsed() -> float:
    """Seconds since the start."""
    return time.monotonic() - STARTED
