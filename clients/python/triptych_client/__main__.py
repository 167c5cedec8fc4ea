"""The command `triptych`; each subcommand's help tells its exit codes, these are shared.

1: what was asked for could not be done, with one line on standard error; 2: wrong usage;
130: interrupted.
"""

import sys

from triptych_client.command import parser
from triptych_client.errors import ClientError
from triptych_client.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; its exit code."""
    parsed = parser(read_settings()).parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ClientError as error:
        sys.stderr.write(f"triptych: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
