"""The command `triptych-models`: exits with 0, with 1 for a failure, with 2 for wrong usage."""

import sys

from triptych_bundles import BundleError
from triptych_models.command import parser
from triptych_models.errors import ModelError
from triptych_models.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; failures are one line on standard error."""
    parsed = parser(read_settings()).parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (ModelError, BundleError, OSError) as error:
        sys.stderr.write(f"triptych-models: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
