"""Names and relative paths that may come from a bundle or a request, and where they may lead."""

import re
from pathlib import Path, PurePosixPath

from triptych_bundles.errors import BundleError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
NAME_RULE = "must match [a-z0-9][a-z0-9._-]{0,127}"


def is_name(text: str) -> bool:
    """Whether `text` can name a bundle or a version, and so a folder that hides nothing."""
    return _NAME.fullmatch(text) is not None


def is_relative(name: str) -> bool:
    """Whether `name` is written as a plain path below the bundle's folder."""
    path = PurePosixPath(name)
    plain = str(path) == name and "\\" not in name and "\0" not in name
    return plain and name not in ("", ".") and not path.is_absolute() and ".." not in path.parts


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`; BundleError where a link leads out of the folder."""
    path = folder / name
    try:
        contained = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links
        raise BundleError(path, f"cannot be resolved: {error}") from error
    if not contained:
        raise BundleError(path, "leads out of the bundle's folder")
    return path


def regular(folder: Path, name: str) -> Path:
    """As `inside`, for what is read next: BundleError for a pipe or a device.

    Opening a pipe waits for a writer, for ever where none comes. OSError where it cannot be seen.
    """
    path = inside(folder, name)
    if path.exists() and not path.is_file():
        raise BundleError(path, "is not a file")
    return path
