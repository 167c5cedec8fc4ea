"""Whether the files of a bundle are the ones that its bundle.yaml pins."""

from collections.abc import Iterable

from triptych_bundles.digests import sha256_file
from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import Folder


def verify_files(bundle: Folder, names: Iterable[str] | None = None) -> None:
    """Check size and sha256 of the named files, or of all; BundleError names the first at fault."""
    for name in bundle.files if names is None else names:
        _verify(bundle, name)


def _verify(bundle: Folder, name: str) -> None:
    record, path = bundle.record(name), bundle.file(name)
    if not path.is_file():
        raise BundleError(path, "is missing")
    try:
        size = path.stat().st_size
        # the size first: a truncated download is told at once and by its own name
        if size != record.bytes:
            what = "is truncated" if size < record.bytes else "is too long"
            raise BundleError(path, f"{what}: {size} bytes instead of {record.bytes}")
        digest = sha256_file(path)
    except OSError as error:
        raise BundleError(path, f"cannot be read: {error.strerror}") from error
    if digest != record.sha256:
        reason = f"has the wrong hash: sha256 {digest} instead of {record.sha256}"
        raise BundleError(path, reason)
