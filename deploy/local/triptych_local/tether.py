"""Becomes a command that the kernel kills when its parent dies (Linux).

    python tether.py PARENT_PID COMMAND...

A program of its own, because code between fork and exec in the supervisor itself (`preexec_fn`)
may deadlock beside its threads. The tie survives exec, so the command keeps pid and tie.
"""

import ctypes
import os
import signal
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> NoReturn:
    """Tie this process to `parent`, then exec `command`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the tie was made.
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
