"""A bar with the time left, on a terminal and in a log."""

import sys

from tqdm import tqdm

# a log gets a line now and then; a terminal's line is written over
_LOG_SECONDS = 30.0
_TERMINAL_SECONDS = 0.5


class Progress:
    """Steps of a training on standard error."""

    def __init__(self, total: int, done: int) -> None:
        terminal = sys.stderr.isatty()
        seconds = _TERMINAL_SECONDS if terminal else _LOG_SECONDS
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="step",
            mininterval=seconds,
            maxinterval=seconds,
            ascii=not terminal,
            dynamic_ncols=True,
        )

    def step(self, loss: float) -> None:
        """One more, and what it came to."""
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self._bar.update()

    def say(self, line: str) -> None:
        """A line of its own above the bar."""
        self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """The bar stays as it is."""
        self._bar.close()
