"""A bar with the time left on standard error; a log gets a line now and then instead."""

import sys
from typing import Final

from tqdm import tqdm

TERMINAL_SECONDS: Final = 0.2
LOG_SECONDS: Final = 30.0


class Progress:
    """Examples of one model that have come back."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        terminal = sys.stderr.isatty()
        seconds = TERMINAL_SECONDS if terminal else LOG_SECONDS
        self._bar = tqdm(
            desc=name,
            total=total,
            unit=f" {unit}",
            mininterval=seconds,
            maxinterval=seconds,
            ascii=not terminal,
            dynamic_ncols=terminal,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def done(self, count: int) -> None:
        """So many more."""
        self._bar.update(count)


def say(line: str) -> None:
    """Write one line to standard error, where it is not mistaken for a result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
