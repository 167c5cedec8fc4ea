"""What the other tests rely on."""

import asyncio
import time

import numpy as np
import pytest

from triptych_gateway.local_platform import LocalPlatform, local_bundle, token_vectors
from triptych_gateway.tasks import EmbedOptions, Origin, Pair, TextOptions, TokenIds
from triptych_servicekit.errors import DeadlineExceeded, Overloaded, Unavailable

MODEL = local_bundle(dimensions=8)
LAYOUT = TextOptions(layout=True, max_length=7)


def origin(seconds: float = 60) -> Origin:
    return Origin(time.monotonic() + seconds, "test")


def test_the_table() -> None:
    vectors = token_vectors([1, 65], 4)
    assert vectors.tolist() == [[-13, -11, -9, -7]] * 2


async def test_an_embedding_is_a_normalised_mean() -> None:
    platform = LocalPlatform([MODEL])
    found = await platform.analyze(MODEL, ["a"], TextOptions(), [EmbedOptions()], origin())
    mean = (token_vectors([1], 8) + token_vectors([100], 8) + token_vectors([2], 8))[0] / 3
    np.testing.assert_allclose(
        np.asarray(found.results[0])[0], mean / np.linalg.norm(mean), rtol=1e-6
    )


async def test_pairs_lose_the_end_of_the_longer_text() -> None:
    platform = LocalPlatform([MODEL])
    found = await platform.tokenize(MODEL, [Pair("abcdef", "g")], LAYOUT, origin())
    assert found.input_ids.tolist() == [1, 100, 101, 102, 2, 106, 2]
    assert found.token_type_ids is not None
    assert found.token_type_ids.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert found.usage.truncated.tolist() == [True]


async def test_prompts_have_no_place_in_the_text() -> None:
    platform = LocalPlatform([MODEL])
    text = TextOptions(layout=True, prompt_name="query")
    found = await platform.tokenize(MODEL, ["a"], text, origin())
    assert found.offsets is not None
    assert found.offsets.tolist() == [[0, 0]] * 8 + [[0, 1], [0, 0]]


async def test_ids_get_the_special_tokens_they_lack() -> None:
    platform = LocalPlatform([MODEL])
    inputs = [TokenIds([100]), TokenIds([1, 100, 2])]
    found = await platform.tokenize(MODEL, inputs, TextOptions(), origin())
    assert found.input_ids.tolist() == [1, 100, 2] * 2


async def test_it_fails_as_a_platform_does() -> None:
    slow = LocalPlatform([MODEL], max_concurrent=1, seconds_per_token=1)
    task = asyncio.create_task(slow.tokenize(MODEL, ["a"], TextOptions(), origin()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await slow.tokenize(MODEL, ["a"], TextOptions(), origin())
    task.cancel()
    await asyncio.wait([task])
    assert (slow.in_progress, slow.cancelled) == (0, 1)
    with pytest.raises(DeadlineExceeded):
        await slow.tokenize(MODEL, ["a"], TextOptions(), origin(0.01))
    slow.problems.append("stopping")
    with pytest.raises(Unavailable):
        await slow.tokenize(MODEL, ["a"], TextOptions(), origin())
