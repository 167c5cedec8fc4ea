"""Loading what a service serves: every bundle that may be, and none that may not."""

import logging
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import Bundle
from triptych_bundles.repository import Repository

logger = logging.getLogger(__name__)

T = TypeVar("T")


def load_bundles(
    repository: Repository, names: Collection[str], load: Callable[[Bundle], T]
) -> Iterator[tuple[Bundle, T]]:
    """Bundles of `names`, all where it is empty, each with what `load` makes of it.

    By name and version, the newest version last. A bundle that cannot be read or that `load`
    refuses with BundleError is logged and left out.
    """
    found = repository.scan()
    for error in found.errors:
        _log_refusal(error)
    for bundle in found.models:
        if names and bundle.name not in names:
            continue
        try:
            loaded = load(bundle)
        except BundleError as error:
            _log_refusal(error)
            continue
        logger.info("loaded", extra={"model": bundle.identity})
        yield bundle, loaded


def _log_refusal(error: BundleError) -> None:
    logger.error("bundle refused", extra={"reason": str(error)})
