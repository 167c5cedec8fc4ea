"""The command `triptych-train`: exits with 0, with 1 for a failure, with 2 for wrong usage."""

import sys

from triptych_bundles import BundleError
from triptych_models.errors import ModelError
from triptych_models.settings import read_settings
from triptych_train.command import parser, run


def main(arguments: list[str] | None = None) -> int:
    """Run one training; failures are one line on standard error."""
    parsed = parser(read_settings()).parse_args(arguments)
    try:
        return run(parsed)
    except (ModelError, BundleError, OSError) as error:
        sys.stderr.write(f"triptych-train: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
