"""Parts of one piece of work, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")


async def together(work: "Sequence[Coroutine[Any, Any, T]]") -> list[T]:
    """Results of all parts, in order. The first failure cancels the others and is raised.

    One part alone needs no task.

    asyncio.TaskGroup would do, but its frame holds the failure and the failure its frame, and with
    them everything the parts held: megabytes of a request that wait for the collector's next pass.
    """
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.create_task(part) for part in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    finally:
        tasks.clear()  # else a failure holds this frame, the frame its task, the task the failure


async def in_lanes(lanes: int, work: Sequence[T], do: Callable[[T], Awaitable[R]]) -> list[R]:
    """What `do` makes of each part, in order; so many are under way at a time. Fails as above."""
    waiting = iter(enumerate(work))
    made: dict[int, R] = {}

    async def lane() -> None:
        for number, part in waiting:
            made[number] = await do(part)

    await together([lane() for _ in range(min(lanes, len(work)))])
    return [made[number] for number in range(len(work))]
