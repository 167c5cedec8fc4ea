"""Clients of the service path, each a process that costs little: requests are written beforehand,
and of the answers only the first is read."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np

from benchmarks.gpu_parts import workloads

# Calls of a client at the same time, and different ones that it has: equal ones would share a run.
AT_ONCE: Final = 6
DIFFERENT: Final = 24
# What a call may carry, which is a full run.
CALL_TOKENS: Final = 16_384
WARM_UP, SECONDS = 3.0, 6.0
METHOD: Final = "/triptych.v1.EncoderService/Encode"
OPTIONS: Final = (("grpc.max_receive_message_length", -1),)


def call(port: int, length: int, seed: int, pace: float, results: Any) -> None:
    """Put what a client finds: tokens a second, or at a pace of so many, seconds of each call.

    An error is put as its text.
    """
    try:
        found: Any = asyncio.run(
            _pacing(port, length, seed, pace) if pace else _calling(port, length, seed)
        )
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    results.put(found)


@asynccontextmanager
async def _connected(port: int, length: int, seed: int) -> AsyncIterator[Any]:
    """What makes the next of the calls. RuntimeError where the first is not answered in full."""
    import grpc.aio

    from triptych.v1 import encoder_service_pb2 as pb

    requests = itertools.cycle([_request(length, seed, number) for number in range(DIFFERENT)])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        encode: Any = channel.unary_unary(METHOD)
        answer = pb.EncodeResponse.FromString(await encode(next(requests)))
        if answer.errors or answer.outputs[0].shape[0] != CALL_TOKENS // length:
            raise RuntimeError(f"not all was encoded: {answer.errors[:1]}")
        yield lambda: encode(next(requests))


async def _calling(port: int, length: int, seed: int) -> float:
    """Tokens a second that one client got."""
    done, started = 0, time.monotonic()

    async def keep_calling(encode: Any) -> None:
        nonlocal done
        while (now := time.monotonic() - started) < WARM_UP + SECONDS:
            done += now > WARM_UP
            await encode()

    async with _connected(port, length, seed) as encode:
        await asyncio.gather(*(keep_calling(encode) for _ in range(AT_ONCE)))
    return done * (CALL_TOKENS // length * length) / SECONDS


async def _pacing(port: int, length: int, seed: int, pace: float) -> list[float]:
    """Seconds from when each call was due, at random times, to its answer."""
    numbers, rate = np.random.default_rng(seed), pace / (CALL_TOKENS // length * length)

    async def timed(encode: Any, due: float) -> float:
        await encode()
        return time.monotonic() - due

    async with _connected(port, length, seed) as encode:
        started = due = time.monotonic()
        calls = []
        while due < started + WARM_UP + SECONDS:
            due += numbers.exponential(1 / rate)
            await asyncio.sleep(due - time.monotonic())
            calls.append(asyncio.create_task(timed(encode, due)))
        waited = await asyncio.gather(*calls)
    return waited[int(len(waited) * WARM_UP / (WARM_UP + SECONDS)) :]


def _request(length: int, seed: int, number: int) -> bytes:
    from triptych.v1 import encoder_service_pb2 as pb
    from triptych.v1 import types_pb2 as types
    from triptych_servicekit.tensors import to_tensor

    rows = CALL_TOKENS // length
    found = workloads.sequences([length] * rows, seed * DIFFERENT + number + 100)
    batch = types.SequenceBatch(
        lengths=to_tensor(np.full(rows, length, np.int32)),
        input_ids=to_tensor(np.concatenate(found)),
    )
    spec = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.POOLING_MEAN)
    return pb.EncodeRequest(sequences=batch, outputs=[spec]).SerializeToString()
