"""The one place of this package that reads the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DEFAULT_URL: Final = "http://127.0.0.1:8080"
"""Where `make run` and the containers answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults of the command's options."""

    url: str


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """TRIPTYCH_URL; empty means unset."""
    return Settings(url=environment.get("TRIPTYCH_URL") or DEFAULT_URL)
