"""The command `triptych-local`: options → plan → supervisor."""

import asyncio
import sys

from triptych_local.command import make_plan, read_options
from triptych_local.console import Console
from triptych_local.keeper import UNUSABLE_SETTINGS
from triptych_local.supervisor import Plan, Supervisor
from triptych_servicekit.settings import SettingsError


def main() -> int:
    """Run the platform until Ctrl-C. Exit code 0 after an orderly stop, 2 for unusable settings."""
    try:
        plan = make_plan(read_options())
    except SettingsError as error:
        sys.stderr.write(f"triptych-local: {error}\n")
        return UNUSABLE_SETTINGS
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> int:
    supervisor = Supervisor(plan, Console(sys.stdout, [item.name for item in plan.services]))
    supervisor.listen_to_signals()
    return await supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
