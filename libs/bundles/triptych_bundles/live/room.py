"""The memory that loaded bundles may take, and who has to leave for whom."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from triptych_bundles.live.loading import Refused
from triptych_bundles.live.slots import Slot
from triptych_servicekit.stores import BundleState

AnySlot: TypeAlias = Slot[Any, Any]

NO_ROOM: Final = "no room for it in memory: the rest is in use or pinned"


class Room:
    """Counts the bytes of bundles from before they are read until after they are released.

    `evict` unloads a slot that nobody uses, and returns when its bytes are free.
    """

    def __init__(self, limit: int, evict: Callable[[AnySlot], Awaitable[None]]) -> None:
        self._limit = limit
        self._evict = evict
        self._taken: dict[AnySlot, None] = {}
        self._used = 0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def take(self, slot: AnySlot, *, evict: bool, wait: bool) -> bool:
        """Reserve the slot's bytes: first come, first served. False where there are none.

        With `evict` others make room; with `wait` those that are in use are waited for, as long as
        somebody waits for the slot. Raises Refused for one that would not even fit alone.
        """
        if self._limit and slot.size > self._limit:
            raise Refused(f"has {slot.size} bytes, the memory budget allows {self._limit}")
        async with self._turn:
            while self._limit and self._used + slot.size > self._limit:
                if evict and (victims := self._victims(slot.size)):
                    await self._evict(victims[0])
                elif wait and slot.users and self._passing():
                    await self._change()
                else:
                    return False
            self._taken[slot] = None
            self._used += slot.size
            return True

    def give(self, slot: AnySlot) -> None:
        """Return the slot's bytes."""
        del self._taken[slot]
        self._used -= slot.size
        self._changed.set()

    def stir(self) -> None:
        """Somebody may have stopped using a slot, or waiting for one."""
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _victims(self, size: int) -> list[AnySlot]:
        """Who can leave, in this order; nobody where all of them together are not enough."""
        idle = [slot for slot in self._taken if _movable(slot) and not slot.users]
        missing = self._used + size - self._limit
        if sum(slot.size for slot in idle) < missing:
            return []
        return sorted(idle, key=lambda slot: (slot.state is BundleState.LOADED, slot.last_used))

    def _passing(self) -> bool:
        """Whether anything that has room now will give it back."""
        return any(_movable(slot) or slot.retired or slot.loading for slot in self._taken)


def _movable(slot: AnySlot) -> bool:
    kept = (slot.pinned or slot.stale) and slot.state is not BundleState.DRAINING
    return slot.in_memory and not kept and not slot.retired
