"""Models on a Hugging Face hub: one revision, known files, bounded sizes, safetensors only."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import httpx

from triptych_models.errors import FetchError
from triptych_models.progress import Say
from triptych_models.sources.folder import (
    OPTIONAL,
    REQUIRED,
    WEIGHTS,
    SourceFolder,
    bundle_name,
    open_folder,
)
from triptych_models.staging import install, staging

MAX_WEIGHTS_BYTES = 4 << 30
MAX_FILE_BYTES = 64 << 20
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit of a hub's repository: its files, and the sha256 of the large ones."""

    identifier: str
    commit: str
    created: int
    files: Mapping[str, str]


def fetch_hub(url: str, identifier: str, revision: str, cache: Path, say: Say) -> SourceFolder:
    """The model's folder; FetchError where the hub is unreachable or lacks a file."""
    try:
        with httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, follow_redirects=True) as hub:
            return _fetch(hub, identifier, revision, cache, say)
    except httpx.HTTPStatusError as error:
        reason = f"answered {error.response.status_code} for {error.request.url.path}"
        raise FetchError(f"hub {url} {reason}") from error
    except httpx.HTTPError as error:
        raise FetchError(f"hub {url} cannot be reached: {error or type(error).__name__}") from error


def _fetch(
    hub: httpx.Client, identifier: str, revision: str, cache: Path, say: Say
) -> SourceFolder:
    found = resolve(hub, identifier, revision)
    folder = cache / f"{identifier.replace('/', '--')}-{found.commit}"
    if not folder.is_dir():
        with staging(cache) as staged:
            say(f"fetching {identifier} at {found.commit[:12]} from {hub.base_url}")
            install(_download(hub, found, staged / "model", say), folder)
    origin = f"hub {identifier}@{found.commit}"
    return open_folder(folder, origin, bundle_name(identifier.split("/")[1]), found.created)


def resolve(hub: httpx.Client, identifier: str, revision: str) -> Revision:
    """Ask the hub which commit and which files a revision names."""
    path = f"/api/models/{identifier}/revision/{quote(revision, safe='')}"
    answer = hub.get(path, params={"blobs": "true"}).raise_for_status()
    try:
        facts = answer.json()
        changed = datetime.fromisoformat(facts["lastModified"])
        files = {
            entry["rfilename"]: (entry.get("lfs") or {}).get("sha256", "")
            for entry in facts["siblings"]
        }
        commit = str(facts["sha"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(f"the hub's answer about {identifier} is not understood") from error
    if not commit.isalnum():
        raise FetchError(f"the hub names no commit for {identifier}@{revision}")
    return Revision(identifier, commit, int(changed.timestamp()), files)


def _download(hub: httpx.Client, revision: Revision, target: Path, say: Say) -> Path:
    missing = [name for name in REQUIRED if name not in revision.files]
    if missing:
        raise FetchError(f"{revision.identifier} lacks {', '.join(missing)} on the hub")
    for name in (*REQUIRED, *OPTIONAL):
        if name in revision.files:
            say(f"  {name}")
            _download_file(hub, revision, name, target / name)
    return target


def _download_file(hub: httpx.Client, revision: Revision, name: str, target: Path) -> None:
    limit = MAX_WEIGHTS_BYTES if name == WEIGHTS else MAX_FILE_BYTES
    path = f"/{revision.identifier}/resolve/{revision.commit}/{name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with hub.stream("GET", path) as answer, target.open("wb") as sink:
        answer.raise_for_status()
        for block in answer.iter_bytes():
            size += len(block)
            if size > limit:
                raise FetchError(f"{name} on the hub is larger than {limit} bytes")
            digest.update(block)
            sink.write(block)
    if revision.files[name] not in ("", digest.hexdigest()):
        raise FetchError(f"{name} from the hub has the wrong hash: sha256 {digest.hexdigest()}")
