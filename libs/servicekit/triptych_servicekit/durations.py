"""Seconds as the contract's Duration."""

import math
from typing import Final

from google.protobuf.duration_pb2 import Duration

NANOSECONDS: Final = 1e9


def set_seconds(duration: Duration, seconds: float) -> None:
    """Make a duration `seconds` long, at least 0; a quarter of the library's own way."""
    rest, whole = math.modf(seconds)
    duration.seconds = int(whole)
    duration.nanos = int(rest * NANOSECONDS)
