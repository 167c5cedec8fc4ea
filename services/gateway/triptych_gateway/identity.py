"""Who asks: request ids, W3C trace context and urgency, as clients of both edges send them."""

import random
import re
from typing import Final

from triptych_servicekit.callers import MAX_REQUEST_ID
from triptych_servicekit.errors import InvalidArgument

PRIORITIES: Final = {"": 2, "high": 1, "normal": 2, "low": 3}
MAX_TRACESTATE: Final = 512

# These ids keep requests apart and nothing secret; the system's generator costs a call each time.
_random_bits: Final = random.Random().getrandbits  # noqa: S311
# The bits of a UUID that are random, and those that say its version and variant.
_UUID_RANDOM: Final = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_UUID_FIXED: Final = 0x00000000_0000_4000_8000_000000000000
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]*)?"
)
# Versions after 00 may have more at their end, but no end of it.
MAX_TRACEPARENT: Final = 128


def request_id(sent: str) -> str:
    """The client's own id where it is fit to be logged and sent back, else a new one."""
    if len(sent) <= MAX_REQUEST_ID and _PRINTABLE.fullmatch(sent):
        return sent
    return _uuid4()


def _uuid4() -> str:
    """RFC 9562's version 4; the library's takes three times as long."""
    digits = f"{_random_bits(128) & _UUID_RANDOM | _UUID_FIXED:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def trace_context(traceparent: str, tracestate: str) -> tuple[str, str]:
    """Both headers as they came, or a new trace, not sampled, where `traceparent` is not valid."""
    if len(traceparent) <= MAX_TRACEPARENT and _TRACEPARENT.fullmatch(traceparent):
        return traceparent, tracestate if len(tracestate) <= MAX_TRACESTATE else ""
    return f"00-{_random_bits(128) or 1:032x}-{_random_bits(64) or 1:016x}-00", ""


def priority(sent: str) -> int:
    """1 (high) to 3 (low); empty is normal."""
    try:
        return PRIORITIES[sent.lower()]
    except KeyError:
        raise InvalidArgument(
            "x-priority must be high, normal or low", field="x-priority"
        ) from None
