"""How long to wait before a service is started again."""

from typing import Final

FIRST_DELAY: Final = 0.2
LARGEST_DELAY: Final = 10.0
# A service that stayed up this long is taken to be sound: its next failure is a first one.
SOUND_AFTER: Final = 30.0


class Backoff:
    """Doubles from FIRST_DELAY to LARGEST_DELAY until a run lasts SOUND_AFTER seconds."""

    def __init__(self) -> None:
        self._next = FIRST_DELAY

    def delay(self, uptime: float) -> float:
        """Seconds to wait after a run that lasted `uptime` seconds."""
        if uptime >= SOUND_AFTER:
            self._next = FIRST_DELAY
        current, self._next = self._next, min(self._next * 2, LARGEST_DELAY)
        return current
