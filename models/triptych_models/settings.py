"""The one place of this package that reads the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults of the command's options."""

    repository: Path
    hub_url: str


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """TRIPTYCH_MODELS_REPOSITORY and TRIPTYCH_HUB_URL; empty means unset."""
    return Settings(
        repository=Path(environment.get("TRIPTYCH_MODELS_REPOSITORY") or "model-repository"),
        hub_url=environment.get("TRIPTYCH_HUB_URL") or "https://huggingface.co",
    )
