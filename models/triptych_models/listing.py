"""The repository as a table."""

from collections.abc import Sequence

from triptych_bundles import Bundle, BundleError, HeadBundle, Repository, verify_files

_HEADINGS = ("NAME", "VERSION", "DIGEST", "TASK", "DIMENSIONS", "MAX LENGTH", "SIZE", "STATE")


def repository_table(repository: Repository) -> str:
    """One line a bundle, with its files checked; unreadable ones follow with their reason."""
    found = repository.scan()
    rows = [_HEADINGS, *(_row(bundle, found.models) for bundle in found.bundles())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([*lines, *(f"broken: {error}" for error in found.errors)])


def _row(bundle: Bundle | HeadBundle, models: Sequence[Bundle]) -> tuple[str, ...]:
    return (
        bundle.name,
        bundle.version,
        bundle.digest[:12],
        bundle.task,
        str(bundle.hidden_size),
        str(bundle.max_length) if isinstance(bundle, Bundle) else f"over {bundle.trunk.name}",
        f"{bundle.size / 1e6:.1f} MB",
        _state(bundle, models),
    )


def _state(bundle: Bundle | HeadBundle, models: Sequence[Bundle]) -> str:
    try:
        verify_files(bundle)
    except BundleError as error:
        return f"{error.path.name} {error.reason}"
    if isinstance(bundle, HeadBundle) and not any(map(bundle.fits, models)):
        return "trunk is missing"
    return "ok"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
