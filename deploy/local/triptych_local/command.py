"""The command line of a local run, and the plan it asks for."""

import argparse
from dataclasses import replace
from pathlib import Path

from triptych_local import ports
from triptych_local.platform import platform, welcome, with_free_ports
from triptych_local.settings import Settings, inherited
from triptych_local.supervisor import Plan
from triptych_servicekit.settings import SettingsError, load, manual


def read_options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="triptych-local",
        description="Runs gateway, tokenizer, encoder and postprocess on this machine.",
        epilog=f"{manual(Settings)}\n\nOther TRIPTYCH_ variables reach the services as they are.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--ports", choices=("fixed", "auto"), default="fixed", help="auto: take free ports"
    )
    parser.add_argument("--repository", type=Path, help="folder of bundles")
    parser.add_argument("--state-file", type=Path, help="keep pids and ports in this JSON file")
    return parser.parse_args()


def make_plan(options: argparse.Namespace) -> Plan:
    """What to run. Raises SettingsError, for a busy port too, before anything is started."""
    settings = _settings(options)
    services = platform(settings, inherited())
    ports.check(services)
    local = settings.local
    return Plan(services, welcome(settings), options.state_file, local.ready_timeout, local.grace)


def _settings(options: argparse.Namespace) -> Settings:
    settings = load(Settings)
    if settings.tls.cert_file:
        raise SettingsError("TRIPTYCH_TLS_CERT_FILE is set, but a local run speaks plaintext")
    if options.repository:
        models = replace(settings.models, repository=str(options.repository))
        settings = replace(settings, models=models)
    return with_free_ports(settings) if options.ports == "auto" else settings
