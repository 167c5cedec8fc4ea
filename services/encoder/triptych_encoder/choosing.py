"""Which of the runtimes that could run a bundle serves it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from triptych_bundles.errors import BundleError
from triptych_bundles.golden import GoldenVectors
from triptych_bundles.manifest import Bundle
from triptych_encoder.backend import Backend
from triptych_encoder.gate import open_admitted, open_alone
from triptych_encoder.race import speedup
from triptych_encoder.runtimes import Runtime

logger = logging.getLogger(__name__)

# Below it, other numbers than those of fp32 are not worth their while.
MIN_SPEEDUP: Final = 1.1


@dataclass(frozen=True, slots=True)
class Chosen:
    """What serves a bundle. `speedup` is over fp32, where that was measured."""

    runtime: Runtime
    backend: Backend
    speedup: float | None = None


def choose(bundle: Bundle, golden: GoldenVectors, candidates: Sequence[Runtime]) -> Chosen:
    """Open the first candidate, and the others to race it. Raises BundleError where it may not
    serve; that another may not is logged."""
    first, *rivals = candidates
    chosen = Chosen(first, open_admitted(bundle, golden, first))
    for rival in rivals:
        chosen = _challenge(bundle, golden, chosen, rival)
    facts = {"model": bundle.identity, "backend": chosen.backend.description}
    logger.info("runs in %s", chosen.runtime.precision, extra=facts)
    return chosen


def open_beside(bundle: Bundle, golden: GoldenVectors, chosen: Chosen) -> Backend | None:
    """What serves, opened a second time for runs alone; None where that is not to be had."""
    try:
        return open_alone(bundle, golden, chosen.runtime, chosen.backend)
    except BundleError as error:
        told = {"model": bundle.identity, "reason": error.reason}
        logger.warning("runs by one thread also where nothing else runs", extra=told)
        return None


def _challenge(bundle: Bundle, golden: GoldenVectors, holder: Chosen, rival: Runtime) -> Chosen:
    try:
        backend = open_admitted(bundle, golden, rival)
    except BundleError as error:
        told = {"model": bundle.identity, "precision": rival.precision, "reason": error.reason}
        logger.warning("%s serves instead", holder.runtime.precision, extra=told)
        return holder
    ratio = speedup(bundle, backend, holder.backend)
    told = {"model": bundle.identity, "precision": rival.precision, "speedup": f"{ratio:.2f}"}
    logger.info("raced %s", holder.runtime.precision, extra=told)
    if ratio < MIN_SPEEDUP:
        backend.close()
        return replace(holder, speedup=ratio)
    holder.backend.close()
    return Chosen(rival, backend, ratio)
