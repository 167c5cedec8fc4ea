"""Whether a head gives its golden logits on this machine."""

from pathlib import Path

import numpy as np

from triptych_bundles import (
    MANIFEST_NAME,
    BundleError,
    HeadBundle,
    Repository,
    forward,
    read_bundle,
    read_head_golden,
    read_layers,
    verify_files,
)
from triptych_models.errors import GoldenMismatch

MAX_LOGIT_ERROR = 1e-4
"""Largest difference of a logit from its golden one, over the largest logit where it is over 1."""


def open_head(folder: Path) -> HeadBundle:
    """Read the bundle.yaml of a folder; BundleError where it is not that of a head."""
    bundle = read_bundle(folder)
    if not isinstance(bundle, HeadBundle):
        raise BundleError(folder / MANIFEST_NAME, "is a model, not a head", "kind")
    return bundle


def verify_head(bundle: HeadBundle) -> float:
    """Hashes, then the layers against their golden logits; returns the largest error.

    Raises BundleError for files, GoldenMismatch for numbers.
    """
    verify_files(bundle)
    golden = read_head_golden(bundle, bundle.head)
    logits = forward(read_layers(bundle, bundle.head), golden.inputs, bundle.head.normalized)
    error = float(np.abs(logits.astype(np.float64) - golden.logits).max())
    limit = MAX_LOGIT_ERROR * max(1.0, float(np.abs(golden.logits).max()))
    # NaN is above no limit, and below none
    if not error <= limit:
        reason = f"a logit is off by {error:.6f} here, more than {limit:.6f}"
        raise GoldenMismatch(f"{bundle.identity}: {reason}")
    return error


def has_trunk(repository: Repository, bundle: HeadBundle) -> bool:
    """Whether the repository holds a model that the head can serve with."""
    return any(map(bundle.fits, repository.bundles()))
