"""What a person at the terminal sees: whole lines, each with the name of its service."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, TextIO

SUPERVISOR: Final = "triptych"
# A program that never ends its line is shown in pieces of this many bytes.
LONGEST_LINE: Final = 64 * 1024

_COLOURS: Final = ("36", "32", "33", "35", "34", "31")
_BOLD: Final = "1"


class Console:
    """Writes lines with a prefix, coloured where the stream is a terminal."""

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._stream = stream
        self._coloured = stream.isatty()
        self._width = max(len(name) for name in (SUPERVISOR, *names))
        self._colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}

    def line(self, name: str, text: str) -> None:
        """One line of the service `name`."""
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            prefix = f"\x1b[{self._colours.get(name, _BOLD)}m{prefix}\x1b[0m"
        self._write(f"{prefix} {text}\n")

    def note(self, text: str) -> None:
        """A line of the supervisor's own."""
        self.line(SUPERVISOR, text)

    def announce(self, text: str) -> None:
        """Lines without a prefix, to be read and copied."""
        self._write(f"\n{text}\n\n")

    def _write(self, text: str) -> None:
        # A closed terminal or pipe must not keep the supervisor from stopping its services.
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


class Lines:
    """Cuts a stream of bytes into lines of text."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            yield _text(line)
        if len(self._rest) >= LONGEST_LINE:
            yield from self.end()

    def end(self) -> Iterator[str]:
        """What is left without an end of line."""
        if self._rest:
            yield _text(self._rest)
        self._rest = b""


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
