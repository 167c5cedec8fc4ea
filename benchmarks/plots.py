"""Draws the results, with the Python of an environment that has matplotlib."""

import subprocess
import sys
from pathlib import Path

from benchmarks.peers.peer import executable

PROGRAM = Path(__file__).with_name("draw.py")


def draw(results: Path) -> int:
    """Draw beside the JSON; 0, also where there is no such environment."""
    python = Path(executable("plots", "python"))
    if not python.exists():
        sys.stderr.write("no plots: their environment is not installed\n")
        return 0
    # -P: the modules beside the program are not its own, and one has the name of a standard one
    return subprocess.run([python, "-P", PROGRAM, results], check=False).returncode
