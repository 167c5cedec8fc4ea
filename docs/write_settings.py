"""Writes docs/settings.md from the settings of the services. Run by `make docs`."""

from pathlib import Path
from typing import Any, Final

from triptych_encoder.settings import EncoderSettings
from triptych_gateway.settings import GatewaySettings
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.settings import describe
from triptych_tokenizer.settings import TokenizerSettings

SERVICES: Final[dict[str, type[Any]]] = {
    "gateway": GatewaySettings,
    "tokenizer": TokenizerSettings,
    "encoder": EncoderSettings,
    "postprocess": PostprocessSettings,
}
HEAD: Final = """# Settings

Every setting is an environment variable, read once at start and refused with its name when it is
wrong. Written by `make docs` from the code; `python -m triptych_<service> --help` prints the same.
"""


def settings_page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(name, kind) for name, kind in SERVICES.items())


def _section(name: str, kind: type[Any]) -> str:
    rows = [
        f"| `{entry.variable}` | {_code(entry.default)} | {entry.description} |\n"
        for entry in describe(kind)
    ]
    return f"\n## {name}\n\n| variable | default | meaning |\n|---|---|---|\n" + "".join(rows)


def _code(default: str) -> str:
    return f"`{default}`" if default else ""


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(settings_page())
