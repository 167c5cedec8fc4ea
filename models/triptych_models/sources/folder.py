"""A folder in Hugging Face's layout: the form in which every source ends up."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from triptych_models.errors import FetchError

WEIGHTS = "model.safetensors"
CARD = "README.md"
REQUIRED = ("config.json", "tokenizer.json", WEIGHTS)
OPTIONAL = (
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    CARD,
    "LICENSE",
)
_MAX_CARD_CHARACTERS = 1 << 20
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """Files of one model, and what is known of them."""

    path: Path
    origin: str
    name: str
    """A proposal for the bundle's name."""
    created: int
    """Unix seconds; 0 where the source has no date that its content pins."""
    licence: str

    def files(self) -> list[str]:
        """The files present that a bundle may depend on."""
        return [name for name in (*REQUIRED, *OPTIONAL) if (self.path / name).is_file()]


def open_folder(path: Path, origin: str, name: str, created: int = 0) -> SourceFolder:
    """Check that a folder is complete; FetchError names what it lacks."""
    missing = [required for required in REQUIRED if not (path / required).is_file()]
    if missing:
        hint = "; weights are read from safetensors only" if WEIGHTS in missing else ""
        raise FetchError(f"{path}: lacks {', '.join(missing)}{hint}")
    return SourceFolder(path, origin, name, created, stated_licence(path / CARD))


def bundle_name(text: str) -> str:
    """A bundle's name from a folder's or a hub's: lower case, other characters as dashes."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:128] or "model"


def stated_licence(card: Path) -> str:
    """The licence that the model card's front matter states, or `unknown`."""
    if not card.is_file():
        return "unknown"
    with card.open(encoding="utf-8", errors="replace") as stream:
        front = _FRONT_MATTER.match(stream.read(_MAX_CARD_CHARACTERS))
    try:
        facts = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        return "unknown"
    licence = facts.get("license") if isinstance(facts, dict) else None
    return licence if isinstance(licence, str) and licence else "unknown"
