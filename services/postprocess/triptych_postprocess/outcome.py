"""What became of a batch: rows of the survivors, and an error for each of the others."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import DeadlineExceeded, TriptychError

Errors = dict[int, TriptychError]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rows` are dense over the items without error, in their order."""

    rows: NDArray[Any]
    errors: Errors


def expired(callers: Sequence[Caller]) -> Errors:
    """An error for every item whose caller has no time left."""
    now = time.monotonic()
    late = DeadlineExceeded("the caller's time ended before the item's turn came")
    return {index: late for caller in callers if caller.expired(now) for index in _items(caller)}


def failing(wrong: NDArray[np.bool_], error: TriptychError) -> Errors:
    """`error` for every item that is `wrong`, bool [N]."""
    return dict.fromkeys(np.flatnonzero(wrong).tolist(), error)


def living(count: int, errors: Errors) -> NDArray[np.bool_]:
    """bool [N]: which items have no error."""
    mask = np.ones(count, bool)
    mask[list(errors)] = False
    return mask


def _items(caller: Caller) -> range:
    return range(caller.start, caller.start + caller.count)
