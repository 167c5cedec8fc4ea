"""What became of a batch: what was made of the survivors, and an error for each of the others."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import DeadlineExceeded, TriptychError

R_co = TypeVar("R_co", covariant=True)

Errors = dict[int, TriptychError]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R_co]):
    """`rows` tell of the items without error only, in their order."""

    rows: R_co
    errors: Errors


@dataclass(frozen=True, slots=True)
class Job(Generic[R_co]):
    """Work on `count` items whose arrays have been checked."""

    count: int
    size: int
    """What it costs, in bytes of vectors that are scaled in the same time; small work is done at
    once."""
    output: int
    """Bytes of the answer, at most."""
    work: Callable[[Errors], Outcome[R_co]]
    """Does it for the items that have no error yet; their errors come back among the others."""


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
