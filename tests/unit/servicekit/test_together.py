"""Parts side by side: the order of results, the first failure, and nothing left behind."""

import asyncio
import contextlib
import weakref

import pytest

from triptych_servicekit.errors import Overloaded
from triptych_servicekit.together import together


class Payload:
    """What a part holds."""


async def part(seconds: float, result: int, payload: Payload | None = None) -> int:
    """Wait, then return the result, or fail where it is negative."""
    await asyncio.sleep(seconds)
    if result < 0:
        raise Overloaded(f"part {result}")
    return result


async def test_results_come_in_order() -> None:
    assert await together([part(0.02, 1), part(0, 2), part(0.01, 3)]) == [1, 2, 3]


async def test_the_first_failure_cancels_the_others() -> None:
    others: list[str] = []

    async def other() -> int:
        try:
            return await part(60, 1)
        except asyncio.CancelledError:
            others.append("cancelled")
            raise

    with pytest.raises(Overloaded, match="part -1"):
        await together([other(), part(0, -1), part(60, -2), other()])
    assert others == ["cancelled", "cancelled"]


async def test_a_cancelled_caller_cancels_all_parts() -> None:
    task = asyncio.create_task(together([part(60, 1), part(60, 2)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("cancel", [False, True])
async def test_a_failure_holds_nothing(cancel: bool) -> None:
    payload = Payload()
    held = weakref.ref(payload)
    task = asyncio.create_task(
        together([part(0, 1 if cancel else -1, payload), part(60, 1, payload)])
    )
    del payload
    await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(Overloaded, asyncio.CancelledError):
        await task
    del task
    await asyncio.sleep(0)
    assert held() is None
