"""From bundles to what postprocess serves: models, and heads that have proven themselves."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from triptych_bundles import (
    Bundle,
    BundleError,
    Head,
    HeadBundle,
    read_head_golden,
    read_layers,
    verify_files,
)
from triptych_postprocess.heads import Classifier
from triptych_postprocess.tags import TagScheme, read_scheme

# Of a head's logits to its golden ones, as a share of the largest of these where that is above 1:
# float32 holds about seven digits, and sums of a few hundred products cost two of them.
MAX_LOGIT_ERROR: Final = 1e-4


@dataclass(frozen=True, slots=True)
class PostprocessModel:
    """What postprocess needs of a model."""

    bundle: Bundle
    classifier: Classifier | None
    """Its own head, if it has one."""
    tags: TagScheme | None
    """What the classes of its tokens mean, if it has such."""


def load_model(bundle: Bundle) -> PostprocessModel:
    """A model, its own head tried.

    Raises BundleError where a file of the head is not the one recorded, or where the head does not
    reproduce its golden logits.
    """
    classifier = _classifier(bundle, bundle.head) if bundle.head else None
    return PostprocessModel(bundle, classifier, read_scheme(bundle.token_labels))


def load_head(bundle: HeadBundle) -> Classifier:
    """A head of its own; raises BundleError as `load_model` does."""
    return _classifier(bundle, bundle.head)


def size(bundle: Bundle | HeadBundle) -> int:
    """Bytes of what is read of a bundle to serve it: the layers of its head."""
    head = bundle.head
    return bundle.record(head.weights).bytes if head and head.layers else 0


def _classifier(bundle: Bundle | HeadBundle, head: Head) -> Classifier:
    own = bundle if isinstance(bundle, HeadBundle) else None
    if not head.layers:
        return Classifier(head, (), len(head.labels), own)
    verify_files(bundle, [head.weights, head.golden])
    classifier = Classifier(head, read_layers(bundle, head), bundle.hidden_size, own)
    _check_golden(bundle, classifier)
    return classifier


def _check_golden(bundle: Bundle | HeadBundle, classifier: Classifier) -> None:
    golden = read_head_golden(bundle, classifier.head)
    error = np.abs(classifier.logits(golden.inputs).astype(np.float64) - golden.logits)
    limit = MAX_LOGIT_ERROR * max(1.0, float(np.abs(golden.logits).max()))
    # NaN is no number to compare, and no logit to serve
    off = ~(error <= limit)
    if off.any():
        row, label = np.argwhere(off)[0].tolist()
        reason = f"logit {label} of row {row} is off by {error[row, label]:.6f} here"
        raise BundleError(bundle.file(classifier.head.golden), f"{reason}, more than {limit:.6f}")
